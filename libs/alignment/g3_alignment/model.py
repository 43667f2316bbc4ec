"""The aligned model: two CLIP towers, four heads, one GPS encoder, three temperatures."""

from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

from g3_alignment.configuration import AlignmentConfiguration, GpsConfiguration
from g3_alignment.gps import GpsEncoder, checked, gps_head
from g3_alignment.tower import build_tokenizer, build_tower

# e^3.99 = 54, where the reference starts all three
_STARTING_LOGIT_SCALE = 3.99


class ImageVectors(NamedTuple):
    """Three views of n photos, each float32 [n, d] of unit length."""

    clip: Tensor
    text_aligned: Tensor
    gps_aligned: Tensor


class GpsModel(nn.Module):
    """The GPS side alone: what verification needs, a few per cent of the whole checkpoint.

    `fingerprint` is the whole model's, so that its vectors may be compared with that model's image vectors.
    """

    def __init__(self, configuration: GpsConfiguration, dimension: int) -> None:
        """`dimension` is d. `fingerprint` is "" until a checkpoint gives one."""
        super().__init__()
        self.dimension = dimension
        self.fingerprint = ""
        self.gps_encoder = GpsEncoder(configuration)
        self.gps_head = gps_head(configuration.width, dimension)
        self.logit_scale_image_gps = _temperature()

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self.logit_scale_image_gps.device

    @torch.no_grad()
    def encode_gps(self, coordinates: Tensor) -> Tensor:
        """(latitude, longitude) in degrees, float64 [n, 2] → float32 [n, d] of unit length.

        Raises Rejected for coordinates that are none; every valid one, the poles included, has a finite vector.
        """
        return _gps_vectors(self, checked(coordinates))


class AlignmentModel(nn.Module):
    """The model of DESIGN §6. `encode_*` are for inference: no gradients, and call `eval()` first after training.

    For training, the parts are public: `tower`, the heads (on the towers' unnormalised projections), `gps_encoder`,
    and the temperatures, of which the reference uses the first two: logits are exp(logit_scale) · cosine.
    """

    def __init__(self, configuration: AlignmentConfiguration) -> None:
        """Weights are drawn from torch's current generator: see `checkpoint.initialise` for seeded ones."""
        super().__init__()
        dimension = configuration.dimension
        self.configuration = configuration
        # whether anybody trained these weights as a whole, which no weight can tell; kept in checkpoints
        self.trained = False
        self.tower: Any = build_tower(configuration.tower)
        self.image_text_head = _head(dimension)
        self.text_head = _head(dimension)
        self.image_gps_head = _head(dimension)
        self.gps_encoder = GpsEncoder(configuration.gps)
        self.gps_head = gps_head(configuration.gps.width, dimension)
        self.logit_scale_image_text = _temperature()
        self.logit_scale_image_gps = _temperature()
        self.logit_scale_text_gps = _temperature()
        self.tokens = build_tokenizer(configuration.tower)

    @property
    def dimension(self) -> int:
        """d, the width of every vector."""
        return self.configuration.dimension

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self.logit_scale_image_gps.device

    @torch.no_grad()
    def encode_image(self, pixels: Tensor) -> ImageVectors:
        """Preprocessed photos, float32 [n, 3, size, size] (see `preprocessing`) → three vectors each."""
        if len(pixels) == 0:  # open_clip's towers cannot tell the shape of nothing
            return ImageVectors(*(torch.empty((0, self.dimension), device=self.device) for _ in range(3)))
        features = self.tower.encode_image(pixels.to(self.device))  # [n, d]
        return ImageVectors(
            _unit(features), _unit(self.image_text_head(features)), _unit(self.image_gps_head(features))
        )

    @torch.no_grad()
    def encode_text(self, texts: list[str]) -> Tensor:
        """Texts → float32 [n, d] of unit length, in the space of `text_aligned`; what exceeds the context is cut."""
        if not texts:
            return torch.empty((0, self.dimension), device=self.device)
        return _unit(self.text_head(self.tower.encode_text(self.tokens(texts).to(self.device))))

    @torch.no_grad()
    def encode_gps(self, coordinates: Tensor) -> Tensor:
        """As `GpsModel.encode_gps`: in the space of `gps_aligned`."""
        return _gps_vectors(self, checked(coordinates))


def _gps_vectors(model: GpsModel | AlignmentModel, coordinates: Tensor) -> Tensor:
    return _unit(model.gps_head(model.gps_encoder(coordinates.to(model.device))))


def _head(dimension: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(dimension, dimension), nn.ReLU(), nn.Linear(dimension, dimension))


def _temperature() -> nn.Parameter:
    return nn.Parameter(torch.tensor(_STARTING_LOGIT_SCALE))


def _unit(vectors: Tensor) -> Tensor:
    return normalize(vectors.float(), dim=-1)
