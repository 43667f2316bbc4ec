"""The exam: how well the packaged model answers, against the nearest reference, on photos of no lesson."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from g3_alignment import Preprocessing
from g3_dialogue import Contrast, Prompt, PromptOrder, Unread, read, rendered
from g3_geography import distances_km
from numpy.typing import NDArray
from torch import Tensor
from transformers import LlavaForConditionalGeneration

from g3_training.lmm.lessons import Lessons
from g3_training.lmm.tokens import ANSWER, BEGIN, IMAGE, PAD, Tokens, opened
from g3_training.measuring import RADII_KM
from g3_training.pixels import PixelLoader
from g3_training.sources import PhotoSource

COUNTS = (0, 5, 10, 15)
MAX_NEW_TOKENS = 24
_BATCH = 16


@dataclass
class Answers:
    """What was said to one kind of prompt: distances in km of the answers that could be read, by sample; how many not.

    `errors` float64, one array a batch, [photos, samples], NaN for an answer that could not be read.
    """

    errors: list[NDArray[np.float64]] = field(default_factory=list)

    def document(self) -> dict[str, Any]:
        """Parsable share and accuracy of single answers, in per cent; the median error in km of those that parse."""
        errors = np.concatenate(self.errors)
        read_ = np.isfinite(errors)
        return {
            "answers": int(errors.size),
            "parsable_percent": float(100 * read_.mean()),
            "within_percent": [float(100 * (np.nan_to_num(errors, nan=np.inf) < km).mean()) for km in RADII_KM],
            "median_km": float(np.median(errors[read_])) if read_.any() else None,
        }


class Voice:
    """The packaged model, asked in batches without a server."""

    def __init__(self, folder: Path) -> None:
        """`folder` as `package` writes it."""
        self._model = LlavaForConditionalGeneration.from_pretrained(folder, dtype=torch.float32)
        self._model.train(False)
        self._tokens: Tokens = opened(folder)

    @torch.no_grad()
    def said(
        self, prompts: Sequence[Prompt], pixels: Tensor, order: PromptOrder, samples: int, temperature: float
    ) -> list[list[str]]:
        """`samples` answers to each prompt, whose photo is `pixels` float32 [n, 3, s, s] at its place."""
        patches = IMAGE * int(self._model.config.image_seq_length)
        texts = [
            "".join(part if isinstance(part, str) else patches for part in rendered(prompt, b"", order))
            for prompt in prompts
        ]
        lines = self._tokens.encode([BEGIN + text + ANSWER for text in texts])
        longest, pad = max(map(len, lines)), self._tokens.ids[PAD]
        ids = torch.tensor([[pad] * (longest - len(line)) + line for line in lines])
        mask = torch.tensor([[0] * (longest - len(line)) + [1] * len(line) for line in lines])
        # transformers types the receiver of `generate` as a protocol that its own classes do not meet
        model: Any = self._model
        found = model.generate(
            input_ids=ids,
            attention_mask=mask,
            pixel_values=pixels,
            do_sample=temperature > 0,
            temperature=temperature if temperature > 0 else None,
            num_return_sequences=samples,
            max_new_tokens=MAX_NEW_TOKENS,
        )
        written = [self._tokens.decode(line) for line in found[:, longest:].tolist()]
        return [written[start : start + samples] for start in range(0, len(written), samples)]


class Exam:
    """Puts the prompts of a profile to the model."""

    def __init__(
        self, folder: Path, lessons: Lessons, source: PhotoSource, preprocessing: Preprocessing, *, threads: int = 0
    ) -> None:
        """`folder` as `package` writes it; `source` are the lessons' photos."""
        self._voice = Voice(folder)
        self._lessons = lessons
        self._loader = PixelLoader(source, preprocessing, threads)

    def results(self, most: int, samples: int, temperature: float, order: PromptOrder, seed: int = 0) -> dict[str, Any]:
        """The first `most` photos under each number of references; `nearest` is the best reference itself."""
        contrast = Contrast.FARTHEST if order is PromptOrder.PAPER else Contrast.HARD
        rows = np.arange(min(most, len(self._lessons)))
        where = self._lessons.photos.coordinates[rows]
        best = self._lessons.references.coordinates[self._lessons.similar[rows, 0]]
        told: dict[str, Any] = {"nearest": Answers([distances_km(*where.T, *best.T)[:, None]]).document()}
        torch.manual_seed(seed)
        for count in COUNTS:
            answers = Answers()
            for start in range(0, len(rows), _BATCH):
                part = rows[start : start + _BATCH]
                prompts = [self._lessons.prompt(row, count, contrast) for row in part.tolist()]
                texts = self._voice.said(prompts, self._loader.block(part).pixels, order, samples, temperature)
                answers.errors.append(_errors(texts, where[part]))
            told[f"{count} references"] = answers.document()
        return told

    def close(self) -> None:
        """Ends the loader's threads."""
        self._loader.close()


def _errors(texts: Sequence[list[str]], where: NDArray[np.float64]) -> NDArray[np.float64]:
    lines = []
    for said, place in zip(texts, where, strict=True):
        points = [read(text) for text in said]
        known = [(np.nan, np.nan) if isinstance(point, Unread) else point for point in points]
        usable = np.isfinite(np.array(known)[:, 0])
        errors = np.full(len(known), np.nan)
        if usable.any():
            stated = np.array(known)[usable]
            errors[usable] = distances_km(place[0], place[1], stated[:, 0], stated[:, 1])
        lines.append(errors)
    return np.array(lines)


def table(results: dict[str, dict[str, Any]]) -> str:
    """The results of `Exam.results` by order of prompt, as Markdown."""
    lines = list[str]()
    for order, kinds in results.items():
        lines += [f"order `{order}`", "", "| within km | 1 | 25 | 200 | 750 | 2500 | median km | parsable |"]
        lines.append("| --- " * 8 + "|")
        for kind, told in kinds.items():
            cells = " | ".join(f"{share:.1f}" for share in told["within_percent"])
            median = "none" if told["median_km"] is None else f"{told['median_km']:.1f}"
            lines.append(f"| {kind} | {cells} | {median} | {told['parsable_percent']:.1f} % |")
        lines.append("")
    return "\n".join(lines)
