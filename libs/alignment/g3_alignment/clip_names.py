"""Which tensors of a published checkpoint are a tensor of ours: transformers' CLIP, G3's heads, GeoCLIP's GPS encoder.

What differs beside names: transformers has queries, keys and values apart where open_clip stacks them in this order
into one `in_proj`, and its projections to the shared space are linear layers [d, width] where open_clip keeps a
parameter [width, d].
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Source:
    """The tensors `names` of the file, stacked in this order, then transposed if `transposed`."""

    names: tuple[str, ...]
    transposed: bool = False

    def expected(self, target: Tensor) -> dict[str, Tensor]:
        """What the file must have for `target`: tensors of the right shapes, on the meta device."""
        whole = torch.empty(target.shape, dtype=target.dtype, device="meta")
        parts = (whole.T if self.transposed else whole).chunk(len(self.names)) if whole.ndim else (whole,)
        return dict(zip(self.names, parts, strict=True))

    def taken(self, weights: Mapping[str, Tensor]) -> Tensor:
        """Our tensor, from the file's, which fit: float32 and contiguous."""
        parts = [weights[name].to(torch.float32) for name in self.names]
        whole = torch.cat(parts) if len(parts) > 1 else parts[0]
        return (whole.T if self.transposed else whole).contiguous()


# left out: the scale of CLIP's own pre-training, which the published file lacks and no vector uses
_UNPUBLISHED = "tower.logit_scale"

_WHOLE = {
    "tower.visual.class_embedding": Source(("vision_model.embeddings.class_embedding",)),
    "tower.visual.conv1.weight": Source(("vision_model.embeddings.patch_embedding.weight",)),
    "tower.visual.positional_embedding": Source(("vision_model.embeddings.position_embedding.weight",)),
    "tower.visual.proj": Source(("vision_projection.weight",), transposed=True),
    "tower.token_embedding.weight": Source(("text_model.embeddings.token_embedding.weight",)),
    "tower.positional_embedding": Source(("text_model.embeddings.position_embedding.weight",)),
    "tower.text_projection": Source(("text_projection.weight",), transposed=True),
    # The reference's loss multiplies text · image logits by the first and GPS · image logits by the second. The third
    # is in its file but in no loss: what is left for it is the third pair, text and GPS.
    "logit_scale_image_text": Source(("logit_scale1",)),
    "logit_scale_image_gps": Source(("logit_scale2",)),
    "logit_scale_text_gps": Source(("logit_scale3",)),
}
_PREFIXES = {
    "tower.visual.ln_pre.": "vision_model.pre_layrnorm.",  # so spelt in transformers
    "tower.visual.ln_post.": "vision_model.post_layernorm.",
    "tower.ln_final.": "text_model.final_layer_norm.",
    "image_text_head.": "vision_projection_else_1.",
    "image_gps_head.": "vision_projection_else_2.",
    "text_head.": "text_projection_else.",
    "gps_head.": "location_projection_else.",
}
_BLOCK = re.compile(r"tower\.(visual\.)?transformer\.resblocks\.(\d+)\.(.+[._])(weight|bias)")
_BLOCK_PARTS = {
    "ln_1.": "layer_norm1.",
    "ln_2.": "layer_norm2.",
    "attn.out_proj.": "self_attn.out_proj.",
    "mlp.c_fc.": "mlp.fc1.",
    "mlp.c_proj.": "mlp.fc2.",
}
_STACKED = "attn.in_proj_"
_CAPSULE = re.compile(r"gps_encoder\.capsules\.(\d+)\.(.+)")
_CAPSULE_PARTS = {
    "frequencies": "capsule.0.b",
    **{f"layers.{ours}.{kind}": f"capsule.{ours + 1}.{kind}" for ours in (0, 2, 4) for kind in ("weight", "bias")},
    "layers.6.weight": "head.0.weight",
    "layers.6.bias": "head.0.bias",
}


def sources(names: Iterable[str]) -> dict[str, Source]:
    """For each of `names`, as in `AlignmentModel.state_dict`, what it is made of; `tower.logit_scale` has none."""
    return {name: _source(name) for name in names if name != _UNPUBLISHED}


def _source(name: str) -> Source:
    if name in _WHOLE:
        return _WHOLE[name]
    for ours, theirs in _PREFIXES.items():
        if name.startswith(ours):
            return Source((theirs + name.removeprefix(ours),))
    if capsule := _CAPSULE.fullmatch(name):
        return Source((f"location_encoder.LocEnc{capsule[1]}.{_CAPSULE_PARTS[capsule[2]]}",))
    if block := _BLOCK.fullmatch(name):
        layer = f"{'vision' if block[1] else 'text'}_model.encoder.layers.{block[2]}."
        if block[3] == _STACKED:
            return Source(tuple(f"{layer}self_attn.{part}_proj.{block[4]}" for part in "qkv"))
        return Source((f"{layer}{_BLOCK_PARTS[block[3]]}{block[4]}",))
    raise KeyError(name)  # a model that `published.configuration_of` makes has no other
