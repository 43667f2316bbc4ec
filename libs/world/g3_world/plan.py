"""What a data set is: how many photos of which size, and everything about each that follows from its number."""

import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from g3_geography import Coordinates, Gazetteer
from g3_kit.errors import Conflict, Rejected
from numpy.typing import NDArray

from g3_world import jpeg
from g3_world.sampling import CitySet, Spot
from g3_world.world import LARGEST_PX, LOOKS, SMALLEST_PX, World

ABOUT = "Synthetic photos of an invented world (g3-world): they show nothing of the real places."
_AUTHORS_PER_CITY = 3
_ABANDONED_S = 600.0
"""Nothing here is written for that long without a pause."""


@dataclass(frozen=True, slots=True)
class Plan:
    """A data set: `count` photos of `size` pixels; `seed` chooses the spots and the photos, `world` the Earth."""

    count: int
    seed: int
    size: int = 64
    world: int = 0
    cities: CitySet = field(default_factory=CitySet)

    def check(self) -> None:
        """Raises `Rejected` when no data set can be made so."""
        if self.count < 1:
            raise Rejected("count must be at least 1", field="count")
        if not 0 <= self.seed < 2**31:
            raise Rejected("the seed must lie between 0 and 2^31 - 1", field="seed")
        if not SMALLEST_PX <= self.size <= LARGEST_PX:
            raise Rejected(f"size must lie between {SMALLEST_PX} and {LARGEST_PX} pixels", field="size")
        self.cities.rows()

    def img_id(self, index: int) -> str:
        """The photo's name in the folder: a thousand files a subfolder."""
        return f"{self.seed:04d}/{index // 1000:03d}/{self.seed:04d}_{index:07d}.jpg"

    def photo_seed(self, index: int) -> int:
        """The seed of one photo: no two data sets share one."""
        return (self.seed << 32) | index

    def author(self, spot: Spot) -> str:
        """The invented photographer: a few to a city, and never the same in two seeds."""
        return f"synthetic-{self.seed}-{spot.city_row}-{int(spot.author_share * _AUTHORS_PER_CITY)}"

    def pixels(self, world: World, index: int, spot: Coordinates) -> NDArray[np.uint8]:
        """Photo `index` as the camera took it, before JPEG: uint8 [size, size, 3]."""
        return world.photo(spot.latitude, spot.longitude, self.photo_seed(index), self.size)

    def jpeg(self, world: World, index: int, spot: Coordinates, comment: bytes = b"") -> bytes:
        """Photo `index` as a JPEG file in its own quality (60 to 95)."""
        return jpeg.encoded(self.pixels(world, index, spot), jpeg.quality_of(self.photo_seed(index)), comment)

    def stated(self) -> dict[str, Any]:
        """What must be equal for two runs to go into one folder: everything but the count."""
        return {key: value for key, value in asdict(self).items() if key != "count"} | {"looks": LOOKS}


@dataclass(frozen=True, slots=True)
class PlaceNames:
    """How a spot is called: the city it lies around, and the nearest named place where that is another one.

    GeoNames knows no neighbourhoods; a named place inside or beside a city is as near as its data come. Empty
    where there is none.
    """

    neighbourhood: str
    city: str
    state: str
    country: str


def place_names(spots: list[Spot]) -> list[PlaceNames]:
    """The names of each spot, from the offline gazetteer."""
    table = Gazetteer().cities()
    rows, _ = Gazetteer().rows_near(
        [spot.coordinates.latitude for spot in spots], [spot.coordinates.longitude for spot in spots]
    )
    names = []
    for spot, row in zip(spots, rows.tolist(), strict=True):
        city = table.places[spot.city_row]
        near = "" if row == spot.city_row else table.places[row].city
        names.append(PlaceNames(near, city.city, city.state, city.country))
    return names


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A path beside the real one that takes its place when the block ends well, and goes when it does not."""
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        yield part
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def claim(folder: Path, stated: dict[str, Any], extra: dict[str, Any] | None = None) -> None:
    """Writes `dataset.json`; the same data set may grow, another may not move in (`Conflict`)."""
    found = description(folder)
    if found is not None and found.get("plan") != stated:
        raise Conflict(f"the folder holds another data set: {json.dumps(found.get('plan'))}")
    folder.mkdir(parents=True, exist_ok=True)
    _sweep(folder)
    described = {"about": ABOUT, "synthetic": True, "plan": stated, **(extra or {})}
    if found != described:
        with replacing(folder / "dataset.json") as part:
            part.write_text(json.dumps(described, indent=2) + "\n", encoding="utf-8")


def description(folder: Path) -> dict[str, Any] | None:
    """What `dataset.json` says the folder holds; None where there is none.

    Raises `Rejected` when the folder is a file, `Conflict` when its note is not one of ours.
    """
    if folder.exists() and not folder.is_dir():
        raise Rejected(f"{folder} is a file: give a folder", field="out")
    note = folder / "dataset.json"
    if not note.exists():
        return None
    try:
        found = json.loads(note.read_text(encoding="utf-8"))
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise Conflict(f"{note} cannot be read: choose an empty folder, or delete what is in this one")
    return found


def _sweep(folder: Path) -> None:
    """Takes away what killed processes left half-written."""
    for part in folder.rglob(".*.part"):
        # Another run may take its own away meanwhile.
        with suppress(FileNotFoundError):
            if time.time() - part.stat().st_mtime > _ABANDONED_S:
                part.unlink()


def degrees(coordinates: Coordinates) -> tuple[str, str]:
    """Latitude and longitude as text; seven decimals are a centimetre."""
    return f"{coordinates.latitude:.7f}", f"{coordinates.longitude:.7f}"
