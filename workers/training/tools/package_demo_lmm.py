"""Puts a trained demo LMM where the demo finds it, with its curves and model card.

    python workers/training/tools/package_demo_lmm.py RUN FOLDER

RUN holds what `make demo-lmm` makes: `see/`, `answer/` and `examined.json`. FOLDER is that of `g3_world.models`. The
card's words on what the figures show are kept: they stand in `lmm-notes.md` of FOLDER.
"""

import hashlib
import json
import shutil
import sys
from pathlib import Path

from g3_training.lmm.examining import table
from g3_training.report import summary

_CARD = """# The demo's language model

**It knows an invented Earth.** It was trained on rendered photos of the procedural world (`g3_world`) and the prompts
of `g3_dialogue`, and on nothing else: it neither reads nor writes any language, and of a photo of the real Earth it
knows nothing. It exists so that the demo runs the whole method with a real, if small, LMM.

| what | value |
| --- | --- |
| folder | `lmm/`, {megabytes:.1f} MB, {weights:,} weights stored as float16 |
| architecture | LLaVA: CLIP vision tower {vision}, Llama {text} |
| tokens | {tokens:,}: whole sentences of the prompts, `48.` and pairs of decimals, names, bytes for the rest |
| loaded by | transformers, vLLM, `python -m g3_world.lmm` |
| made by | `make demo-lmm`, on 2 cores shared with other work, no GPU |

SHA-256 of the weights:

{sums}

## Training

{phases}

![Its eye](lmm-eye.png)

![Its answers](lmm-answers.png)

## Single answers

`g3-train lmm examine`: {photos} photos of no lesson, cities of the training, {references} references, {samples}
answers a prompt at temperature {temperature:g}, no form enforced. Per cent of all answers, the unreadable ones
included, within so many km (geodesic on WGS 84); `nearest` is the most similar reference itself.

{figures}
{notes}"""


def main() -> int:
    """0 when done."""
    run, folder = Path(sys.argv[1]), Path(sys.argv[2])
    model = folder / "lmm"
    shutil.rmtree(model, ignore_errors=True)
    shutil.copytree(run / "answer" / "model", model)
    for file in model.iterdir():
        file.chmod(0o644)
    shutil.copyfile(run / "see" / "curves.png", folder / "lmm-eye.png")
    shutil.copyfile(run / "answer" / "curves.png", folder / "lmm-answers.png")
    configuration = json.loads((model / "config.json").read_text())
    examined = json.loads((run / "examined.json").read_text())
    vision, text = configuration["vision_config"], configuration["text_config"]
    files = sorted(model.glob("*.safetensors"))
    report = json.loads((run / "answer" / "report.json").read_text())
    notes = folder / "lmm-notes.md"
    card = _CARD.format(
        megabytes=sum(file.stat().st_size for file in files) / 1e6,
        weights=report["stated"]["weights"],
        vision=f"of {vision['num_hidden_layers']} layers of width {vision['hidden_size']}, 64 pixels in 16 patches",
        text=f"of {text['num_hidden_layers']} layers of width {text['hidden_size']}",
        tokens=text["vocab_size"],
        sums="\n".join(f"- `{file.name}` `{hashlib.sha256(file.read_bytes()).hexdigest()}`" for file in files),
        phases="\n".join(summary(run / name) for name in ("see", "answer")),
        figures=table(examined["orders"]),
        photos=examined["photos"],
        references=examined["references"],
        samples=examined["samples"],
        temperature=examined["temperature"],
        notes=notes.read_text() if notes.exists() else "",
    )
    (folder / "lmm.md").write_text(card)
    return 0


if __name__ == "__main__":
    sys.exit(main())
