"""Phase 2: photo and references in, coordinates out. The eye stays as phase 1 left it.

What a lesson wants to hear is the reference of its prompt that lies nearest to the place of the photo, if that is
within 25 km, and else the place itself: the model learns to tell which reference to trust, and to copy it to the last
digit.

Each batch shows prompts of one length, drawn anew: none to fifteen references of each kind, in either order. Besides
the answer the model learns to foretell the coordinates of the references: that is the same question, asked once a
reference, and teaches the eye many times as much a batch.
"""

from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import torch
from g3_alignment import Preprocessing
from g3_dialogue import Contrast, PromptOrder, rendered
from torch import Tensor, nn
from transformers import LlavaForConditionalGeneration

from g3_training.lmm.lessons import Lessons
from g3_training.lmm.tokens import ANSWER, BEGIN, END, IMAGE, PAD, Tokens
from g3_training.pixels import PixelLoader
from g3_training.sampling import Rows
from g3_training.sources import PhotoSource

COUNTS = (0, 1, 2, 3, 5, 10, 15)
SHARES = (0.12, 0.2, 0.2, 0.2, 0.2, 0.06, 0.02)
"""How often a batch has so many references. Short prompts cost little and teach the eye; long ones are asked later."""
PAPER_SHARE = 0.15
"""Of batches in the order `paper`; the others are in the order `image_first`."""
PLAIN_SHARE = 0.6
"""Of batches without dissimilar references: half the length, the same question."""
REFERENCE_WEIGHT = 0.3
"""Of the similar references' coordinates in the loss, against 1 for the answer."""
_MOST_VALIDATED = 512
_VALIDATED_AT_ONCE = 64
_VALIDATED_COUNTS = (0, 5)


class LessonBatch(NamedTuple):
    """n rows of t tokens: `ids`, `mask` int64 [n, t], `pixels` float32 [n, 3, s, s]. `answers` and `numbers` bool
    [n, t]: which tokens are foretold as the answer, and as coordinates of references.
    """

    ids: Tensor
    mask: Tensor
    pixels: Tensor
    answers: Tensor
    numbers: Tensor


class _Shown(NamedTuple):
    """How the prompts of one batch are put: so many references of each kind, or of the similar kind alone (`plain`)."""

    references: int
    order: PromptOrder
    contrast: Contrast
    plain: bool = False


