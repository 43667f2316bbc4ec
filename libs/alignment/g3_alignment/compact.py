"""Compact towers: a convolutional image tower and a text tower with a factorised embedding, for small data and no GPU.

open_clip's own towers at this size fail on two counts. Its image towers pool over the picture, and where a thing
stands in a picture says as much about the place as what it is; and its text tower is as wide as its token embedding,
of which 49,408 rows are most of a small file.
"""

from dataclasses import dataclass
from typing import Any

import torch
from g3_kit.errors import Rejected
from torch import Tensor, nn

KIND = "compact"
# CLIP's starting temperature: 1 / 0.07
_STARTING_LOGIT_SCALE = 2.6593


@dataclass(frozen=True)
class CompactImage:
    """`channels` and residual `blocks` of the stages: the first at 1/`stride` of the photo's side, then halves."""

    image_size: int
    channels: tuple[int, ...]
    blocks: tuple[int, ...]
    stride: int = 2


@dataclass(frozen=True)
class CompactText:
    """Tokens → `embedding` numbers each → `width` → transformer layers → d."""

    context_length: int
    vocab_size: int
    embedding: int
    width: int
    heads: int
    layers: int


class CompactClip(nn.Module):
    """The part of open_clip's `CLIP` that the aligned model uses: `encode_image`, `encode_text`, `logit_scale`."""

    def __init__(self, tower: dict[str, Any]) -> None:
        """`tower` has `kind`, `embed_dim`, `vision_cfg` and `text_cfg`. Raises Rejected for another shape."""
        super().__init__()
        vision, text = _parts(tower)
        self.visual = ImageTower(vision, tower["embed_dim"])
        self.text = TextTower(text, tower["embed_dim"])
        self.logit_scale = nn.Parameter(torch.tensor(_STARTING_LOGIT_SCALE))

    def encode_image(self, pixels: Tensor) -> Tensor:
        """float32 [n, 3, size, size] → [n, d], not normalised."""
        features: Tensor = self.visual(pixels)
        return features

    def encode_text(self, tokens: Tensor) -> Tensor:
        """int64 [n, context_length] → [n, d], not normalised."""
        features: Tensor = self.text(tokens)
        return features


class ImageTower(nn.Module):
    """Four stages of residual blocks; the last map is flattened, not pooled, so that positions count."""

    def __init__(self, configuration: CompactImage, dimension: int) -> None:
        super().__init__()
        stages: list[nn.Module] = []
        incoming = 3
        stride = configuration.stride
        for channels, blocks in zip(configuration.channels, configuration.blocks, strict=True):
            stages.append(_convolution(incoming, channels, stride))
            stages.extend(Residual(channels) for _ in range(blocks))
            incoming, stride = channels, 2
        self.stages = nn.Sequential(*stages)
        side = configuration.image_size // configuration.stride >> (len(configuration.channels) - 1)
        self.projection = nn.Linear(incoming * side * side, dimension)

    def forward(self, pixels: Tensor) -> Tensor:
        """float32 [n, 3, size, size] → [n, d]."""
        # channels_last: twice as fast on a CPU, the same numbers
        maps = self.stages(pixels.contiguous(memory_format=torch.channels_last))
        projected: Tensor = self.projection(maps.flatten(1))
        return projected


class Residual(nn.Module):
    """Two convolutions beside the identity."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = _convolution(channels, channels)
        self.second = nn.Sequential(nn.Conv2d(channels, channels, 3, padding=1, bias=False), nn.BatchNorm2d(channels))

    def forward(self, maps: Tensor) -> Tensor:
        """[n, c, h, w] → the same shape."""
        return torch.relu(maps + self.second(self.first(maps)))


class TextTower(nn.Module):
    """A pre-norm transformer that reads the whole text at once and answers at its last token."""

    def __init__(self, configuration: CompactText, dimension: int) -> None:
        super().__init__()
        width = configuration.width
        self.embedding = nn.Embedding(configuration.vocab_size, configuration.embedding)
        self.widening = nn.Linear(configuration.embedding, width, bias=False)
        self.position = nn.Parameter(torch.randn(configuration.context_length, width) * 0.01)
        layer = nn.TransformerEncoderLayer(
            width, configuration.heads, 2 * width, dropout=0.0, activation="gelu", batch_first=True, norm_first=True
        )
        self.layers = nn.TransformerEncoder(layer, configuration.layers, enable_nested_tensor=False)
        self.norm = nn.LayerNorm(width)
        self.projection = nn.Linear(width, dimension, bias=False)
        nn.init.normal_(self.embedding.weight, std=0.1)

    def forward(self, tokens: Tensor) -> Tensor:
        """int64 [n, context_length], 0 after the end → [n, d]."""
        # no text of the batch needs the columns that are padding in all of them
        longest = int((tokens != 0).sum(dim=1).max()) if len(tokens) else 1
        tokens = tokens[:, :longest]
        padding = tokens == 0
        states = self.widening(self.embedding(tokens)) + self.position[:longest]
        states = self.norm(self.layers(states, src_key_padding_mask=padding))
        # the end-of-text token has the largest number of all
        ends = states[torch.arange(len(tokens), device=tokens.device), tokens.argmax(dim=1)]
        projected: Tensor = self.projection(ends)
        return projected


def _convolution(incoming: int, outgoing: int, stride: int = 1) -> nn.Sequential:
    size = max(3, 2 * stride - 1)  # no pixel between two windows is left out
    return nn.Sequential(
        nn.Conv2d(incoming, outgoing, size, stride=stride, padding=size // 2, bias=False),
        nn.BatchNorm2d(outgoing),
        nn.ReLU(inplace=True),
    )


def _parts(tower: dict[str, Any]) -> tuple[CompactImage, CompactText]:
    try:
        image = dict(tower["vision_cfg"])
        vision = CompactImage(**{**image, "channels": tuple(image["channels"]), "blocks": tuple(image["blocks"])})
        return vision, CompactText(**tower["text_cfg"])
    except (KeyError, TypeError):
        raise Rejected("This is no compact tower: check vision_cfg and text_cfg.", field="tower") from None
