"""The port: what the service asks of a vector index. `MilvusIndex` and `FaissIndex` pass one contract suite."""

from collections.abc import Sequence
from typing import Protocol

from g3_retrieval.kinds import WISHED_USUALLY, Sample, Wish
from g3_retrieval.listing import Page
from g3_retrieval.references import Collection, Filter, Found, FoundMany, ManySearch, ReferenceVectors, Search, Version


class Index(Protocol):
    """Collection versions behind aliases. Thread-safe; every method may raise `Unavailable`, or `Late`.

    Names of versions and of aliases are one space: a name is never both.
    """

    def create(self, collection: str, dimension: int, model: str, wish: Wish = WISHED_USUALLY) -> Collection:
        """Make a version, indexed as wished; a repeat is harmless, and one that wishes for AUTO takes what is there.

        Raises `Conflict` when it exists with another model, dimension or kind, or an alias has that name; `Unmet` when
        the technology cannot build that kind.
        """

    def version(self, collection: str) -> Version:
        """What a version is made for, without counting it. Raises `Missing`, also for an alias."""

    def resolved(self, name: str) -> Version:
        """The version that `name`, a version or an alias, means now. Raises `Missing`."""

    def upsert(self, collection: str, model: str, references: ReferenceVectors) -> int:
        """Insert or replace by id, durably; gives how many references were written (the last of those sharing an id).

        Raises `Missing` when there is no such version (aliases are not written to), `Mismatch` on another model or
        dimension.
        """

    def publish(self, collection: str, alias: str) -> str:
        """Seal a version and point `alias` at it; gives the version it named before, or "".

        Raises `Missing` when there is no such version, `Conflict` when a version is named like the alias.
        """

    def seal(self, collection: str) -> None:
        """Have what was written so far searched at full speed and through the index; waits for that.

        Raises `Missing`, `Unavailable` when it takes too long.
        """

    def sample(self, version: Version) -> Sample | None:
        """What `farthest` is searched among; None when that is every reference. Raises `Missing`."""

    def drop(self, collection: str) -> None:
        """Remove a version. Raises `Missing`, or `Conflict` while an alias points at it."""

    def search(self, search: Search) -> Found:
        """Find references. Raises `Missing`, `Mismatch`. `farthest` is exact, over all or over `sample`."""

    def search_many(self, search: ManySearch) -> FoundMany:
        """The similar references of many photos, at least one: as many `search`es give. Raises as that does."""

    def describe(self, name: str) -> Collection:
        """State a version or what an alias names, with its exact count. Raises `Missing`."""

    def collections(self) -> Sequence[Collection]:
        """Every version, by name."""

    def listed(self, version: Version, after: str, limit: int, wanted: Filter, with_vectors: bool) -> Page:
        """The first `limit` references that pass `wanted` and whose ids come after `after`, in the order of their ids.

        Fewer come only when there are no more. What is written or replaced meanwhile is listed if its id is still to
        come. Raises `Missing`.
        """

    def held(self, name: str, ids: Sequence[str]) -> Sequence[str]:
        """Those of `ids` that a version or alias holds, in the order asked. Raises `Missing`."""

    def problem(self) -> str | None:
        """What is wrong with the index now, in a few words; None when it answers. Never raises, never blocks long."""

    def close(self) -> None:
        """Let go of what is held. Nothing may be asked afterwards."""
