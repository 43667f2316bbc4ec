"""A chat laid out by a Hugging Face folder's own template, tokenizer and image processor."""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from g3_kit.errors import Rejected
from g3_photo import Limits, read
from jinja2 import TemplateError
from transformers import AutoConfig, CLIPImageProcessorPil, GenerationConfig, PreTrainedTokenizerFast

from g3_world.lmm.model import Photo, Prompt
from g3_world.lmm.questions import Message

# A prompt holds the worker's rendition: 1 MiB and 1,024 pixels a side. Eight times that is no accident.
_LIMITS = Limits(max_bytes=8 * 1024 * 1024, max_pixels=16_000_000)


class TransformersTokens:
    """Reads `config.json`, the tokenizer, `chat_template.jinja` and the image processor of a LLaVA's folder."""

    def __init__(self, folder: Path) -> None:
        self._tokenizer: Any = PreTrainedTokenizerFast.from_pretrained(folder, local_files_only=True)
        self._images: Any = CLIPImageProcessorPil.from_pretrained(folder, local_files_only=True)
        config: Any = AutoConfig.from_pretrained(folder, local_files_only=True)
        ends: Any = GenerationConfig.from_pretrained(folder, local_files_only=True).eos_token_id
        self._ends = frozenset(ends if isinstance(ends, list) else [ends])
        self._image = int(config.image_token_id)
        side = config.vision_config.image_size // config.vision_config.patch_size
        self._places = side * side + (config.vision_feature_select_strategy == "full")
        added: dict[int, Any] = self._tokenizer.added_tokens_decoder
        self._special = tuple(token.content for token in added.values() if token.special)
        self._image_text = added[self._image].content

    @property
    def ends(self) -> frozenset[int]:
        return self._ends

    @property
    def tokenizer_json(self) -> str:
        """The tokenizer in the format of the `tokenizers` library."""
        return str(self._tokenizer.backend_tokenizer.to_str())

    def text(self, ids: Sequence[int]) -> str:
        return str(self._tokenizer.decode(list(ids), skip_special_tokens=True, clean_up_tokenization_spaces=False))

    def prompt(self, messages: Sequence[Message]) -> Prompt:
        """Raises Rejected for what is no photo, text that holds special tokens, and what the template refuses."""
        photos = [self._photo(part) for message in messages for part in message.parts if isinstance(part, bytes)]
        encoded = self._tokenizer.backend_tokenizer.encode(self._laid_out(messages), add_special_tokens=False)
        ids = np.array(encoded.ids, np.int64)
        holders = np.flatnonzero(ids == self._image)
        if len(holders) != len(photos):
            raise Rejected("the model's chat template does not show every photo", field="messages")
        spread = np.repeat(ids, np.where(ids == self._image, self._places, 1))
        marks = spread.copy()
        places = np.flatnonzero(spread == self._image)
        if not photos:
            return Prompt(spread, marks)
        marks[places] = np.repeat([photo.mark for photo in photos], self._places)
        return Prompt(spread, marks, tuple(photos), int(places[0]), int(places[-1]))

    def _laid_out(self, messages: Sequence[Message]) -> str:
        chat = [{"role": message.role, "content": [self._part(part) for part in message.parts]} for message in messages]
        try:
            return str(self._tokenizer.apply_chat_template(chat, tokenize=False, add_generation_prompt=True))
        except TemplateError as error:
            raise Rejected(f"the model's chat template refuses these messages: {error}", field="messages") from None

    def _part(self, part: str | bytes) -> dict[str, str]:
        if isinstance(part, bytes):
            return {"type": "image"}
        for special in self._special:
            if special in part:
                raise Rejected(f"text may not hold the special token {special}", field="messages")
        return {"type": "text", "text": part}

    def _photo(self, data: bytes) -> Photo:
        pixels = self._images(read(data, _LIMITS), return_tensors="np")["pixel_values"][0].astype(np.float32)
        digest = hashlib.sha256(np.ascontiguousarray(pixels).tobytes()).digest()
        return Photo(pixels, -1 - (int.from_bytes(digest[:8], "big") >> 1))
