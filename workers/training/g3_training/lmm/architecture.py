"""The demo LMM's shape: `LlavaForConditionalGeneration` over a CLIP vision tower and a Llama, a few million weights."""

from dataclasses import dataclass
from typing import Any

import torch
from g3_kit.errors import Rejected
from transformers import CLIPVisionConfig, LlamaConfig, LlavaConfig, LlavaForConditionalGeneration

from g3_training.lmm.tokens import ANSWER, BEGIN, END, IMAGE, PAD, Tokens

PHOTO_PX = 64
PATCH_PX = 16
CARRIED = 0.5
"""How strongly attention carries over what it attends to, at the start."""
MAX_TOKENS = 2048
"""Of a prompt with its answer: two kinds of fifty references with names of many tokens."""


@dataclass(frozen=True)
class Size:
    """Widths and depths. The default has six million weights: 12 MB as float16, beside 6 MB of alignment."""

    vision_width: int = 192
    vision_layers: int = 4
    text_width: int = 256
    text_layers: int = 5
    text_inner: int = 512
    heads: int = 4

    def __post_init__(self) -> None:
        """Raises Rejected when the heads do not divide the widths."""
        if self.vision_width % self.heads or self.text_width % self.heads:
            raise Rejected("heads must divide both widths.", field="heads")


def configuration(size: Size, tokens: Tokens) -> LlavaConfig:
    """The configuration as transformers and vLLM read it."""
    ids = tokens.ids
    vision = CLIPVisionConfig(
        hidden_size=size.vision_width,
        intermediate_size=4 * size.vision_width,
        num_hidden_layers=size.vision_layers,
        num_attention_heads=size.heads,
        image_size=PHOTO_PX,
        patch_size=PATCH_PX,
        projection_dim=size.vision_width,
        hidden_act="quick_gelu",
    )
    text = LlamaConfig(
        vocab_size=len(tokens),
        hidden_size=size.text_width,
        intermediate_size=size.text_inner,
        num_hidden_layers=size.text_layers,
        num_attention_heads=size.heads,
        num_key_value_heads=size.heads,
        max_position_embeddings=MAX_TOKENS,
        tie_word_embeddings=True,
        bos_token_id=ids[BEGIN],
        eos_token_id=ids[END],
        pad_token_id=ids[PAD],
    )
    return LlavaConfig(
        vision_config=vision,
        text_config=text,
        image_token_index=ids[IMAGE],
        # The last layer, without the class token: sixteen patches of sixteen pixels.
        vision_feature_layer=-1,
        vision_feature_select_strategy="default",
        image_seq_length=(PHOTO_PX // PATCH_PX) ** 2,
        projector_hidden_act="gelu",
        tie_word_embeddings=True,
    )


def initialised(size: Size, tokens: Tokens, seed: int) -> LlavaForConditionalGeneration:
    """The model with random weights of this seed, float32, on the CPU.

    But for values and outputs of the language model's attention, which begin as the identity (after the mimetic
    initialisation of Trockman and Kolter, 2023): what a head attends to is then carried over as it is, and copying a
    reference is a question of where to look alone. After seven thousand lessons a token of an answer cost 2.4 nats, and
    2.8 from random weights.
    """
    torch.manual_seed(seed)
    model = LlavaForConditionalGeneration(configuration(size, tokens))
    same = torch.eye(size.text_width)
    with torch.no_grad():
        for layer in model.model.language_model.layers:
            layer.self_attn.v_proj.weight.copy_(same)
            layer.self_attn.o_proj.weight.copy_(CARRIED * same)
    return model


def sizes(model: LlavaForConditionalGeneration) -> dict[str, Any]:
    """How many weights there are, apart."""
    count = {"weights": sum(parameter.numel() for parameter in model.parameters())}
    count["vision"] = sum(parameter.numel() for parameter in model.model.vision_tower.parameters())
    return count


__all__ = ["ANSWER", "MAX_TOKENS", "PATCH_PX", "PHOTO_PX", "Size", "configuration", "initialised", "sizes"]
