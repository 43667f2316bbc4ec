"""A checkpoint in the reference's layout, and what the reference computes with it.

Towers are transformers' own classes; heads and GPS encoder are written here in plain torch, without this library.
"""

from dataclasses import dataclass
from typing import Any

import torch
from open_clip import SimpleTokenizer
from pyproj import Transformer
from torch import Tensor, nn
from transformers import CLIPConfig, CLIPModel

TEXTS = [
    "A street view photo taken in Dublin, Leinster, Ireland",
    "A street view photo taken in Perú",
    "x",
    "",
    "A street view photo taken in Llanfairpwllgwyngyllgogerychwyrndrobwllllantysiliogogogoch, Anglesey, Wales, " * 4,
]
PLACES = [(53.35, -6.26), (-33.86, 151.21), (0.0, 0.0), (84.9, -179.99), (-84.9, 179.99), (1e-7, 90.0)]
END = 49_407


@dataclass(frozen=True)
class Sizes:
    image: int
    patch: int
    image_width: int
    image_layers: int
    text_width: int
    text_layers: int
    dimension: int
    features: int
    hidden: int
    gps_width: int
    mlp_ratio: int = 4


TINY = Sizes(32, 8, 128, 2, 64, 3, 48, 24, 40, 20)
FULL = Sizes(224, 14, 1024, 24, 768, 12, 768, 256, 1024, 512)


class Reference(nn.Module):
    """The reference's modules under the reference's names."""

    def __init__(self, sizes: Sizes) -> None:
        super().__init__()
        clip = CLIPModel(_clip_configuration(sizes))
        self.vision_model, self.vision_projection = clip.vision_model, clip.visual_projection
        self.text_model, self.text_projection = clip.text_model, clip.text_projection
        d, width = sizes.dimension, sizes.gps_width
        self.vision_projection_else_1, self.vision_projection_else_2 = _head(d, d), _head(d, d)
        self.text_projection_else, self.location_projection_else = _head(d, d), _head(width, d)
        self.location_encoder = nn.Module()
        for number, sigma in enumerate((2.0**0, 2.0**4, 2.0**8)):
            self.location_encoder.add_module(f"LocEnc{number}", _capsule(sigma, sizes))
        for number in (1, 2, 3):
            self.register_parameter(f"logit_scale{number}", nn.Parameter(torch.tensor(3.0 + number / 10)))
        self.sizes = sizes
        with torch.no_grad():  # transformers starts biases at nought and norms at one, where mixed-up ones do not show
            for name, weight in self.named_parameters():
                if name.endswith("bias"):
                    weight.normal_(std=0.1)
                elif "norm" in name:
                    weight.normal_(mean=1.0, std=0.2)
        self.eval()

    @torch.no_grad()
    def image_vectors(self, pixels: Tensor) -> list[Tensor]:
        projected = self.vision_projection(self.vision_model(pixels)[1])
        return [
            _unit(projected),
            _unit(self.vision_projection_else_1(projected)),
            _unit(self.vision_projection_else_2(projected)),
        ]

    @torch.no_grad()
    def text_vectors(self, texts: list[str]) -> Tensor:
        tokens = SimpleTokenizer()(texts)
        # as CLIP's own tokenizer in transformers pads: with ends of text, masked
        ends = (tokens == END).int().argmax(dim=1, keepdim=True)
        kept = torch.arange(tokens.shape[1]) <= ends
        tokens = torch.where(kept, tokens, torch.full_like(tokens, END))
        pooled = self.text_model(input_ids=tokens, attention_mask=kept.long())[1]
        return _unit(self.text_projection_else(self.text_projection(pooled)))

    @torch.no_grad()
    def gps_vectors(self, places: list[tuple[float, float]]) -> Tensor:
        latitudes, longitudes = zip(*places, strict=True)
        easting, northing = Transformer.from_crs(4326, 3857, always_xy=True).transform(longitudes, latitudes)
        projected = torch.tensor([northing, easting], dtype=torch.float64).T / 20037508.3427892
        summed: Any = 0
        for encoder in self.location_encoder.double().children():
            assert isinstance(encoder, nn.Module)
            turns: Tensor = 2 * torch.pi * projected @ encoder.capsule[0].b.T  # type: ignore[index,union-attr]
            features = torch.cat((torch.cos(turns), torch.sin(turns)), dim=-1)
            summed = summed + encoder.head(encoder.capsule[1:](features))  # type: ignore[index,operator]
        return _unit(self.location_projection_else.double()(summed))


class _Fourier(nn.Module):
    def __init__(self, sigma: float, features: int) -> None:
        super().__init__()
        self.register_buffer("b", torch.randn(features, 2) * sigma)


def _clip_configuration(sizes: Sizes) -> CLIPConfig:
    # end of text as OpenAI's config.json has it: 2, which transformers takes for "the largest token"
    text = {"vocab_size": 49_408, "max_position_embeddings": 77, "eos_token_id": 2}
    text |= _transformer(sizes.text_width, sizes.text_layers, sizes.mlp_ratio)
    image = {"image_size": sizes.image, "patch_size": sizes.patch}
    image |= _transformer(sizes.image_width, sizes.image_layers, sizes.mlp_ratio)
    return CLIPConfig(text_config=text, vision_config=image, projection_dim=sizes.dimension)


def _transformer(width: int, layers: int, mlp_ratio: int) -> dict[str, Any]:
    return {
        "hidden_size": width, "num_hidden_layers": layers, "num_attention_heads": width // 64,
        "intermediate_size": mlp_ratio * width, "hidden_act": "quick_gelu",
    }  # fmt: skip


def _head(width: int, dimension: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(width, width), nn.ReLU(), nn.Linear(width, dimension))


def _capsule(sigma: float, sizes: Sizes) -> nn.Module:
    hidden = sizes.hidden
    encoder = nn.Module()
    encoder.capsule = nn.Sequential(
        _Fourier(sigma, sizes.features), nn.Linear(2 * sizes.features, hidden), nn.ReLU(), nn.Linear(hidden, hidden),
        nn.ReLU(), nn.Linear(hidden, hidden), nn.ReLU(),
    )  # fmt: skip
    encoder.head = nn.Sequential(nn.Linear(hidden, sizes.gps_width))
    return encoder


def _unit(vectors: Tensor) -> Tensor:
    unit: Tensor = vectors / vectors.norm(p=2, dim=-1, keepdim=True)
    return unit
