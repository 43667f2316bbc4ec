"""CLIP's two towers and its tokenizer, by open_clip, from nothing but its package: no download.

open_clip is imported inside the functions: it takes seconds and hundreds of megabytes, which a process that loads the
GPS part alone (verification) must not pay.
"""

import json
from collections.abc import Callable
from typing import Any

from g3_kit.errors import Missing, Rejected
from torch import Tensor, nn

from g3_alignment import compact

Tokenizer = Callable[[list[str]], Tensor]


def architecture(name: str) -> dict[str, Any]:
    """The model configuration of an architecture of open_clip's. Raises Missing for a name that it does not have."""
    import open_clip

    if name not in open_clip.list_models():
        raise Missing(f"open_clip has no architecture named {name}.", field="tower")
    known: dict[str, Any] = json.loads(json.dumps(open_clip.get_model_config(name)))
    return known


def build_tower(tower: dict[str, Any]) -> nn.Module:
    """The towers of an open_clip model configuration, with weights drawn from torch's current generator.

    One whose "kind" is "compact" is built by this library: see `compact`. Raises Rejected for a configuration that
    open_clip does not take.
    """
    if tower.get("kind") == compact.KIND:
        return compact.CompactClip(tower)
    import open_clip

    arguments = json.loads(json.dumps(tower))
    # a timm image tower would otherwise fetch its ImageNet weights
    arguments["vision_cfg"]["timm_model_pretrained"] = False
    custom_text = arguments.pop("custom_text", False)
    if "multimodal_cfg" in arguments:
        kind = open_clip.CoCa
    else:
        kind = open_clip.CustomTextCLIP if custom_text else open_clip.CLIP
    try:
        built: nn.Module = kind(**arguments)
    except (TypeError, ValueError, AssertionError, KeyError, ZeroDivisionError):
        raise Rejected("open_clip cannot build this tower: check its configuration.", field="tower") from None
    return built


def build_tokenizer(tower: dict[str, Any]) -> Tokenizer:
    """One or more texts → int64 [n, context_length], by CLIP's byte-pair vocabulary from open_clip's package."""
    import open_clip

    text = tower["text_cfg"]
    tokenizer = open_clip.SimpleTokenizer(
        context_length=text.get("context_length", 77), **(text.get("tokenizer_kwargs") or {})
    )

    def tokens(texts: list[str]) -> Tensor:
        numbered: Tensor = tokenizer(texts)
        return numbered

    return tokens
