"""The reference's published checkpoint, and GeoCLIP's GPS encoder, as models of ours.

Sources: the state dict of G3's reference implementation (Jia et al., NeurIPS 2024), whose towers are those of Hugging
Face transformers' CLIP; GeoCLIP's `LocationEncoder` (Vivanco et al., NeurIPS 2023).
"""

import math
import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from g3_kit.errors import Rejected
from torch import Tensor

from g3_alignment.checkpoint import require_fit, unfilled
from g3_alignment.clip_names import Source, sources
from g3_alignment.configuration import AlignmentConfiguration, GpsConfiguration
from g3_alignment.model import AlignmentModel
from g3_alignment.state_dicts import read_state_dict

_HEAD_WIDTH = 64  # of every published CLIP: the number of heads is in no tensor
_CLIP_VOCABULARY = 49_408
_OPEN_CLIP_MLP_RATIO = 4.0
_ENCODER = "location_encoder."
_IGNORED = ("vision_model.embeddings.position_ids", "text_model.embeddings.position_ids")
_CLASS = "vision_model.embeddings.class_embedding"
_PATCHES = "vision_model.embeddings.patch_embedding.weight"
_IMAGE_PLACES = "vision_model.embeddings.position_embedding.weight"
_IMAGE_MLP = "vision_model.encoder.layers.0.mlp.fc1.weight"
_TOKENS = "text_model.embeddings.token_embedding.weight"
_TEXT_PLACES = "text_model.embeddings.position_embedding.weight"
_TEXT_MLP = "text_model.encoder.layers.0.mlp.fc1.weight"
_PROJECTION = "vision_projection.weight"
_FREQUENCIES = _ENCODER + "LocEnc0.capsule.0.b"
_HIDDEN = _ENCODER + "LocEnc0.capsule.1.weight"
_WIDTH = _ENCODER + "LocEnc0.head.0.weight"
# what sizes are read from, with the number of dimensions of each
_MEASURED = {
    _CLASS: 1, _PATCHES: 4, _IMAGE_PLACES: 2, _IMAGE_MLP: 2, _TOKENS: 2, _TEXT_PLACES: 2, _TEXT_MLP: 2,
    _PROJECTION: 2, _FREQUENCIES: 2, _HIDDEN: 2, _WIDTH: 2,
}  # fmt: skip


def load_published(path: str | os.PathLike[str], sha256: str | None = None) -> AlignmentModel:
    """The model of a checkpoint in the reference's layout, of any size, on the CPU, in eval mode.

    The file alone suffices: sizes are read from its tensors, layers and capsules counted, heads are width / 64, the
    activation is QuickGELU, as in OpenAI's CLIP. A prefix that all names share ("module.") is dropped, position ids
    are ignored, any floating dtype becomes float32. `sigmas` are the powers of two next to the root mean square of each
    capsule's frequencies, which are themselves kept as they are.

    Raises Missing for no such file; Rejected for another SHA-256, an unreadable file, names that are missing or
    unknown, shapes that do not go together, and weights that are no finite numbers.
    """
    name = Path(path).name
    weights = _without_prefix(read_state_dict(path, sha256), _PROJECTION)
    weights = {key: tensor for key, tensor in weights.items() if key not in _IGNORED}
    configuration = configuration_of(weights, name)
    with torch.device("meta"):  # so that sizes that do not go together cost no memory
        wanted = AlignmentModel(configuration).state_dict()
    taken = _fitted(name, weights, wanted)
    model = unfilled(configuration)
    model.load_state_dict({**model.state_dict(), **taken})
    model.trained = True
    return model.eval()


def load_location_encoder(model: AlignmentModel, path: str | os.PathLike[str], sha256: str | None = None) -> None:
    """Puts a GeoCLIP location encoder into `model.gps_encoder`, frequencies included, as a start for training.

    Names are `LocEnc{i}.capsule…` and `LocEnc{i}.head.0…`, with or without "location_encoder.". The model keeps its
    own projection of coordinates and its heads, with which this encoder was not trained: `model.trained` becomes
    false. Raises as `load_published`, for an encoder of other sizes too; the model is then as it was.
    """
    weights = _without_prefix(read_state_dict(path, sha256), "LocEnc0.capsule.0.b")
    weights = {_ENCODER + key: tensor for key, tensor in weights.items()}
    state = model.state_dict()
    taken = _fitted(Path(path).name, weights, {key: state[key] for key in state if key.startswith("gps_encoder.")})
    model.load_state_dict({**state, **taken})
    model.trained = False