class Answering:
    """`Task`: the whole model on lessons."""

    def __init__(
        self,
        model: LlavaForConditionalGeneration,
        tokens: Tokens,
        lessons: Lessons,
        source: PhotoSource,
        preprocessing: Preprocessing,
        validation: Rows,
        *,
        threads: int = 0,
    ) -> None:
        """`source` are the lessons' photos."""
        self.module: nn.Module = model
        # its vectors are better than what a few thousand answers could make of them, and it costs half a pass
        model.model.vision_tower.requires_grad_(False)
        self.shared: list[nn.Parameter] = []
        self._model, self._tokens, self._lessons = model, tokens, lessons
        self._loader = PixelLoader(source, preprocessing, threads)
        self._validation = validation[:_MOST_VALIDATED]
        self._patches = int(model.config.image_seq_length)
        self._turns = tokens.turns()

    def batches(self, rows: Iterable[Rows]) -> Iterator[LessonBatch]:
        """See `Task`."""
        for block in self._loader.blocks(rows):
            # drawn from the rows themselves, so that a resumed run draws the same
            rng = np.random.default_rng(block.rows)
            count = int(rng.choice(COUNTS, p=SHARES))
            order = PromptOrder.PAPER if rng.random() < PAPER_SHARE else PromptOrder.IMAGE_FIRST
            contrast = Contrast.FARTHEST if order is PromptOrder.PAPER else Contrast.HARD
            plain = bool(rng.random() < PLAIN_SHARE)
            yield self._batch(block.rows, block.pixels, _Shown(count, order, contrast, plain))

    def losses(self, batch: LessonBatch) -> dict[str, Tensor]:
        """See `Task`: the mean cross-entropy of a token, of the answers and of the references' coordinates."""
        found = self._foretold(batch)
        told = {"answer": found[batch.answers[:, 1:]].mean()}
        if bool(batch.numbers.any()):
            told["references"] = REFERENCE_WEIGHT * found[batch.numbers[:, 1:]].mean()
        return told

    @torch.no_grad()
    def validate(self) -> dict[str, float]:
        """See `Task`: the answers' loss for photos alone and with five references of each kind."""
        found: dict[str, list[float]] = {}
        for start in range(0, len(self._validation), _VALIDATED_AT_ONCE):
            rows = self._validation[start : start + _VALIDATED_AT_ONCE]
            pixels = self._loader.block(rows).pixels
            for count in _VALIDATED_COUNTS:
                batch = self._batch(rows, pixels, _Shown(count, PromptOrder.IMAGE_FIRST, Contrast.HARD))
                loss = float(self._foretold(batch)[batch.answers[:, 1:]].mean())
                found.setdefault(f"answer_{count}", []).append(loss)
        told = {name: float(np.mean(losses)) for name, losses in found.items()}
        return {"loss": sum(told.values()), **told} if told else {}

    def close(self) -> None:
        """Ends the loader's threads."""
        self._loader.close()

    def _batch(self, rows: Rows, pixels: Tensor, shown: _Shown) -> LessonBatch:
        ids = self._tokens.ids
        questions = self._tokens.encode([self._question(row, shown) for row in rows.tolist()])
        wanted = [self._lessons.wanted(row, shown.references) for row in rows.tolist()]
        answers = self._tokens.encode([answer_of(*place) for place in wanted])
        picture = [ids[IMAGE]] * self._patches
        lines, starts, counted = list[list[int]](), list[int](), list[list[bool]]()
        for question, answer in zip(questions, answers, strict=True):
            at = question.index(ids[IMAGE])
            asked = [ids[BEGIN], *question[:at], *picture, *question[at + 1 :], ids[ANSWER]]
            starts.append(len(asked))
            lines.append([*asked, *answer, ids[END]])
            counted.append(self._of_similar(asked))
        longest = max(map(len, lines))
        whole = torch.tensor([line + [ids[PAD]] * (longest - len(line)) for line in lines])
        mask = torch.tensor([[1] * len(line) + [0] * (longest - len(line)) for line in lines])
        position = torch.arange(longest)
        replied = (position >= torch.tensor(starts)[:, None]) & mask.bool()
        numbers = torch.tensor([row + [False] * (longest - len(row)) for row in counted])
        return LessonBatch(whole, mask, pixels, replied, numbers)

    def _question(self, row: int, shown: _Shown) -> str:
        prompt = self._lessons.prompt(row, shown.references, shown.contrast)
        parts = rendered(replace(prompt, dissimilar=()) if shown.plain else prompt, b"", shown.order)
        return "".join(part if isinstance(part, str) else IMAGE for part in parts)

    def _of_similar(self, line: list[int]) -> list[bool]:
        """Which tokens are numbers of similar references: those after a bar, or in the paper's second list, are not."""
        found, similar = [], True
        for token in line:
            if token in self._turns:
                similar = self._turns[token]
            found.append(similar and token in self._tokens.numbers)
        return found

    def _foretold(self, batch: LessonBatch) -> Tensor:
        """The cross-entropy of every token that counts, float32 [n, t - 1]; zero for the others."""
        device = next(self._model.parameters()).device
        hidden = self._model.model(
            input_ids=batch.ids.to(device),
            attention_mask=batch.mask.to(device),
            pixel_values=batch.pixels.to(device),
            use_cache=False,
        ).last_hidden_state
        wanted = (batch.answers | batch.numbers)[:, 1:].to(device)
        # the vocabulary is the widest thing here: only what counts is spelled out
        logits = self._model.lm_head(hidden[:, :-1][wanted])
        losses = nn.functional.cross_entropy(logits, batch.ids[:, 1:].to(device)[wanted], reduction="none")
        whole = torch.zeros(wanted.shape, dtype=losses.dtype, device=device)
        return whole.masked_scatter(wanted, losses)


def answer_of(latitude: float, longitude: float) -> str:
    """The answer that a lesson teaches, in the form of `g3_dialogue.PATTERN`."""
    return f'{{"latitude": {round(latitude, 4) + 0.0:.4f}, "longitude": {round(longitude, 4) + 0.0:.4f}}}'
