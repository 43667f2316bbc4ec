"""What a checkpoint is worth, straight from photos: no services, no index, exact search.

The same questions as `g3-eval retrieval` asks of a running system, for a model that is not yet in one.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from g3_alignment import AlignmentModel
from g3_geography import distances_km
from g3_geography.coordinates import unit_vectors
from numpy.typing import NDArray

from g3_training.pixels import PixelLoader
from g3_training.sources import PhotoSource

RADII_KM = (1, 25, 200, 750, 2500)
RETRIEVED = 20
METHODS = ("img", "img_gps", "img_gps_text", "gallery", "chosen", "oracle", "random", "ceiling")
_BATCH = 256

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Photos:
    """Vectors of n photos: `image` float32 [3, n, d] (clip, text-aligned, GPS-aligned), `gps` [n, d] of their
    coordinates, float64 [n, 2].
    """

    image: Floats
    gps: Floats
    coordinates: NDArray[np.float64]

    def joined(self, other: "Photos") -> "Photos":
        """These and the other's."""
        return Photos(
            np.concatenate((self.image, other.image), axis=1),
            np.concatenate((self.gps, other.gps)),
            np.concatenate((self.coordinates, other.coordinates)),
        )


def encoded(model: AlignmentModel, source: PhotoSource, most: int | None = None, threads: int = 0) -> Photos:
    """The photos of a source, at most the first `most`; those that cannot be read are left out."""
    loader = PixelLoader(source, model.configuration.preprocessing, threads)
    rows = np.arange(len(source.table))[:most]
    views, kept = list[Floats](), list[NDArray[np.int64]]()
    try:
        for block in loader.blocks(rows[i : i + _BATCH] for i in range(0, len(rows), _BATCH)):
            views.append(torch.stack(model.encode_image(block.pixels)).cpu().numpy())
            kept.append(block.rows)
    finally:
        loader.close()
    coordinates = source.table.coordinates[np.concatenate(kept)]
    gps = model.encode_gps(torch.from_numpy(coordinates)).cpu().numpy()
    return Photos(np.concatenate(views, axis=1), gps, coordinates)


def measured(queries: Photos, references: Photos, seed: int = 0) -> dict[str, Any]:
    """Per cent of the queries within each radius (geodesic, strictly below), by method, and the median in km.

    ::

        img, img_gps, img_gps_text   the reference most similar by one, two and three vectors
        gallery                      the references' coordinates, most similar to the image by its GPS-aligned vector
        chosen                       the best by that similarity of the 20 references retrieved by three vectors
        oracle                       the nearest of these 20; ceiling: of all references; random: one of them
    """
    found: dict[str, list[NDArray[np.float64]]] = {method: [] for method in METHODS}
    rng = np.random.default_rng(seed)
    for start in range(0, len(queries.coordinates), _BATCH):
        part = slice(start, start + _BATCH)
        where = queries.coordinates[part]
        for method, distances in _errors(queries.image[:, part], where, references, rng).items():
            found[method].append(distances)
    errors = {method: np.concatenate(parts) for method, parts in found.items()}
    return {
        "queries": len(queries.coordinates),
        "references": len(references.coordinates),
        "within_percent": {m: [float(100 * (e < radius).mean()) for radius in RADII_KM] for m, e in errors.items()},
        "median_km": {method: float(np.median(distances)) for method, distances in errors.items()},
    }


def _errors(
    image: Floats, where: NDArray[np.float64], references: Photos, rng: np.random.Generator
) -> dict[str, NDArray[np.float64]]:
    clip, text, gps = (view @ other.T for view, other in zip(image, references.image, strict=True))  # [m, n] each
    likeness = image[2] @ references.gps.T
    every = clip + text + gps
    most = min(RETRIEVED, every.shape[1])
    retrieved = np.argpartition(-every, most - 1, axis=1)[:, :most]
    best = np.take_along_axis(likeness, retrieved, axis=1).argmax(axis=1)
    rows = np.arange(len(where))
    # by the chord, which is what the sphere's own nearest is; only what is answered is measured on the ellipsoid
    nearness = unit_vectors(*where.T) @ unit_vectors(*references.coordinates.T).T
    answers = {
        "img": clip.argmax(axis=1),
        "img_gps": (clip + gps).argmax(axis=1),
        "img_gps_text": every.argmax(axis=1),
        "gallery": likeness.argmax(axis=1),
        "chosen": retrieved[rows, best],
        "oracle": retrieved[rows, np.take_along_axis(nearness, retrieved, axis=1).argmax(axis=1)],
        "random": rng.integers(0, every.shape[1], len(rows)),
        "ceiling": nearness.argmax(axis=1),
    }
    return {method: distances_km(*where.T, *references.coordinates[chosen].T) for method, chosen in answers.items()}


def table(results: Mapping[str, Mapping[str, Any]]) -> str:
    """The results of several measurements as Markdown, one table each."""
    lines = list[str]()
    for name, result in results.items():
        lines += [f"{name}: {result['queries']} queries, {result['references']} references", ""]
        lines += [f"| within km | {' | '.join(str(radius) for radius in RADII_KM)} | median km |", "| --- " * 7 + "|"]
        for method, shares in result["within_percent"].items():
            cells = " | ".join(f"{share:.1f}" for share in shares)
            lines.append(f"| {method} | {cells} | {result['median_km'][method]:.0f} |")
        lines.append("")
    return "\n".join(lines)
