"""A LLaVA (CLIP vision, Llama text) with random weights, small enough for a test, in the files that vLLM reads.

    python tests/servers/tiny_llava.py FOLDER

It knows nothing: what it says is noise, but it takes photos, keeps the order of a message's parts, fills caches and
obeys grammars as a large one does. Its architecture and its files are those of LLaVA-1.5 (`llava-hf/llava-1.5-7b-hf`):
class token dropped, features of the last layer but one, two-layer projector.
"""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_SPECIAL = ("<pad>", "<s>", "</s>", "<image>")
_PAD, _BEGIN, _END, _IMAGE = range(4)

# Parts of a message come out in the order in which they went in: prefix caching depends on it.
_CHAT = (
    "{{ '<s>' }}{% for message in messages %}{{ message['role'] + ': ' }}"
    "{% if message['content'] is string %}{{ message['content'] }}{% else %}"
    "{% for part in message['content'] %}"
    "{% if part['type'] == 'image' %}{{ '<image>' }}{% else %}{{ part['text'] }}{% endif %}"
    "{% endfor %}{% endif %}{{ '\\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ 'assistant: ' }}{% endif %}"
)


@dataclass(frozen=True)
class Shape:
    """How large. `image_px` a side in patches of `patch_px`: (image_px / patch_px)² tokens a photo."""

    image_px: int = 64
    patch_px: int = 16
    width: int = 64
    layers: int = 2
    context: int = 8192

    @property
    def image_tokens(self) -> int:
        return (self.image_px // self.patch_px) ** 2


SMALL = Shape()
LLAVA_1_5 = Shape(image_px=336, patch_px=14)
"""As many tokens a photo as LLaVA-1.5: 576."""
SHARP = Shape(image_px=434, patch_px=14)
"""About as many as models of any resolution make of a claim's photo: 961 (Qwen2.5-VL: 999 of 1,024 x 768)."""


def write(folder: Path, *, shape: Shape = SMALL, seed: int = 0, corpus: Sequence[str] = ()) -> Path:
    """Writes config, weights, tokenizer and processor; returns `folder`. The same arguments give the same weights.

    One token a byte, unless a `corpus` is given: then up to 3,000 merges of byte pairs learnt from it, so that words
    have about as many tokens as in a real tokenizer.
    """
    import torch
    from transformers import CLIPVisionConfig, LlamaConfig, LlavaConfig, LlavaForConditionalGeneration

    vocabulary = _write_processor(folder, shape, corpus)
    heads = shape.width // 32
    sizes: dict[str, Any] = {
        "hidden_size": shape.width,
        "intermediate_size": 2 * shape.width,
        "num_hidden_layers": shape.layers,
    }
    vision = CLIPVisionConfig(
        **sizes, num_attention_heads=heads, image_size=shape.image_px, patch_size=shape.patch_px, projection_dim=64
    )
    text = LlamaConfig(
        **sizes,
        num_attention_heads=heads,
        num_key_value_heads=heads,
        vocab_size=vocabulary,
        max_position_embeddings=shape.context,
        pad_token_id=_PAD,
        bos_token_id=_BEGIN,
        eos_token_id=_END,
    )
    config = LlavaConfig(
        vision_config=vision, text_config=text, image_token_index=_IMAGE, image_seq_length=shape.image_tokens
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        LlavaForConditionalGeneration(config).save_pretrained(folder)
    name_as_vllm_does(folder / "model.safetensors")
    return folder


def name_as_vllm_does(file: Path) -> None:
    """Renames weights that transformers 5 saved: vLLM looks for those of CLIP below `vision_tower.vision_model`.

    transformers 5 reads either.
    """
    from safetensors.torch import load_file, save_file

    ours, theirs = "vision_tower.", "vision_tower.vision_model."
    weights = {
        name.replace(ours, theirs, 1) if name.startswith(ours) and not name.startswith(theirs) else name: weight
        for name, weight in load_file(file).items()
    }
    save_file(weights, file, metadata={"format": "pt"})


def _write_processor(folder: Path, shape: Shape, corpus: Sequence[str]) -> int:
    """Writes tokenizer and image processor; returns the number of tokens there are."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import CLIPImageProcessor, LlavaProcessor, PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=len(_SPECIAL) + 256 + (3000 if corpus else 0),
        special_tokens=list(_SPECIAL),
        initial_alphabet=alphabet,
        show_progress=False,
    )
    tokenizer.train_from_iterator(corpus, trainer)
    wrapped = PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]
        tokenizer_object=tokenizer,
        pad_token="<pad>",
        bos_token="<s>",
        eos_token="</s>",
        extra_special_tokens={"image_token": "<image>"},
        model_max_length=shape.context,
    )
    side = {"height": shape.image_px, "width": shape.image_px}
    LlavaProcessor(  # type: ignore[no-untyped-call]
        image_processor=CLIPImageProcessor(size={"shortest_edge": shape.image_px}, crop_size=side),
        tokenizer=wrapped,
        patch_size=shape.patch_px,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
        chat_template=_CHAT,
    ).save_pretrained(folder)
    return len(wrapped)


if __name__ == "__main__":
    print(write(Path(sys.argv[1])))
