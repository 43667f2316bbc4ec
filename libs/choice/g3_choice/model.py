"""The fitted weights and calibration of the choice, in one small JSON file."""

import os
from pathlib import Path
from typing import Any, Literal

import numpy as np
from g3_kit.errors import Missing, Rejected
from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, ValidationError, field_validator

from g3_choice.choice import Ranking
from g3_choice.confidence import Calibration
from g3_choice.features import FEATURES, Floats

DEMO = Path(__file__).parent / "data" / "demo.json"
"""Fitted on the procedural world with the demo's alignment model; of the real Earth it knows nothing."""

LARGEST_BYTES = 4 << 20


class Fitted(BaseModel):
    """What a model was fitted on. `alignment`: the fingerprint of the alignment model whose cosines it weighs."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    alignment: str
    data: str
    photos: int = Field(ge=1)
    places: int = Field(ge=1)
    figures: dict[str, Any] = {}


class ChoiceModel(BaseModel):
    """Weights by feature (`FEATURES`), the radius of clusters, and the calibration of each ranking's answers.

    `fitted` None: the documented default weights, which no data were fitted to; such a model states no confidence.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    format: Literal["g3-choice"] = "g3-choice"
    version: Literal[1] = 1
    weights: dict[str, FiniteFloat]
    cluster_km: FiniteFloat = Field(gt=0, le=2500)
    calibrations: dict[Ranking, Calibration] = {}
    fitted: Fitted | None = None

    @field_validator("weights")
    @classmethod
    def _every_feature(cls, weights: dict[str, float]) -> dict[str, float]:
        if set(weights) != set(FEATURES):
            odd = ", ".join(sorted(set(weights) ^ set(FEATURES)))
            raise ValueError(f"weights must be those of the features of this release; these differ: {odd}")
        return weights

    @property
    def vector(self) -> Floats:
        """The weights float64 [len(FEATURES)] in the order of `FEATURES`."""
        return np.array([self.weights[name] for name in FEATURES])

    def fits(self, alignment: str) -> bool:
        """Whether it was fitted on cosines of the alignment model with this fingerprint."""
        return self.fitted is not None and self.fitted.alignment == alignment

    def save(self, path: Path) -> None:
        """Writes the file whole or not at all."""
        draft = path.with_name(f".{path.name}.{os.getpid()}")
        draft.write_text(self.model_dump_json(indent=1) + "\n", "utf-8")
        draft.replace(path)

    @classmethod
    def load(cls, path: Path) -> "ChoiceModel":
        """Reads a file that `save` wrote. Raises Missing for none, Rejected for what is no such file."""
        try:
            if path.stat().st_size > LARGEST_BYTES:
                raise Rejected(f"{path.name} is larger than a model of the choice can be", field="choice_model")
            return cls.model_validate_json(path.read_bytes())
        except FileNotFoundError as error:
            raise Missing(f"there is no model of the choice named {path.name}", field="choice_model") from error
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(map(str, first["loc"])) or "the file"
            message = f"{path.name} is no model of the choice that this release reads: {where}: {first['msg']}"
            raise Rejected(message, field="choice_model") from error


DEFAULT = ChoiceModel(
    weights={
        **dict.fromkeys(FEATURES, 0.0),
        # Likely by verification and said by several: neither alone decides.
        "similarity": 0.1,
        "similarity_gap": 1.0,
        "lmm_25": 1.0,
        "retrieved_25": 1.0,
        "gallery_25": 0.5,
        "evidence_gap": 0.5,
    },
    cluster_km=25.0,
)
"""What weighs where nothing was fitted: plausible, and never called calibrated."""


def model_for(alignment: str, *files: Path) -> ChoiceModel:
    """The model fitted on this alignment model: the first of `files` that is, else the one shipped, else `DEFAULT`.

    Raises as `ChoiceModel.load` for a file that cannot be read.
    """
    for path in (*files, DEMO):
        model = ChoiceModel.load(path)
        if model.fits(alignment):
            return model
    return DEFAULT
