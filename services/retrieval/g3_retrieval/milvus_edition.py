"""Which Milvus it is: milvus-lite and the versions of the core can do different things, and say so badly."""

import re
from dataclasses import dataclass

_LITE = re.compile(r"milvus[_-]lite", re.I)
_NUMBERS = re.compile(r"v?(\d+)\.(\d+)")


@dataclass(frozen=True, slots=True)
class Edition:
    """What a server says it is: "milvus_lite-3.2.2", "v2.3.5-lite" (the core of the wheel `milvus`), "v2.6.1-gpu"."""

    said: str

    @property
    def lite(self) -> bool:
        """Whether it is milvus-lite, the embedded one in Python."""
        return bool(_LITE.match(self.said))

    @property
    def version(self) -> tuple[int, int]:
        """Of a core: (2, 3). (0, 0) when it says nothing that can be read, which no feature asks for."""
        numbers = _NUMBERS.search(self.said)
        return (int(numbers[1]), int(numbers[2])) if numbers else (0, 0)

    @property
    def gpu(self) -> bool:
        """Whether a core was built for GPUs: those carry it in their name."""
        return "gpu" in self.said.lower()

    @property
    def pages(self) -> dict[str, object]:
        """What a query with a limit must say so that it gives the first rows by id.

        milvus-lite gives any rows without `iterator`. A core of 2.3 gives the first ones by itself; told to
        `reduce_stop_for_best` it stops where its first segment ends and passes the limit by a multiple. Later cores
        have both for their query iterators.
        """
        if not self.lite and self.version < (2, 4):
            return {}
        return {"iterator": "True", "reduce_stop_for_best": True}

    def __str__(self) -> str:
        return "milvus-lite" if self.lite else f"Milvus {self.said.removeprefix('v')}"
