"""Outputs of the frozen towers, made once: the epochs of phase 2 then cost only heads and GPS encoder.

::

    cache.json            model's towers, photos, dtype: another model or other photos are refused
    images-00000.npy      float [m, d], not normalised, as the heads take them; .json: rows, rejects, SHA-256
    texts-00000.npy       float [m, d] of the distinct texts
    neighbourhoods-…      the same of the texts with neighbourhood
    photos.npz            coordinates, and the number of each photo's texts
"""

import hashlib
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from g3_alignment import AlignmentModel
from g3_alignment.fingerprint import digest
from g3_kit.errors import Conflict, Mismatch, Missing, Rejected
from numpy.typing import NDArray

from g3_training.pixels import PixelLoader
from g3_training.processes import Processes
from g3_training.shards import Floats, Mapped, Shards
from g3_training.sources import PhotoSource
from g3_training.table import PlaceNames
from g3_training.writing import replacing, write_json

_NOTE, _PHOTOS = "cache.json", "photos.npz"
_KINDS = {False: "texts", True: "neighbourhoods"}
_DTYPES = {"float32": np.float32, "float16": np.float16}


@dataclass(frozen=True)
class CachePlan:
    """`shard` photos (and as many texts) a file, what a kill loses at most; `batch` photos a forward pass."""

    shard: int = 8192
    batch: int = 128
    dtype: str = "float32"
    neighbourhood: bool = False
    threads: int = 0

    def __post_init__(self) -> None:
        """Raises Rejected for another dtype."""
        if self.dtype not in _DTYPES:
            raise Rejected("A cache holds float32 or float16.", field="dtype")


@dataclass(frozen=True)
class Cache:
    """A finished cache. `images` and `texts` by row; `coordinates` float64 [n, 2]; `text` int64 [n] into `texts`."""

    towers: str
    images: Mapped
    texts: Mapped
    coordinates: NDArray[np.float64]
    text: NDArray[np.int64]
    places: list[PlaceNames]
    place: NDArray[np.int64]
    identity: str


def towers_of(model: AlignmentModel) -> str:
    """The fingerprint of what the cache depends on: towers and preprocessing, not heads or GPS encoder."""
    stated = {"tower": model.configuration.tower, "preprocessing": asdict(model.configuration.preprocessing)}
    text = json.dumps(stated, sort_keys=True) + digest(model.tower.state_dict())
    return hashlib.sha256(text.encode()).hexdigest()


