"""Pools for `g3-train choice` from arrays of the world, straight from the model: no services, exact search.

    python workers/training/tools/world_pools.py --model model.safetensors --references DIR [--references DIR] \
        --queries DIR --set seen --out seen.jsonl [--most 20000] [--count 8000] [--lmm FOLDER]

Each photo's retrieved references and gallery points become its proposals. Their numbers differ from photo to photo
(S 1, 5, 15 or 20; 0, 5, 10 or 20 points), so that what is fitted is not fitted to one profile. With `--lmm` the profile
`default` is what is asked for: 15 references, 10 points, and the answers of that LMM to its four prompts.
"""

import argparse
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from g3_alignment import AlignmentModel, fingerprint_of, load
from g3_choice import Origin, Proposal
from g3_choice.pool_file import PooledPhoto, write_pools
from g3_dialogue import Contrast, Prompt, PromptOrder, Reference, Unread, read
from g3_geography import Coordinates, haversine_km
from g3_training.lmm.examining import Voice
from g3_training.measuring import Photos, encoded
from g3_training.pixels import PixelLoader
from g3_training.sources import WorldSource, joined
from g3_training.table import PhotoTable
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import Progress

PROMPTS = (0, 5, 10, 15)
SAMPLES = 5
TEMPERATURE = 1.2
HARD_AWAY_KM = 750.0
RETRIEVED = (1, 5, 15, 20)
GALLERY = (0, 5, 10, 20)
_BATCH = 256
# Hard negatives are looked for among so many of the most similar.
_DEEP = 512

Floats = NDArray[np.float32]


class Speaker:
    """Asks an LMM about photos as the profile `default` does."""

    def __init__(self, folder: Path, model: AlignmentModel, queries: WorldSource, references: PhotoTable) -> None:
        self._voice = Voice(folder)
        self._model = model
        self._table = references
        self._loader = PixelLoader(queries, model.configuration.preprocessing, 1)

    def proposals(self, row: int, image: Floats, ranked: NDArray[np.int64]) -> list[Proposal]:
        """What the answers about photo `row` of the queries propose; `image` float32 [d] is its GPS-aligned vector,
        `ranked` all references that retrieval finds, best first.
        """
        where = self._table.coordinates[ranked]
        away = haversine_km(where[0, 0], where[0, 1], where[:, 0], where[:, 1]) >= HARD_AWAY_KM
        away[: max(PROMPTS)] = False
        similar, hard = ranked[: max(PROMPTS)].tolist(), ranked[away][: max(PROMPTS)].tolist()
        prompts = [
            Prompt(k, SAMPLES, self._shown(similar[:most]), self._shown(hard[:most]), Contrast.HARD)
            for k, most in enumerate(PROMPTS)
        ]
        pixels = self._loader.block(np.full(len(prompts), row)).pixels
        said = self._voice.said(prompts, pixels, PromptOrder.IMAGE_FIRST, SAMPLES, TEMPERATURE)
        found = [
            (prompt, sample, point)
            for prompt, answers in enumerate(said)
            for sample, text in enumerate(answers)
            if not isinstance(point := read(text), Unread)
        ]
        if not found:
            return []
        vectors = self._model.encode_gps(torch.tensor([list(point) for _, _, point in found], dtype=torch.float64))
        cosines = vectors.numpy() @ image
        return [
            Proposal(Coordinates(*point), Origin.LMM, similarity=round(float(cosine), 5), prompt=prompt, sample=sample)
            for (prompt, sample, point), cosine in zip(found, cosines, strict=True)
        ]

    def _shown(self, rows: list[int]) -> tuple[Reference, ...]:
        shown = []
        for row in rows:
            names = self._table.places[int(self._table.place[row])]
            said = dict.fromkeys(name for name in (names.city, names.state, names.country) if name)
            latitude, longitude = self._table.coordinates[row].tolist()
            shown.append(Reference(latitude, longitude, ", ".join(said)))
        return tuple(shown)


def pools(
    queries: Photos, references: Photos, alignment: str, set_name: str, seed: int, speaker: Speaker | None, skip: int
) -> Iterator[PooledPhoto]:
    """The photos of `queries` in their order, with what `references` and the LMM propose."""
    rng = np.random.default_rng(seed)
    places = [Coordinates(*point) for point in references.coordinates.tolist()]
    for start in range(0, len(queries.coordinates), _BATCH):
        image = queries.image[:, start : start + _BATCH]
        evidence = sum(view @ other.T for view, other in zip(image, references.image, strict=True)) / 3
        likeness = image[2] @ references.gps.T
        retrieved = np.argsort(-evidence, axis=1, kind="stable")[:, :_DEEP]
        points = np.argsort(-likeness, axis=1, kind="stable")[:, : max(GALLERY)]
        for row in range(image.shape[1]):
            most, gallery = (15, 10) if speaker else (int(rng.choice(RETRIEVED)), int(rng.choice(GALLERY)))
            found = speaker.proposals(skip + start + row, image[2, row], retrieved[row]) if speaker else []
            found += [
                Proposal(
                    places[one],
                    Origin.RETRIEVED,
                    similarity=round(float(likeness[row, one]), 5),
                    reference_id=str(one),
                    rank=rank,
                    evidence=round(float(evidence[row, one]), 5),
                )
                for rank, one in enumerate(retrieved[row, :most].tolist(), start=1)
            ]
            found += [
                Proposal(places[one], Origin.GALLERY, similarity=round(float(likeness[row, one]), 5), rank=rank)
                for rank, one in enumerate(points[row, :gallery].tolist(), start=1)
            ]
            truth = Coordinates(*queries.coordinates[start + row].tolist())
            yield PooledPhoto(f"{set_name}/{skip + start + row}", truth, tuple(found), alignment, set_name)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--references", type=Path, action="append", required=True, help="arrays; again for more")
    parser.add_argument("--most", type=int, help="at most so many of the first --references")
    parser.add_argument("--queries", type=Path, required=True, help="arrays")
    parser.add_argument("--count", type=int, help="at most so many queries")
    parser.add_argument("--skip", type=int, default=0, help="leave out so many queries before them")
    parser.add_argument("--set", default="", help="what the photos are called in the figures")
    parser.add_argument("--lmm", type=Path, help="an LMM whose answers join: what g3-train lmm answer writes")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=0)
    parser.add_argument("--out", type=Path, required=True)
    asked = parser.parse_args()
    if asked.threads:
        torch.set_num_threads(asked.threads)
    model = load(asked.model)
    first = WorldSource(asked.references[:1])
    references = encoded(model, first, asked.most, asked.threads)
    tables = [first.table.chosen(np.arange(len(references.coordinates)))]
    for further in asked.references[1:]:
        more = WorldSource([further])
        references = references.joined(encoded(model, more, None, asked.threads))
        tables.append(more.table)
    last = None if asked.count is None else asked.skip + asked.count
    source = WorldSource([asked.queries])
    seen = encoded(model, source, last, asked.threads)
    queries = Photos(seen.image[:, asked.skip :], seen.gps[asked.skip :], seen.coordinates[asked.skip :])
    torch.manual_seed(asked.seed)
    speaker = Speaker(asked.lmm, model, source, joined(tables)) if asked.lmm else None
    found = pools(queries, references, fingerprint_of(model).full, asked.set, asked.seed, speaker, asked.skip)
    with Progress(*Progress.get_default_columns(), console=Console(stderr=True)) as bar:
        count = write_pools(asked.out, bar.track(found, total=len(queries.coordinates), description=asked.set))
    print(f"{count} pools in {asked.out}")  # noqa: T201


if __name__ == "__main__":
    main()
