"""The rows of one Milvus: collections by their physical names, loaded when Milvus has released them."""

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any, TypeVar

from g3_kit.errors import Missing
from pymilvus import MilvusClient
from pymilvus.exceptions import MilvusException

from g3_retrieval.milvus_calls import NOT_LOADED, gone_under_the_call, translated
from g3_retrieval.milvus_catalogue import parsed
from g3_retrieval.milvus_edition import Edition
from g3_retrieval.milvus_expressions import literal
from g3_retrieval.milvus_schema import MilvusOptions
from g3_retrieval.references import Vectors

Answer = TypeVar("Answer")


class MilvusRows:
    """Raises `Missing` for a collection that is not there (any more), `Unavailable` or `Late` as every call may."""

    def __init__(
        self, client: MilvusClient, edition: Edition, options: MilvusOptions, load: Callable[[str], None]
    ) -> None:
        """Ask `client`; `load` has it answer for a collection."""
        self._client = client
        self._edition = edition
        self._options = options
        self._load = load

    def stands(self, name: str) -> None:
        """Raises `Missing` when it was dropped: a core answers calls that a drop overtakes with nothing."""
        with translated(_said(name)):
            if not self._client.has_collection(name, timeout=self._options.deadline_s):
                raise Missing(f"there is no collection version {_said(name)!r}", field="collection")

    def upsert(self, name: str, rows: list[dict[str, Any]]) -> None:
        """Write rows, durably."""
        with translated(_said(name)):
            self._client.upsert(name, rows, timeout=self._options.write_deadline_s)

    def flush(self, name: str) -> None:
        """Turn what was written into segments: milvus-lite searches 20,000 fresh rows in 1 s, sealed ones in 30 ms."""
        with translated(_said(name)):
            self._client.flush(name, timeout=self._options.write_deadline_s)

    def query(self, name: str, wanted: str, fields: Sequence[str]) -> Sequence[dict[str, Any]]:
        """Every row that passes, as of now."""
        return self._loaded(name, lambda: self._queried(name, wanted, fields))

    def first(self, name: str, after: str, wanted: str, fields: Sequence[str], limit: int) -> list[dict[str, Any]]:
        """The first `limit` rows that pass and come after the id `after`, in the order of their ids."""
        found: list[dict[str, Any]] = []
        while len(found) < limit:
            rows = self._page(name, found[-1]["id"] if found else after, wanted, fields, limit - len(found))
            if not rows:
                break
            found.extend(rows)
        if not found:
            self.stands(name)
        return found[:limit]

    def _page(self, name: str, after: str, wanted: str, fields: Sequence[str], limit: int) -> Sequence[dict[str, Any]]:
        """The first rows after `after`, by id: some of the `limit`, or none when there are no more."""
        coming = f"id > {literal(after)}"
        passing = f"{coming} and {wanted}" if wanted else coming
        ways = {**self._edition.pages, "limit": limit}
        rows = self._loaded(name, lambda: self._queried(name, passing, fields, **ways))
        ids = [after, *(row["id"] for row in rows)]
        if any(former >= latter for former, latter in pairwise(ids)):
            # Going on from such a page would leave references out.
            raise RuntimeError(f"{self._edition} gave a page that is not in the order of ids")
        return rows

    def count(self, name: str, wanted: str = "") -> int:
        """How many rows pass, exactly."""
        counted = int(self.query(name, wanted, ["count(*)"])[0]["count(*)"])
        if not counted:
            self.stands(name)
        return counted

    def search_many(
        self,
        name: str,
        queries: Sequence[Vectors],
        wanted: str,
        limit: int,
        fields: Sequence[str],
        params: dict[str, Any],
    ) -> list[list[Any]]:
        """The best `limit` hits that pass, for each query."""
        found = self._loaded(
            name,
            lambda: self._client.search(
                name,
                data=list(queries),
                filter=wanted,
                limit=limit,
                output_fields=list(fields),
                search_params=params,
                consistency_level=self._options.consistency,
                timeout=self._options.deadline_s,
            ),
        )
        if any(len(hits) < limit for hits in found):
            self.stands(name)
        return [list(hits) for hits in found]

    def _queried(self, name: str, wanted: str, fields: Sequence[str], **ways: Any) -> Sequence[dict[str, Any]]:
        found: Sequence[dict[str, Any]] = self._client.query(
            name,
            filter=wanted,
            output_fields=list(fields),
            consistency_level="Strong",
            timeout=self._options.deadline_s,
            **ways,
        )
        return found

    def _loaded(self, name: str, ask: Callable[[], Answer]) -> Answer:
        """`ask`, and once more after a load when Milvus was restarted and has released the collection."""
        with translated(_said(name)):
            try:
                return ask()
            except MilvusException as error:
                if gone_under_the_call(error):
                    self.stands(name)
                    raise
                if error.code not in NOT_LOADED:
                    raise
            self._load(name)
            return ask()


def _said(name: str) -> str:
    version = parsed(name)
    return version.name if version else name