class CacheWriter:
    """Fills a folder; what is there and whole already is kept."""

    def __init__(
        self,
        model: AlignmentModel,
        source: PhotoSource,
        folder: Path,
        plan: CachePlan,
        processes: Processes,
        progress: Callable[[int], None] = lambda done: None,
    ) -> None:
        """Raises Conflict when the folder holds the cache of another model, of other photos or of another form."""
        self._model, self._source, self._folder, self._plan = model.to(processes.device).eval(), source, folder, plan
        self._progress, self._device = progress, processes.device
        self._claim()

    def write(self) -> dict[str, Any]:
        """Encodes what is missing; gives the counts of photos, texts and rejects by reason."""
        count = -(-len(self._source.table) // self._plan.shard)
        images = Shards(self._folder, "images")
        loader = PixelLoader(self._source, self._model.configuration.preprocessing, self._plan.threads)
        try:
            for number in range(count):
                self._images(images, number, loader)
        finally:
            loader.close()
        notes = [images.notes(number) for number in range(count)]
        rows = np.array([row for note in notes for row in note["kept"]], dtype=np.int64)
        table = self._source.table.chosen(rows)
        columns = {"coordinates": table.coordinates, "place": table.place}
        shards = {"images": count}
        for neighbourhood in (False, True) if self._plan.neighbourhood else (False,):
            kind = _KINDS[neighbourhood]
            columns[kind], shards[kind] = self._texts(kind, neighbourhood, table.place)
        with replacing(self._folder / _PHOTOS) as draft, draft.open("wb") as file:
            np.savez(file, **columns)  # type: ignore[arg-type]
        faults = [fault for note in notes for fault in note["faults"].values()]
        faults += [reject.reason for reject in table.rejects]
        rejects = {reason: faults.count(reason) for reason in sorted(set(faults))}
        counts = {"photos": len(rows), "shards": shards, "rejects": rejects}
        write_json(self._folder / _NOTE, {**self._stated, "finished": counts, "places": table.places})
        return counts

    def _claim(self) -> None:
        self._stated = {
            "towers": towers_of(self._model),
            "source": json.loads(json.dumps(self._source.identity())),
            "dtype": self._plan.dtype,
            "shard": self._plan.shard,
        }
        note = self._folder / _NOTE
        if note.exists():
            found = json.loads(note.read_text("utf-8"))
            other = [name for name, value in self._stated.items() if found.get(name) != value]
            if other:
                raise Conflict(f"This cache is of another {other[0]}: make it in another folder.", field="out")
        else:
            write_json(note, self._stated)

    @torch.inference_mode()
    def _images(self, shards: Shards, number: int, loader: PixelLoader) -> None:
        rows = np.arange(len(self._source.table))[number * self._plan.shard :][: self._plan.shard]
        if shards.has(number):
            self._progress(len(rows))
            return
        kept, features, faults = list[int](), list[Floats](), dict[int, str]()
        batches = [rows[i : i + self._plan.batch] for i in range(0, len(rows), self._plan.batch)]
        for block, batch in zip(loader.blocks(batches), batches, strict=True):
            kept += block.rows.tolist()
            faults |= block.faults
            if len(block.rows):
                encoded = self._model.tower.encode_image(block.pixels.to(self._device))
                features.append(self._stored(encoded))
            self._progress(len(batch))
        named = {self._source.table.ids[row]: why for row, why in faults.items()}
        shards.write(number, self._joined(features), {"kept": kept, "faults": named})

    @torch.inference_mode()
    def _texts(self, kind: str, neighbourhood: bool, place: NDArray[np.int64]) -> tuple[NDArray[np.int64], int]:
        """Encodes the distinct texts; the number of each photo's text, and of shards."""
        used = np.unique(place)
        text_of = {int(i): self._source.table.places[i].text(neighbourhood=neighbourhood) for i in used}
        distinct = sorted(set(text_of.values()))
        number = {text: index for index, text in enumerate(distinct)}
        shards, size = Shards(self._folder, kind), self._plan.shard
        count = -(-len(distinct) // size)
        for index in range(count):
            texts = distinct[index * size :][:size]
            key = hashlib.sha256("\0".join(texts).encode()).hexdigest()
            if shards.has(index) and shards.notes(index)["texts_sha256"] == key:
                continue
            encoded = [
                self._stored(self._model.tower.encode_text(self._model.tokens(texts[i : i + 256]).to(self._device)))
                for i in range(0, len(texts), 256)
            ]
            shards.write(index, self._joined(encoded), {"texts_sha256": key})
        of_place = np.full(len(self._source.table.places), -1, dtype=np.int64)
        for index, text in text_of.items():
            of_place[index] = number[text]
        return of_place[place], count

    def _stored(self, features: torch.Tensor) -> Floats:
        return features.float().cpu().numpy().astype(_DTYPES[self._plan.dtype])

    def _joined(self, features: list[Floats]) -> Floats:
        if features:
            return np.concatenate(features)
        return np.empty((0, self._model.dimension), dtype=_DTYPES[self._plan.dtype])


def open_cache(folder: Path, model: AlignmentModel, *, neighbourhood: bool = False, verify: bool = True) -> Cache:
    """A finished cache of this model's towers; `verify` reads every byte once and compares its checksums.

    Raises Missing for none or an unfinished one, Mismatch for one of other towers, Rejected for a damaged one.
    """
    note = folder / _NOTE
    if not note.exists():
        raise Missing(f"There is no cache in {folder.name}: make one with `g3-train cache`.", field="cache")
    found = json.loads(note.read_text("utf-8"))
    if "finished" not in found:
        raise Missing(f"The cache in {folder.name} is not finished: run `g3-train cache` again.", field="cache")
    if found["towers"] != towers_of(model):
        raise Mismatch("The cache was made by other towers than the model's: make it again.", field="cache")
    shards, kind = found["finished"]["shards"], _KINDS[neighbourhood]
    if kind not in shards:
        raise Missing("The cache has no texts with neighbourhood: make it with --neighbourhood.", field="cache")
    images = Shards(folder, "images").open(shards["images"], verify=verify)
    texts = Shards(folder, kind).open(shards[kind], verify=verify)
    with np.load(folder / _PHOTOS, allow_pickle=False) as columns:
        coordinates, place, text = columns["coordinates"], columns["place"], columns[kind]
    if not len(images) == len(coordinates) == found["finished"]["photos"]:
        raise Rejected("The cache's parts differ in length: run `g3-train cache` again.", field="cache")
    places = [PlaceNames(*names) for names in found["places"]]
    identity = hashlib.sha256(json.dumps(found, sort_keys=True).encode()).hexdigest()
    return Cache(found["towers"], images, texts, coordinates, text, places, place, identity)
