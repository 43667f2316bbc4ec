"""What callers may ask, checked before any index is asked."""

from collections.abc import Sequence

from g3_kit.errors import Rejected, TooLarge

from g3_retrieval.index import Index
from g3_retrieval.kinds import IndexKind, Wish
from g3_retrieval.listing import Cursor, Page
from g3_retrieval.recall import USUAL, Gauges, Measured, Question, Stopped, never
from g3_retrieval.references import (
    MAX_DIMENSION,
    Collection,
    Filter,
    Found,
    FoundMany,
    ManySearch,
    ReferenceVectors,
    Search,
    Version,
    check_model,
    check_name,
    check_text,
)

DEFAULT_ALIAS = "references"
MAX_UPSERTED = 1_000
MAX_FOUND = 1_000
MAX_SEARCHED = 256
"""Photos of one `search_many`."""
MAX_FOUND_TOGETHER = 20_000
"""References of all of them together: some 5 MB."""
MAX_HELD = 10_000
MAX_LISTED, MAX_LISTED_WITH_VECTORS, USUALLY_LISTED = 10_000, 1_000, 1_000
"""References a page. A thousand vectors of 3 x 768 are 9 MB."""
MAX_EXCLUDED = 10_000
"""Excluded ids, and excluded authors, of one search."""


class Retrieval:
    """The service over one index. Raises what `Index` raises, and `Rejected` or `TooLarge` on bad input."""

    def __init__(self, index: Index, usual_kind: IndexKind = IndexKind.FLAT) -> None:
        """Ask `index`; collections are made of `usual_kind` unless told otherwise."""
        self._index = index
        self._usual_kind = usual_kind
        self._gauges = Gauges(index)

    def create(
        self, collection: str, dimension: int, model: str, kind: IndexKind | None = None, expected: int = 0
    ) -> Collection:
        """Make a version, of the usual kind when None is told; see `Index.create`."""
        check_name(collection, "collection")
        check_model(model)
        if not 1 <= dimension <= MAX_DIMENSION:
            raise Rejected(f"dimension must lie between 1 and {MAX_DIMENSION}", field="dimension")
        return self._index.create(collection, dimension, model, Wish(kind or self._usual_kind, expected))

    def check_upsert(self, collection: str, model: str, count: int) -> Version:
        """Refuse a whole batch before its items are read; gives the version that would be written.

        Raises `Mismatch` on another model: no item of such a batch can be right.
        """
        check_name(collection, "collection")
        check_model(model)
        if count > MAX_UPSERTED:
            raise TooLarge(f"at most {MAX_UPSERTED} references a call, not {count}", field="references")
        version = self._index.version(collection)
        version.check(model)
        return version

    def upsert(self, collection: str, model: str, references: ReferenceVectors) -> int:
        """Write references; see `Index.upsert`."""
        if not len(references):
            return 0
        self._gauges.written(collection)
        return self._index.upsert(collection, model, references)

    def publish(
        self, collection: str, alias: str, minimum: float = 0.0, question: Question = USUAL, stopped: Stopped = never
    ) -> tuple[str, Measured | None]:
        """Point an alias (the default one when empty) at a version; see `Index.publish`.

        With a `minimum`, only if each recall is at least that, as `measure` finds it; raises `Unmet` otherwise.
        """
        check_name(collection, "collection")
        alias = alias or DEFAULT_ALIAS
        check_name(alias, "alias")
        if not 0.0 <= minimum <= 1.0:
            raise Rejected("minimum_recall must lie between 0 and 1", field="minimum_recall")
        measured = None
        if minimum:
            self._index.version(collection)
            measured = self.measure(collection, question, stopped)
            measured.check(minimum)
        return self._index.publish(collection, alias), measured

    def measure(self, name: str, question: Question, stopped: Stopped) -> Measured:
        """The recall of a version, or of what an alias (the default one when empty) names; see `Gauge.measure`."""
        check_name(name or DEFAULT_ALIAS, "collection")
        question.check()
        return self._gauges.measure(self._index.resolved(name or DEFAULT_ALIAS), question, stopped)

    def drop(self, collection: str) -> None:
        """Remove a version; see `Index.drop`."""
        check_name(collection, "collection")
        self._index.drop(collection)

    def search(self, search: Search) -> Found:
        """Find references; see `Index.search`."""
        check_name(search.collection, "collection")
        check_model(search.model)
        _check_filter(search.filter)
        for name in ("similar", "dissimilar"):
            if getattr(search, name) > MAX_FOUND:
                raise Rejected(f"{name} must be at most {MAX_FOUND}", field=name)
        return self._index.search(search)

    def search_many(self, search: ManySearch) -> FoundMany:
        """Find the similar references of many photos; see `Index.search_many`."""
        if not 1 <= search.similar <= MAX_FOUND:
            raise Rejected(f"similar must lie between 1 and {MAX_FOUND}", field="similar")
        _check_filter(search.filter)
        return self._index.search_many(search)

    def check_many(self, collection: str, model: str, photos: int, similar: int) -> Version:
        """Refuse a question about many photos before they are read; gives the version that would answer."""
        check_name(collection, "collection")
        check_model(model)
        if not 1 <= photos <= MAX_SEARCHED:
            raise Rejected(f"vectors must be 1 to {MAX_SEARCHED}, not {photos}", field="vectors")
        if photos * similar > MAX_FOUND_TOGETHER:
            raise TooLarge(f"photos times similar must be at most {MAX_FOUND_TOGETHER}", field="similar")
        version = self._index.resolved(collection)
        version.check(model)
        return version

    def describe(self, name: str) -> Collection:
        """State a version or an alias (the default one when empty)."""
        name = name or DEFAULT_ALIAS
        check_name(name, "collection")
        return self._index.describe(name)

    def collections(self) -> Sequence[Collection]:
        """Every version, by name."""
        return self._index.collections()

    def held(self, name: str, ids: Sequence[str]) -> Sequence[str]:
        """Those of `ids` that are there, in the order asked."""
        name = name or DEFAULT_ALIAS
        check_name(name, "collection")
        if len(ids) > MAX_HELD:
            raise TooLarge(f"at most {MAX_HELD} ids a call, not {len(ids)}", field="ids")
        for asked in ids:
            check_text(asked, "ids")
        return self._index.held(name, ids)

    def listed(
        self, name: str, token: str, page_size: int, wanted: Filter, with_vectors: bool
    ) -> tuple[Page, Version, str]:
        """A page, the version it is of, and the token of the next page ("" after the last).

        `token` counts before `name`. Raises `Mismatch` when the version was made anew for another model meanwhile.
        """
        most = MAX_LISTED_WITH_VECTORS if with_vectors else MAX_LISTED
        if page_size > most:
            raise TooLarge(f"at most {most} references a page, not {page_size}", field="page_size")
        _check_filter(wanted)
        if token:
            cursor = Cursor.read(token)
            version = self._index.version(cursor.version)
            version.check(cursor.model)
        else:
            check_name(name or DEFAULT_ALIAS, "collection")
            version = self._index.resolved(name or DEFAULT_ALIAS)
            cursor = Cursor.behind(version, "")
        limit = page_size or USUALLY_LISTED
        page = self._index.listed(version, cursor.after, limit, wanted, with_vectors)
        more = len(page.references) == limit
        return page, version, Cursor.behind(version, page.references[-1].id).token() if more else ""


def _check_filter(wanted: Filter) -> None:
    for name in ("excluded_ids", "excluded_authors"):
        if len(getattr(wanted, name)) > MAX_EXCLUDED:
            raise TooLarge(f"at most {MAX_EXCLUDED} {name}", field=f"filter.{name}")