def configuration_of(weights: Mapping[str, Tensor], name: str) -> AlignmentConfiguration:
    """What a model must be to hold `weights`, in the reference's names. `name` is the file's. Raises Rejected."""
    _refuse(name, [f"{key} is missing" for key in _MEASURED if key not in weights])
    shapes = {key: weights[key].shape for key in _MEASURED}
    _refuse(
        name,
        [f"{key} is {list(shape)}" for key, shape in shapes.items() if len(shape) != _MEASURED[key] or 0 in shape],
    )
    image_width, text_width = shapes[_CLASS][0], shapes[_TOKENS][1]
    for width in (image_width, text_width):
        _require(width % _HEAD_WIDTH == 0, name, f"a tower is {width} wide, which is no multiple of {_HEAD_WIDTH}")
    patch, places = shapes[_PATCHES][3], shapes[_IMAGE_PLACES][0]
    grid = math.isqrt(places - 1)
    _require(grid > 0 and grid**2 + 1 == places, name, f"{places} positions are no square of patches and one")
    vocabulary = shapes[_TOKENS][0]
    _require(vocabulary == _CLIP_VOCABULARY, name, f"its vocabulary of {vocabulary} tokens is not CLIP's")
    image: dict[str, Any] = {"image_size": grid * patch, "width": image_width, "patch_size": patch}
    text: dict[str, Any] = {"context_length": shapes[_TEXT_PLACES][0], "vocab_size": vocabulary, "width": text_width}
    text["heads"] = text_width // _HEAD_WIDTH
    for tower, side, mlp in ((image, "vision_model", _IMAGE_MLP), (text, "text_model", _TEXT_MLP)):
        tower["layers"] = _count(weights, rf"{side}\.encoder\.layers\.(\d+)\.")
        ratio = shapes[mlp][0] / tower["width"]
        if ratio != _OPEN_CLIP_MLP_RATIO:
            tower["mlp_ratio"] = ratio
    return AlignmentConfiguration.of_tower(
        {"embed_dim": shapes[_PROJECTION][0], "quick_gelu": True, "vision_cfg": image, "text_cfg": text},
        GpsConfiguration(
            sigmas=tuple(_sigmas(weights, name)),
            rff_features=shapes[_FREQUENCIES][0],
            hidden=shapes[_HIDDEN][0],
            width=shapes[_WIDTH][0],
        ),
    )


def _fitted(name: str, weights: Mapping[str, Tensor], targets: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Our tensors `targets`, from the file's. Raises Rejected unless the file has exactly what they are made of."""
    made_of: dict[str, Source] = sources(targets)
    expected = {key: tensor for ours in made_of for key, tensor in made_of[ours].expected(targets[ours]).items()}
    scalars = {key: tensor for key, tensor in expected.items() if tensor.ndim == 0}
    # some writers keep a temperature as a vector of one
    weights = {
        key: tensor.reshape(()) if key in scalars and tensor.numel() == 1 else tensor for key, tensor in weights.items()
    }
    require_fit(name, expected, weights, same_dtype=False)
    _refuse(name, [f"{key} is {held.dtype}" for key, held in weights.items() if not held.is_floating_point()])
    _refuse(name, [f"{key} has no finite numbers" for key, held in weights.items() if not held.isfinite().all()])
    return {ours: source.taken(weights) for ours, source in made_of.items()}


def _without_prefix(weights: Mapping[str, Tensor], anchor: str) -> dict[str, Tensor]:
    """Drops what stands before `anchor`, a name that every such file has, from all names that have it."""
    prefix = next((key.removesuffix(anchor) for key in weights if key.endswith(anchor)), "")
    return {key.removeprefix(prefix): tensor for key, tensor in weights.items()}


def _sigmas(weights: Mapping[str, Tensor], name: str) -> Iterable[float]:
    for capsule in range(_count(weights, rf"{re.escape(_ENCODER)}LocEnc(\d+)\.")):
        key = f"{_ENCODER}LocEnc{capsule}.capsule.0.b"
        spread = float(weights[key].double().square().mean().sqrt()) if key in weights else 0.0
        _require(0 < spread < math.inf, name, f"{key} has no frequencies")
        yield 2.0 ** round(math.log2(spread))


def _count(weights: Mapping[str, Tensor], pattern: str) -> int:
    return len({found[1] for key in weights if (found := re.match(pattern, key))})


def _require(holds: bool, name: str, fault: str) -> None:
    _refuse(name, [] if holds else [fault])


def _refuse(name: str, faults: list[str]) -> None:
    if faults:
        more = f", and {len(faults) - 3} more" if len(faults) > 3 else ""
        raise Rejected(
            f"{name} is no checkpoint in the reference's layout: {', '.join(faults[:3])}{more}.", field="checkpoint"
        )
