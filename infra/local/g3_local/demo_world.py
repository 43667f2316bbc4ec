"""The data sets of the demo: rendered photos of an invented world, in cities that the model has and has not seen."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from g3_world.dataset import write_photos
from g3_world.plan import Plan
from g3_world.sampling import CITIES, CitySet

PX = 64
"""What the demo model looks at."""
# The cities that the demo model was trained on (`make demo-models`), and others. Its training draws the photos of seeds
# 1 to 5: none of those below is among them, and different seeds share cities, never a spot or an author.
SEEN, NEVER_SEEN = CitySet(count=3000), CitySet(count=500, skip=3000)
_FIRST_SEED, _REFERENCES_SEED, _SEEN_SEED, _UNSEEN_SEED, _MORE_SEED = 1, 101, 102, 103, 104


@dataclass(frozen=True)
class Sizes:
    """How many photos of each kind, and how many of the queries go the whole way of a job."""

    references: int = 20_000
    queries: int = 2_000
    more: int = 4_000
    jobs: int = 50

    def quick(self) -> "Sizes":
        """A hundredth of it, to see that everything works; its figures say nothing."""
        return Sizes(self.references // 100, self.queries // 50, self.more // 100, max(1, self.jobs // 10))


@dataclass(frozen=True)
class DemoWorld:
    """Folders of rendered photos, each with its photos.csv."""

    folder: Path
    sizes: Sizes

    def references(self, progress: Callable[[int], None]) -> Path:
        """References in the cities that the model knows."""
        return self._rendered("references", Plan(self.sizes.references, _REFERENCES_SEED, PX, cities=SEEN), progress)

    def more_references(self, progress: Callable[[int], None]) -> Path:
        """References in the cities that it does not know."""
        return self._rendered("more", Plan(self.sizes.more, _MORE_SEED, PX, cities=NEVER_SEEN), progress)

    def seen(self, progress: Callable[[int], None]) -> Path:
        """Queries in the cities that it knows; the photos it has never seen."""
        return self._rendered("seen", Plan(self.sizes.queries, _SEEN_SEED, PX, cities=SEEN), progress)

    def unseen(self, progress: Callable[[int], None]) -> Path:
        """Queries in the cities that it does not know."""
        return self._rendered("unseen", Plan(self.sizes.queries, _UNSEEN_SEED, PX, cities=NEVER_SEEN), progress)

    def _rendered(self, name: str, plan: Plan, progress: Callable[[int], None]) -> Path:
        folder = self.folder / f"{name}-{plan.count}"
        write_photos(plan, folder, jobs=os.cpu_count() or 1, progress=progress)
        return folder


def first_references(folder: Path, count: int, progress: Callable[[int], None]) -> Path:
    """What a stack without any reference is given at its first start."""
    plan = Plan(count=count, seed=_FIRST_SEED, size=PX, cities=CitySet(count=CITIES))
    target = folder / f"first-{count}"
    write_photos(plan, target, jobs=os.cpu_count() or 1, progress=progress)
    return target
