"""The demo's models, trained on the procedural world alone: of the real Earth they know nothing.

`alignment.md` is the model card; `make demo-models` makes the file anew.
"""

import json
from pathlib import Path

ALIGNMENT = Path(__file__).with_name("alignment.safetensors")
"""A checkpoint for `g3_alignment.load`: the preset `demo`, stored as float16."""

_PINS = json.loads(Path(__file__).with_name("alignment.json").read_text("utf-8"))
ALIGNMENT_SHA256: str = _PINS["sha256"]
ALIGNMENT_FINGERPRINT: str = _PINS["fingerprint"]

LMM = Path(__file__).with_name("lmm")
"""The folder of the demo's LMM, a LLaVA for `g3_world.lmm` and vLLM."""
