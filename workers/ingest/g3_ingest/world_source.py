"""A world plan: photos rendered on the fly, none of them ever a file."""

import functools
import hashlib
import json
from collections.abc import Iterator
from functools import partial

from g3_geography import Place
from g3_kit.errors import Rejected
from g3_world.plan import Plan, place_names
from g3_world.sampling import CitySet, Spot, spots
from g3_world.world import World

from g3_ingest.rows import ReadyMade, Row

PREFIX = "world:"
_NUMBERS = ("count", "seed", "size", "world", "cities", "cities_seed", "skip")
_AT_ONCE = 1_000


def plan_of(source: str) -> Plan:
    """The plan that `world:seed=1,count=1000,size=64` states. Raises Rejected."""
    told: dict[str, int] = {}
    for part in source.removeprefix(PREFIX).split(","):
        name, equals, number = part.strip().partition("=")
        if not equals or name not in _NUMBERS or not number.isascii() or not number.isdigit() or len(number) > 10:
            raise Rejected(
                f"a world plan is {PREFIX}seed=1,count=1000 with any of {', '.join(_NUMBERS)}", field="source"
            )
        told[name] = int(number)
    cities = CitySet(told.get("cities", CitySet().count), told.get("cities_seed", 0), told.get("skip", 0))
    plan = Plan(told.get("count", 0), told.get("seed", 0), told.get("size", 64), told.get("world", 0), cities)
    plan.check()
    return plan


class WorldSource:
    """See `Source`. A row is rendered when its photo is asked for."""

    ready_made: ReadyMade | None = None

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        stated = json.dumps([plan.count, plan.stated()], sort_keys=True)
        self.fingerprint = hashlib.sha256(stated.encode()).hexdigest()

    @property
    def rows(self) -> int:
        """See `Source.rows`."""
        return self._plan.count

    def read(self, first: int, last: int) -> Iterator[Row]:
        """See `Source.read`."""
        taken = _spots(self._plan)
        for start in range(first, last, _AT_ONCE):
            chunk = taken[start : min(start + _AT_ONCE, last)]
            for number, (spot, names) in enumerate(zip(chunk, place_names(chunk), strict=True), start):
                place = Place(names.city, names.state, names.country, "")
                photo = partial(self._jpeg, number, spot)
                yield Row(number, self._plan.img_id(number), spot.coordinates, place, self._plan.author(spot), photo)

    def _jpeg(self, number: int, spot: Spot) -> bytes:
        return self._plan.jpeg(_world(self._plan.world), number, spot.coordinates)


@functools.lru_cache(maxsize=2)
def _spots(plan: Plan) -> list[Spot]:
    return spots(plan.count, plan.seed, plan.cities)


@functools.lru_cache(maxsize=2)
def _world(number: int) -> World:
    return World(number)
