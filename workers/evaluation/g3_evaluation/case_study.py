"""A few photos one by one: what was retrieved for them, what was answered, and how far off it is; with thumbnails."""

import base64
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np
from g3_kit.errors import G3Error
from g3_photo import clean
from numpy.typing import NDArray

from g3_evaluation.asks import Ask
from g3_evaluation.photos import content_of
from g3_evaluation.rescoring import PAPER, Part, proposals, winner
from g3_evaluation.run_data import RunData

_SIDE_PX = 112
_EACH = 2
_REFERENCES = 4


@dataclass(frozen=True)
class Shown:
    """One picture: its id and what stands below it; `jpeg` is base64, "" where the photo is not at hand."""

    id: str
    caption: str
    jpeg: str


@dataclass(frozen=True)
class Case:
    """One photo. `kind` says why it is here."""

    kind: str
    photo: Shown
    truth: str
    answer_km: float | None
    nearest_km: float | None
    references: list[Shown]


def cases(data: RunData, reference_photos: Path | None = None) -> list[Case]:
    """Photos of each kind, the first ones of the query set. `reference_photos`: where the references' files lie."""
    ask = Ask.DEFAULT if Ask.DEFAULT in data.asks else Ask.PAPER
    if ask not in data.asks:
        return []
    outcomes, km = data.of(ask), data.off(ask, lambda outcome: outcome.place)
    nearest = data.off(
        ask,
        lambda outcome: (
            (outcome.references[0].latitude, outcome.references[0].longitude) if outcome.references else None
        ),
    )
    won = np.array([winner(proposals(outcome, PAPER if ask is Ask.PAPER else Part())) for outcome in outcomes])
    kinds: list[tuple[str, NDArray[np.bool_]]] = [
        ("the LMM's candidate won and is right", (won == "lmm") & (km < 25) & (nearest >= 200)),
        (
            "the LMM's candidate won and is wrong where retrieval was right",
            (won == "lmm") & (km >= 200) & (nearest < 25),
        ),
        ("a retrieved candidate won and is right", (won == "retrieved") & (km < 25)),
        ("retrieval and answer are far off", (nearest >= 2500) & (km >= 2500) & np.isfinite(km)),
    ]
    chosen = [(kind, int(row)) for kind, rows in kinds for row in np.flatnonzero(rows)[:_EACH]]
    return [_case(data, ask, kind, row, float(km[row]), float(nearest[row]), reference_photos) for kind, row in chosen]


def _case(
    data: RunData, ask: Ask, kind: str, row: int, km: float, nearest_km: float, reference_photos: Path | None
) -> Case:
    query, outcome = data.queries[row], data.of(ask)[row]
    return Case(
        kind=kind,
        photo=Shown(query.id, str(data.named[row]), thumbnail(query.path)),
        truth=str(query.coordinates),
        answer_km=km if np.isfinite(km) else None,
        nearest_km=nearest_km if np.isfinite(nearest_km) else None,
        references=[
            Shown(
                reference.id,
                f"{reference.similarity:.3f} {reference.place}",
                thumbnail(_file(reference_photos, reference.id)) if reference_photos else "",
            )
            for reference in outcome.references[:_REFERENCES]
        ],
    )


def _file(folder: Path, id_: str) -> Path:
    """A reference's file: its id is the path in the folder that it was ingested from."""
    relative = PurePosixPath(id_)
    return folder / ("missing" if relative.is_absolute() or ".." in relative.parts else relative)


def thumbnail(path: Path) -> str:
    """A small JPEG of a photo in base64, made from its pixels alone; "" where there is none."""
    try:
        return base64.b64encode(clean(content_of(path), longest_side_px=_SIDE_PX, quality=80).jpeg).decode()
    except G3Error:
        return ""
