"""What a model is made of, before any weight: one JSON document, part of every fingerprint."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from g3_kit.errors import Missing, Rejected

from g3_alignment.tower import architecture

# The normalisation of OpenAI's CLIP, which most open_clip weights share.
CLIP_MEAN = (0.48145466, 0.4578275, 0.40821073)
CLIP_STD = (0.26862954, 0.26130258, 0.27577711)
# What the GPS encoder can make of a place first, and of how many numbers that is: see `gps`.
PROJECTIONS = {"web_mercator": 2, "equal_earth": 2, "spherical": 3}


@dataclass(frozen=True)
class Preprocessing:
    """From an RGB photo to the tower's input: shortest side to `size` pixels, centre crop, (x/255 - mean) / std."""

    size: int
    mean: tuple[float, float, float] = CLIP_MEAN
    std: tuple[float, float, float] = CLIP_STD
    interpolation: str = "bicubic"

    def __post_init__(self) -> None:
        _require(isinstance(self.size, int) and self.size > 0, "preprocessing.size", "a positive number of pixels")
        for name in ("mean", "std"):
            _require(len(getattr(self, name)) == 3, f"preprocessing.{name}", "three numbers")
        _require(all(spread > 0 for spread in self.std), "preprocessing.std", "three positive numbers")
        _require(self.interpolation in {"bicubic", "bilinear"}, "preprocessing.interpolation", "bicubic or bilinear")


@dataclass(frozen=True)
class GpsConfiguration:
    """The GPS encoder: one capsule for each sigma, 2 or 3 → 2·`rff_features` → three times `hidden` → `width`, summed.

    The larger the sigma, the finer the place: with sigma 2⁸ neighbours within some tens of kilometres differ.
    `projection` is one of `PROJECTIONS`; a unit of `spherical` is an Earth radius, of the maps half their width.
    """

    sigmas: tuple[float, ...] = (2.0**0, 2.0**4, 2.0**8)
    rff_features: int = 256
    hidden: int = 1024
    width: int = 512
    projection: str = "web_mercator"

    def __post_init__(self) -> None:
        _require(
            len(self.sigmas) > 0 and all(sigma > 0 for sigma in self.sigmas), "gps.sigmas", "some positive numbers"
        )
        for name in ("rff_features", "hidden", "width"):
            value = getattr(self, name)
            _require(isinstance(value, int) and value > 0, f"gps.{name}", "a positive whole number")
        known = isinstance(self.projection, str) and self.projection in PROJECTIONS
        _require(known, "gps.projection", f"one of {', '.join(PROJECTIONS)}")


