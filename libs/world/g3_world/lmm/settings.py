"""What the server can be told."""

import os
from pathlib import Path

from g3_kit.settings import RoomSettings
from pydantic import Field


class LmmSettings(RoomSettings):
    """Settings of `python -m g3_world.lmm`; field `x` is read from `G3_X`."""

    lmm_folder: Path = Field(description="a Hugging Face folder of a LLaVA: config, weights, tokenizer, processor")
    lmm_served_name: str = Field(default="g3-demo-lmm", min_length=1, description="the model's name in requests")
    lmm_port: int = Field(default=8000, ge=0, le=65535, description="0: any free one")
    lmm_threads: int = Field(
        default=max(1, (os.cpu_count() or 2) // 2), ge=1, le=256, description="threads that compute"
    )
    lmm_waiting: int = Field(default=64, ge=1, le=4096, description="requests that may wait; further ones get 429")
    lmm_samples: int = Field(default=32, ge=1, le=256, description="answers written together")
    lmm_batch_tokens: int = Field(default=16_384, ge=1, description="tokens held for them together")
    lmm_cached_tokens: int = Field(default=8192, ge=0, description="tokens of earlier prompts kept for later ones")
    lmm_max_body_bytes: int = Field(default=16 * 1024 * 1024, ge=1024, description="longest request")
