"""The folder that transformers and vLLM load."""

import json
import shutil
from pathlib import Path

import torch
from g3_alignment import Preprocessing
from safetensors.torch import save_file
from transformers import LlavaForConditionalGeneration

from g3_training.lmm.architecture import PATCH_PX
from g3_training.lmm.tokens import Tokens
from g3_training.writing import write_json

FILE_BYTES = 9_000_000
"""No file of the demo's weights is above 10 MB."""


def package(model: LlavaForConditionalGeneration, tokens: Tokens, preprocessing: Preprocessing, folder: Path) -> None:
    """Writes the whole folder anew: weights as float16 in files of at most 9 MB, configuration, tokenizer, template."""
    draft = folder.with_name(folder.name + ".part")
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir(parents=True)
    _weights(model, draft)
    model.config.dtype = torch.float16
    model.config.architectures = ["LlavaForConditionalGeneration"]
    model.config.save_pretrained(draft)
    ids = tokens.ids
    write_json(
        draft / "generation_config.json",
        {"bos_token_id": ids["<s>"], "eos_token_id": ids["</s>"], "pad_token_id": ids["<pad>"], "do_sample": True},
    )
    tokens.save(draft)
    write_json(draft / "processor_config.json", {"processor_class": "LlavaProcessor", **_processor()})
    write_json(draft / "preprocessor_config.json", _preprocessor(preprocessing))
    shutil.rmtree(folder, ignore_errors=True)
    draft.rename(folder)


def _weights(model: LlavaForConditionalGeneration, folder: Path) -> None:
    """vLLM knows the tower's weights as `vision_tower.vision_model.…`; transformers reads both names."""
    files: list[dict[str, torch.Tensor]] = [{}]
    size = 0
    for name, weight in _named(model).items():
        stored = weight.detach().cpu().to(torch.float16).contiguous()
        bytes_ = stored.numel() * stored.element_size()
        if size + bytes_ > FILE_BYTES:
            files.append({})
            size = 0
        files[-1][name] = stored
        size += bytes_
    names = [f"model-{number:05}-of-{len(files):05}.safetensors" for number in range(1, len(files) + 1)]
    where: dict[str, str] = {}
    for file, part in zip(names, files, strict=True):
        save_file(part, folder / file, metadata={"format": "pt"})
        where.update(dict.fromkeys(part, file))
    total = sum(weight.numel() * weight.element_size() for part in files for weight in part.values())
    index = {"metadata": {"total_size": total}, "weight_map": where}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index, indent=1) + "\n", "utf-8")


def _named(model: LlavaForConditionalGeneration) -> dict[str, torch.Tensor]:
    """The weights by the names that LLaVA's published checkpoints have."""
    named = {}
    for name, weight in model.state_dict().items():
        if name == "lm_head.weight":
            continue  # tied to the embedding
        where, _, rest = name.removeprefix("model.").partition(".")
        if where == "vision_tower":
            named[f"vision_tower.vision_model.{rest.removeprefix('vision_model.')}"] = weight
        elif where == "language_model":
            named[f"language_model.model.{rest}"] = weight
        else:
            named[f"{where}.{rest}"] = weight
    return named


def _processor() -> dict[str, object]:
    return {
        "image_token": "<image>",
        "patch_size": PATCH_PX,
        "vision_feature_select_strategy": "default",
        # the class token, which the strategy then leaves out
        "num_additional_image_tokens": 1,
    }


def _preprocessor(preprocessing: Preprocessing) -> dict[str, object]:
    return {
        "image_processor_type": "CLIPImageProcessor",
        "do_convert_rgb": True,
        "do_resize": True,
        "size": {"shortest_edge": preprocessing.size},
        "resample": 3,
        "do_center_crop": True,
        "crop_size": {"height": preprocessing.size, "width": preprocessing.size},
        "do_rescale": True,
        "rescale_factor": 1 / 255,
        "do_normalize": True,
        "image_mean": list(preprocessing.mean),
        "image_std": list(preprocessing.std),
    }
