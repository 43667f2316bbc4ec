"""Puts a trained demo model where the demo finds it, with its pins, curves and model card.

    python workers/training/tools/package_demo_model.py RUN FOLDER

RUN holds what `make demo-models` makes: `towers/`, `aligned/` and `measured.json`. FOLDER is that of
`g3_world.models`. The card's words on what the figures show are kept: they stand in `alignment-notes.md` of FOLDER.
"""

import hashlib
import json
import shutil
import sys
from pathlib import Path

from g3_alignment import describe
from g3_training.measuring import table
from g3_training.report import summary

_CARD = """# The demo's alignment model

**It knows an invented Earth.** It was trained on rendered photos of the procedural world (`g3_world`) and nothing else;
of a photo of the real Earth it knows nothing, and its answers there mean nothing. It exists so that the demo and the
tests find places rather than noise.

| what | value |
| --- | --- |
| file | `alignment.safetensors`, {megabytes:.1f} MB, {parameters:,} weights stored as float16 |
| SHA-256 | `{sha256}` |
| fingerprint | `{fingerprint}` |
| image tower | 64 pixels; convolutions of {channels} channels, one residual block each, flattened; d = {dimension} |
| text tower | CLIP's tokens, {embedding} numbers each, one transformer layer of width {width} |
| GPS encoder | capsules of sigma {sigmas} |
| made by | `make demo-models`, on 2 cores shared with other work, no GPU |

## Training

{phases}

![Phase 1](alignment-towers.png)

![Phase 2](alignment-heads.png)

## Accuracy

Per cent of rendered photos within so many km (geodesic on WGS 84), exact search, photos straight to the model:
`g3-train measure`. Seen: cities of the training, photos never used in it. Unseen: cities that no training photo shows.

- `img`, `img_gps`, `img_gps_text`: nearest reference by the plain CLIP vector, with the GPS-aligned one, by all three.
- `gallery`: the references' coordinates by image-GPS similarity. `chosen`: the best by it of the 20 references
  retrieved by all three vectors.
- `oracle`: the nearest of these 20. `ceiling`: the nearest of all references. `random`: any one.

{figures}
{notes}"""


def main() -> int:
    """0 when done."""
    run, folder = Path(sys.argv[1]), Path(sys.argv[2])
    model = folder / "alignment.safetensors"
    shutil.copyfile(run / "aligned" / "model.safetensors", model)
    shutil.copyfile(run / "towers" / "curves.png", folder / "alignment-towers.png")
    shutil.copyfile(run / "aligned" / "curves.png", folder / "alignment-heads.png")
    described = describe(model)
    pins = {"sha256": hashlib.sha256(model.read_bytes()).hexdigest(), "fingerprint": described.fingerprint.full}
    (folder / "alignment.json").write_text(json.dumps(pins, indent=1) + "\n")
    tower = described.configuration.tower
    notes = folder / "alignment-notes.md"
    card = _CARD.format(
        megabytes=model.stat().st_size / 1e6,
        parameters=described.parameters,
        **pins,
        channels="-".join(map(str, tower["vision_cfg"]["channels"])),
        dimension=described.configuration.dimension,
        embedding=tower["text_cfg"]["embedding"],
        width=tower["text_cfg"]["width"],
        sigmas=", ".join(f"{sigma:g}" for sigma in described.configuration.gps.sigmas),
        phases="\n".join(summary(run / name) for name in ("towers", "aligned")),
        figures=table(json.loads((run / "measured.json").read_text())),
        notes=notes.read_text() if notes.exists() else "",
    )
    (folder / "alignment.md").write_text(card)
    return 0


if __name__ == "__main__":
    sys.exit(main())
