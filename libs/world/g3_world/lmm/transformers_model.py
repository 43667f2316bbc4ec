"""A LLaVA run by transformers on a processor."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from transformers import LlavaForConditionalGeneration
from transformers.cache_utils import Cache, DynamicLayer
from transformers.utils import logging as transformers_logging

from g3_world.lmm.model import Logits, Prompt, Read
from g3_world.lmm.prefixes import Prefixes

Layers = tuple[tuple[Tensor, Tensor], ...]
"""Keys and values [1, heads, l, d] of each layer."""
_ROOM = 32


class _RoomyLayer(DynamicLayer):  # type: ignore[no-untyped-call]
    """Keys and values in a buffer with room for more: a token appended does not copy all that came before it."""

    def __init__(self, keys: Tensor, values: Tensor) -> None:
        """Begins with keys and values [rows, heads, l, d]."""
        super().__init__()  # type: ignore[no-untyped-call]
        self.lazy_initialization(keys, values)
        self._buffers = [keys, values]
        self._filled = keys.shape[-2]
        self._show()

    def update(self, key_states: Tensor, value_states: Tensor, *_: Any, **__: Any) -> tuple[Tensor, Tensor]:
        had, more = self._filled, key_states.shape[-2]
        if had + more > self._buffers[0].shape[-2]:
            self._buffers = [_roomier(old, had, more + _ROOM) for old in self._buffers]
        for buffer, states in zip(self._buffers, (key_states, value_states), strict=True):
            buffer[..., had : had + more, :] = states
        self._filled = had + more
        return self._show()

    def keep(self, rows: Tensor) -> None:
        """Goes on with these rows alone."""
        self._buffers = [buffer.index_select(0, rows) for buffer in self._buffers]
        self._show()

    def _show(self) -> tuple[Tensor, Tensor]:
        keys, values = (buffer[..., : self._filled, :] for buffer in self._buffers)
        self.keys, self.values = keys, values
        return keys, values


def _roomier(old: Tensor, filled: int, room: int) -> Tensor:
    shape = (*old.shape[:-2], filled + room, old.shape[-1])
    new = old.new_empty(shape)
    new[..., :filled, :] = old[..., :filled, :]
    return new


@dataclass(frozen=True)
class _CachedRead:
    """`Read`: what the model keeps of a prompt."""

    logits: Logits
    cached: int
    layers: Layers

    def __len__(self) -> int:
        return int(self.layers[0][0].shape[-2])


class TransformersModel:
    """`LanguageModel` over a Hugging Face folder. Used by one thread at a time."""

    def __init__(self, folder: Path, *, threads: int, cached_tokens: int) -> None:
        """`threads` compute; prefixes of `cached_tokens` tokens together are kept."""
        torch.set_num_threads(threads)
        transformers_logging.disable_progress_bar()  # type: ignore[no-untyped-call]
        # float16 as stored is slow on a processor.
        loaded: Any = LlavaForConditionalGeneration.from_pretrained(folder, local_files_only=True, dtype=torch.float32)
        self._model: Any = loaded.eval()
        self._text: Any = self._model.config.text_config
        self._prefixes = Prefixes[Layers](cached_tokens)

    @property
    def context(self) -> int:
        return int(self._text.max_position_embeddings)

    @property
    def vocabulary(self) -> int:
        """How many tokens the model tells apart."""
        return int(self._text.vocab_size)

    @torch.inference_mode()
    def read(self, prompt: Prompt) -> Read:
        known, layers = self._prefixes.longest(prompt.marks)
        known = _usable(known, prompt)
        ids = torch.from_numpy(prompt.ids[known:])[None]
        cache = _cache(
            [(keys[..., :known, :], values[..., :known, :]) for keys, values in layers or ()] if known else []
        )
        seen: dict[str, Tensor] = {}
        if prompt.photos and known <= prompt.first_place:
            seen["pixel_values"] = torch.from_numpy(np.stack([photo.pixels for photo in prompt.photos]))
        out = self._model(input_ids=ids, past_key_values=cache, use_cache=True, logits_to_keep=1, **seen)
        kept = tuple((layer.keys, layer.values) for layer in out.past_key_values.layers)
        self._prefixes.keep(prompt.marks, kept)
        return _CachedRead(out.logits[0, -1].numpy(), known, kept)

    def continue_(self, reads: Sequence[Read]) -> "_Rows":
        ours = [read for read in reads if isinstance(read, _CachedRead)]
        if len(ours) != len(reads):
            raise TypeError("only what this model has read can be continued")
        return _Rows(self._model, ours)


class _Rows:
    """`Continuation`: rows of different lengths side by side, their ends together; what is before them is masked."""

    @torch.inference_mode()
    def __init__(self, model: Any, reads: Sequence[_CachedRead]) -> None:
        self._model = model
        lengths = torch.tensor([len(read) for read in reads])
        most = int(lengths.max())
        self._positions = lengths[:, None]
        self._mask = (torch.arange(most) >= most - self._positions).long()
        layers = range(len(reads[0].layers))
        self._layers = [
            _RoomyLayer(*(_beside([read.layers[k][side] for read in reads], most) for side in (0, 1))) for k in layers
        ]

    @torch.inference_mode()
    def step(self, tokens: Sequence[int]) -> Logits:
        self._mask = torch.cat([self._mask, torch.ones_like(self._mask[:, :1])], dim=1)
        out = self._model(
            input_ids=torch.tensor(tokens)[:, None],
            attention_mask=self._mask,
            position_ids=self._positions,
            past_key_values=Cache(layers=list(self._layers)),
            use_cache=True,
            logits_to_keep=1,
        )
        self._positions = self._positions + 1
        logits: Logits = out.logits[:, -1].numpy()
        return logits

    @torch.inference_mode()
    def keep(self, rows: Sequence[int]) -> None:
        index = torch.tensor(rows)
        self._mask, self._positions = self._mask[index], self._positions[index]
        for layer in self._layers:
            layer.keep(index)


def _beside(states: Sequence[Tensor], most: int) -> Tensor:
    """States [1, heads, l, d] of different l as rows [rows, heads, most + room, d], right-aligned below `most`."""
    _, heads, _, width = states[0].shape
    rows = states[0].new_zeros(len(states), heads, most, width)
    for row, state in zip(rows, states, strict=True):
        row[:, most - state.shape[-2] :] = state[0]
    return rows


def _cache(layers: Sequence[tuple[Tensor, Tensor]]) -> Cache:
    """A cache that begins with these keys and values and leaves them as they are."""
    if not layers:
        return Cache(layer_class_to_replicate=DynamicLayer)
    return Cache(layers=[_begun(keys, values) for keys, values in layers])


def _begun(keys: Tensor, values: Tensor) -> DynamicLayer:
    layer = DynamicLayer()  # type: ignore[no-untyped-call]
    layer.lazy_initialization(keys, values)
    layer.keys, layer.values = keys, values
    return layer


def _usable(known: int, prompt: Prompt) -> int:
    """How much of a known beginning can be gone on from: some token is left, and photos are whole on one side."""
    known = min(known, len(prompt) - 1)
    return min(known, prompt.first_place) if known <= prompt.last_place else known
