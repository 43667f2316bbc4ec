"""Pools for `g3-train choice` from arrays of the world, straight from the model: no services, no LMM, exact search.

    python workers/training/tools/world_pools.py --model model.safetensors --references DIR [--references DIR] \
        --queries DIR --set seen --out seen.jsonl [--most 20000] [--count 8000]

Each photo's retrieved references and gallery points become its proposals. Their numbers differ from photo to photo
(S 1, 5, 15 or 20; 0, 5, 10 or 20 points), so that what is fitted is not fitted to one profile.
"""

import argparse
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from g3_alignment import load
from g3_choice import Origin, Proposal
from g3_choice.pool_file import PooledPhoto, write_pools
from g3_geography import Coordinates
from g3_training.measuring import Photos, encoded
from g3_training.sources import WorldSource

RETRIEVED = (1, 5, 15, 20)
GALLERY = (0, 5, 10, 20)
_BATCH = 256


def pools(queries: Photos, references: Photos, alignment: str, set_name: str, seed: int) -> Iterator[PooledPhoto]:
    """The photos of `queries` in their order, with what `references` propose."""
    rng = np.random.default_rng(seed)
    places = [Coordinates(*point) for point in references.coordinates.tolist()]
    for start in range(0, len(queries.coordinates), _BATCH):
        image = queries.image[:, start : start + _BATCH]
        evidence = sum(view @ other.T for view, other in zip(image, references.image, strict=True)) / 3
        likeness = image[2] @ references.gps.T
        retrieved = np.argsort(-evidence, axis=1, kind="stable")[:, : max(RETRIEVED)]
        points = np.argsort(-likeness, axis=1, kind="stable")[:, : max(GALLERY)]
        for row in range(image.shape[1]):
            found = [
                Proposal(
                    places[one],
                    Origin.RETRIEVED,
                    similarity=round(float(likeness[row, one]), 5),
                    reference_id=str(one),
                    rank=rank,
                    evidence=round(float(evidence[row, one]), 5),
                )
                for rank, one in enumerate(retrieved[row, : rng.choice(RETRIEVED)].tolist(), start=1)
            ]
            found += [
                Proposal(places[one], Origin.GALLERY, similarity=round(float(likeness[row, one]), 5), rank=rank)
                for rank, one in enumerate(points[row, : rng.choice(GALLERY)].tolist(), start=1)
            ]
            truth = Coordinates(*queries.coordinates[start + row].tolist())
            yield PooledPhoto(f"{set_name}/{start + row}", truth, tuple(found), alignment, set_name)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--references", type=Path, action="append", required=True, help="arrays; again for more")
    parser.add_argument("--most", type=int, help="at most so many of the first --references")
    parser.add_argument("--queries", type=Path, required=True, help="arrays")
    parser.add_argument("--count", type=int, help="at most so many queries")
    parser.add_argument("--skip", type=int, default=0, help="leave out so many queries before them")
    parser.add_argument("--set", default="", help="what the photos are called in the figures")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=0)
    parser.add_argument("--out", type=Path, required=True)
    asked = parser.parse_args()
    if asked.threads:
        torch.set_num_threads(asked.threads)
    model = load(asked.model)
    references = encoded(model, WorldSource(asked.references[:1]), asked.most, asked.threads)
    for further in asked.references[1:]:
        references = references.joined(encoded(model, WorldSource([further]), None, asked.threads))
    last = None if asked.count is None else asked.skip + asked.count
    seen = encoded(model, WorldSource([asked.queries]), last, asked.threads)
    queries = Photos(seen.image[:, asked.skip :], seen.gps[asked.skip :], seen.coordinates[asked.skip :])
    count = write_pools(asked.out, pools(queries, references, model.fingerprint, asked.set, asked.seed))
    print(f"{count} pools in {asked.out}")  # noqa: T201


if __name__ == "__main__":
    main()
