"""What the room can be told."""

from typing import Annotated
from urllib.parse import urlsplit

from g3_kit.settings import RoomSettings
from pydantic import AfterValidator, Field, SecretStr, ValidationInfo, field_validator


def _http(url: str) -> str:
    parts = urlsplit(url)
    if url and (parts.scheme not in {"http", "https"} or not parts.hostname):
        raise ValueError("give an http:// or https:// URL, usually ending in /v1")
    return url


class GenerationSettings(RoomSettings):
    """Settings of the generation worker; field `x` is read from `G3_X`."""

    broker_url: str = Field(min_length=1, description="amqp://… or pgmq://…, where the bell rings")
    stages_target: str = Field(default="127.0.0.1:7111", min_length=1, description="the orchestrator's StageService")
    lmm_url: Annotated[str, AfterValidator(_http)] = Field(
        default="", description="base URL of an OpenAI-compatible endpoint; none: stages are given back at once"
    )
    lmm_model: str = Field(
        default="", validate_default=True, description="the model's name there; needed with G3_LMM_URL"
    )
    lmm_api_key: SecretStr = SecretStr("")
    lmm_max_tokens: int = Field(default=512, ge=1, le=16_384, description="longest answer in tokens")
    lmm_timeout_s: float = Field(default=60.0, gt=0, le=3600, description="longest wait for one call")
    lmm_calls: int = Field(default=32, ge=1, le=1024, description="most calls in flight at once")
    lmm_tries: int = Field(default=4, ge=1, le=20, description="failures in a row before a prompt is given up")
    lmm_failures: int = Field(
        default=5, ge=1, le=1000, description="failures in a row, of any stage, until the endpoint is left alone"
    )
    lmm_seeds: bool = Field(default=True, description="whether samples are drawn with seeds; 0 for vLLM on a CPU")
    lmm_photo_px: int = Field(default=1024, ge=32, le=1024, description="longest side of the photo as it is sent")
    lmm_drain_s: float = Field(
        default=20.0, ge=0, le=3600, description="how long calls in flight may go on after SIGTERM"
    )
    generation_concurrency: int = Field(default=24, ge=1, le=64, description="most stages in hand at once")

    @field_validator("lmm_model")
    @classmethod
    def _is_named(cls, model: str, info: ValidationInfo) -> str:
        if info.data.get("lmm_url") and not model:
            raise ValueError("is required with G3_LMM_URL")
        return model
