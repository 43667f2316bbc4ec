"""`g3_world.lmm` over a tiny model of noise, in this process."""

import base64
import io
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import httpx
from g3_kit.health import Health
from g3_world import photo
from g3_world.lmm.app import start
from g3_world.lmm.settings import LmmSettings
from PIL import Image

NAME = "tiny"


@contextmanager
def serving(folder: Path, **told: Any) -> Iterator[str]:
    """The address of a server of the model in `folder`; `told` are its settings."""
    settings = LmmSettings(lmm_folder=folder, lmm_served_name=NAME, lmm_port=0, lmm_threads=1, **told)
    with ExitStack() as stack:
        yield f"http://127.0.0.1:{start(settings, Health(), stack)}"


def jpeg(seed: int = 7, side: int = 64) -> bytes:
    """A rendered photo."""
    file = io.BytesIO()
    Image.fromarray(photo(48.85, 2.35, seed, side)).save(file, "JPEG")
    return file.getvalue()


def data_url(data: bytes) -> str:
    """A photo as a request has it."""
    return "data:image/jpeg;base64," + base64.b64encode(data).decode()


def chat(text: str = "Where?", photo_: bytes | None = None, **fields: Any) -> dict[str, Any]:
    """The body of a request, the photo first."""
    shown = [] if photo_ is None else [{"type": "image_url", "image_url": {"url": data_url(photo_)}}]
    content = [*shown, {"type": "text", "text": text}]
    return {"model": NAME, "messages": [{"role": "user", "content": content}], "max_tokens": 8, **fields}


def texts(answer: httpx.Response) -> list[str]:
    """What was said. Raises AssertionError for a refusal."""
    assert answer.status_code == 200, answer.text
    return [choice["message"]["content"] for choice in answer.json()["choices"]]
