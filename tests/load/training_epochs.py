"""Ten epochs of phase 2 on cached features against encoding every photo anew in every epoch.

Both sides train the same heads on the same photos in this process, one after the other. Encoding anew is measured over
one epoch, since all cost the same, and counted ten times; the cached side runs all ten, and is counted with and without
making the cache. Encoding anew encodes a text for each photo, as the reference implementation does; the cache encodes
each distinct text once, which is why even with its making counted the ratio may pass ten. The towers are ViT-B/32's
with random weights (`--preset demo` for the demo's): what they cost does not depend on what they have learnt.

    python tests/load/training_epochs.py [--photos 192] [--preset vit-b-32] [--threads 1]
"""

import argparse
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import torch
from g3_alignment import AlignmentModel, initialise, preset
from g3_training.alignment import Alignment, FeatureBatch
from g3_training.cache import Cache, CachePlan, CacheWriter, open_cache
from g3_training.pixels import PixelLoader
from g3_training.processes import Processes
from g3_training.recipe import Recipe
from g3_training.sampling import Rows
from g3_training.sources import FolderSource
from g3_training.training import Training
from g3_world import Plan, write_photos
from g3_world.sampling import CitySet

AIM = 10.0
EPOCHS = 10


class Encoding(Alignment):
    """As `Alignment`, but every batch goes through the towers: photos decoded, photos and texts encoded."""

    def __init__(self, model: AlignmentModel, cache: Cache, source: FolderSource, batch: int, threads: int) -> None:
        """`cache` names the texts of the photos; its features are not read."""
        super().__init__(model, cache, Processes("cpu"), np.empty(0, dtype=np.int64), batch=batch)
        self._source = source
        self._loader = PixelLoader(source, model.configuration.preprocessing, threads)

    def batches(self, rows: Iterable[Rows]) -> Iterator[FeatureBatch]:
        table = self._source.table
        for block in self._loader.blocks(rows):
            texts = [table.places[table.place[row]].text() for row in block.rows]
            with torch.inference_mode():
                images = self._model.tower.encode_image(block.pixels)
                encoded = self._model.tower.encode_text(self._model.tokens(texts))
            where = torch.from_numpy(table.coordinates[block.rows])
            yield FeatureBatch(images.clone(), encoded.clone(), where, torch.from_numpy(table.place[block.rows]))


def seconds(task: Alignment, count: int, batch: int, epochs: int, folder: Path) -> float:
    """Seconds of a whole run of so many epochs, its states written as ever."""
    recipe = Recipe(epochs=epochs, batch=batch, holdout=0.0)
    began = time.perf_counter()
    Training(task, recipe, np.arange(count), folder, "benchmark", Processes("cpu")).run()
    return time.perf_counter() - began


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--photos", type=int, default=192)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--preset", default="vit-b-32")
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    with tempfile.TemporaryDirectory() as temporary:
        root = Path(temporary)
        table = write_photos(Plan(options.photos, seed=7, size=224, cities=CitySet(30)), root / "photos")
        source = FolderSource(root / "photos", table)
        model = initialise(preset(options.preset), seed=0)
        began = time.perf_counter()
        plan = CachePlan(threads=options.threads)
        CacheWriter(model, source, root / "cache", plan, Processes("cpu")).write()
        cache = open_cache(root / "cache", model)
        making = time.perf_counter() - began
        count = len(source.table)
        encoding = Encoding(model, cache, source, options.batch, options.threads)
        anew = EPOCHS * seconds(encoding, count, options.batch, 1, root / "anew")
        cached_task = Alignment(model, cache, Processes("cpu"), np.empty(0, dtype=np.int64), batch=options.batch)
        cached = seconds(cached_task, count, options.batch, EPOCHS, root / "cached")
    with_cache, without = anew / (making + cached), anew / cached
    print(f"{options.preset}, {count} photos of 224 pixels, {options.threads} thread(s), {EPOCHS} epochs")
    print(f"encoding anew in every epoch      {anew:8.1f} s  (one epoch measured, times {EPOCHS})")
    print(f"cached: making the cache          {making:8.1f} s")
    print(f"cached: the ten epochs            {cached:8.1f} s")
    print(f"ratio, the cache counted          {with_cache:8.1f}")
    print(f"ratio, the cache made before      {without:8.1f}  (aim: at least {AIM:g})")
    return 0 if without >= AIM else 1


if __name__ == "__main__":
    sys.exit(main())