@dataclass(frozen=True)
class AlignmentConfiguration:
    """`tower` is an open_clip model configuration, resolved, so that it means the same under every open_clip."""

    tower: dict[str, Any]
    preprocessing: Preprocessing
    gps: GpsConfiguration = field(default_factory=GpsConfiguration)

    def __post_init__(self) -> None:
        for name in ("embed_dim", "vision_cfg", "text_cfg"):
            _require(name in self.tower, f"tower.{name}", "there")
        text = self.tower["text_cfg"]
        _require(isinstance(text, dict), "tower.text_cfg", "a JSON object")
        _require(
            not (text.get("hf_model_name") or text.get("hf_tokenizer_name")),
            "tower.text_cfg",
            "of CLIP's own text tower and tokenizer: others would have to be downloaded from a hub",
        )
        _require(
            self.tower["vision_cfg"].get("image_size", 224) == self.preprocessing.size,
            "preprocessing.size",
            "the image tower's input size",
        )

    @property
    def dimension(self) -> int:
        """d, the width of every vector."""
        return int(self.tower["embed_dim"])

    @classmethod
    def of_tower(cls, tower: str | Mapping[str, Any], gps: GpsConfiguration | None = None) -> "AlignmentConfiguration":
        """The configuration around an open_clip architecture's name, or around its model configuration.

        Raises Missing for a name that open_clip does not have, Rejected for a tower that this library cannot take.
        """
        resolved = architecture(tower) if isinstance(tower, str) else json.loads(json.dumps(dict(tower)))
        _require(isinstance(resolved.get("vision_cfg"), dict), "tower.vision_cfg", "there")
        size = resolved["vision_cfg"].get("image_size", 224)
        _require(isinstance(size, int), "tower.vision_cfg.image_size", "one number: inputs are square")
        return cls(tower=resolved, preprocessing=Preprocessing(size=size), gps=gps or GpsConfiguration())

    def to_json(self) -> str:
        """Canonical: sorted keys, no spaces. Equal configurations give equal text."""
        return json.dumps(asdict(self), sort_keys=True, separators=(",", ":"))

    @classmethod
    def from_json(cls, text: str) -> "AlignmentConfiguration":
        """Reads `to_json`'s document, an open_clip model configuration, or an `open_clip_config.json`.

        Raises Rejected with the field at fault.
        """
        try:
            document = json.loads(text)
        except ValueError:
            raise Rejected("The configuration is no JSON document.", field="configuration") from None
        _require(isinstance(document, dict), "configuration", "a JSON object")
        if "embed_dim" in document:
            return cls.of_tower(document)
        try:
            if "model_cfg" in document:
                return _from_open_clip(document)
            return cls(
                tower=document["tower"],
                preprocessing=_preprocessing(document["preprocessing"]),
                gps=GpsConfiguration(**{**document["gps"], "sigmas": tuple(document["gps"]["sigmas"])}),
            )
        except (KeyError, TypeError, AttributeError):
            raise Rejected(
                "The configuration lacks a part or has one too many: it has tower, preprocessing and gps.",
                field="configuration",
            ) from None


def _from_open_clip(document: dict[str, Any]) -> AlignmentConfiguration:
    of_tower = AlignmentConfiguration.of_tower(document["model_cfg"])
    stated = document.get("preprocess_cfg", {})
    kept = {name: stated[name] for name in ("mean", "std", "interpolation") if name in stated}
    return AlignmentConfiguration(
        tower=of_tower.tower, preprocessing=_preprocessing({**asdict(of_tower.preprocessing), **kept}), gps=of_tower.gps
    )


def _preprocessing(document: dict[str, Any]) -> Preprocessing:
    return Preprocessing(**{**document, "mean": tuple(document["mean"]), "std": tuple(document["std"])})


def _require(holds: bool, name: str, what: str) -> None:
    if not holds:
        raise Rejected(f"{name} must be {what}.", field=name)


# Small enough for two cores: 64-pixel photos, towers of this library's own kind (see `compact`), and one capsule finer
# than the paper's, because sigma 2^8 resolves some 80 km of wavelength at the equator and the demo's world differs by
# the kilometre.
_DEMO_TOWER = {
    "kind": "compact",
    "embed_dim": 128,
    "vision_cfg": {"image_size": 64, "channels": [48, 96, 192], "blocks": [1, 1, 1], "stride": 4},
    "text_cfg": {"context_length": 40, "vocab_size": 49408, "embedding": 16, "width": 64, "heads": 4, "layers": 1},
}

PRESETS = ("g3", "vit-b-32", "demo")


def preset(name: str) -> AlignmentConfiguration:
    """`g3`: the paper's shapes, d = 768. `vit-b-32`: d = 512, for benchmarks. `demo`: d = 128, 64-pixel photos.

    Raises Missing for another name.
    """
    if name == "g3":
        return AlignmentConfiguration.of_tower("ViT-L-14-quickgelu")
    if name == "vit-b-32":
        return AlignmentConfiguration.of_tower("ViT-B-32")
    if name == "demo":
        finer = GpsConfiguration(sigmas=(2.0**0, 2.0**4, 2.0**8, 2.0**11), rff_features=64, hidden=192, width=128)
        return AlignmentConfiguration.of_tower(_DEMO_TOWER, finer)
    raise Missing(f"There is no preset named {name}: there are {', '.join(PRESETS)}.", field="preset")
