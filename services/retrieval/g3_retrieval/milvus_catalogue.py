"""The collections of a Milvus by their logical names.

A version's physical name carries what must never be lost: `{collection}__{model}__{dimension}`. Descriptions are
dropped by milvus-lite, and properties are not to be had everywhere, so the name is the authority.
"""

import re
import threading
from collections.abc import Callable
from typing import Any, TypeVar

from g3_kit.errors import Missing
from pymilvus import MilvusClient
from pymilvus.exceptions import MilvusException

from g3_retrieval.milvus_calls import NO_ALIAS, translated
from g3_retrieval.references import Version

_PHYSICAL = re.compile(r"(?P<name>[A-Za-z_]\w{0,99})__(?P<model>[A-Za-z0-9]{1,64})__(?P<dimension>[0-9]{1,5})", re.A)

Answer = TypeVar("Answer")


def physical(version: Version) -> str:
    """The name in Milvus; at most 173 of the 255 bytes that Milvus takes."""
    return f"{version.name}__{version.model}__{version.dimension}"


def parsed(name: str) -> Version | None:
    """The version that a name in Milvus stands for; None when it is none of ours."""
    match = _PHYSICAL.fullmatch(name)
    return Version(match["name"], match["model"], int(match["dimension"])) if match else None


class MilvusCatalogue:
    """Versions and aliases. A version is remembered, for it never changes; an alias is asked for every time."""

    def __init__(self, client: MilvusClient, deadline_s: float) -> None:
        """Ask `client`, `deadline_s` a call."""
        self._client = client
        self._deadline_s = deadline_s
        self._known: dict[str, Version] = {}
        self._lock = threading.Lock()

    def versions(self) -> dict[str, Version]:
        """Every version by name, asked afresh."""
        with translated():
            names = self._client.list_collections(timeout=self._deadline_s)
        found = {version.name: version for name in names if (version := parsed(str(name)))}
        with self._lock:
            self._known = dict(found)
        return found

    def version(self, name: str) -> Version:
        """The version of that name. Raises `Missing`; aliases do not count."""
        with self._lock:
            known = self._known.get(name)
        version = known or self.versions().get(name)
        if version is None:
            raise Missing(f"there is no collection version {name!r}", field="collection")
        return version

    def aliased(self, alias: str) -> Version | None:
        """What an alias names now; None when there is no such alias."""
        try:
            with translated():
                described: dict[str, Any] = self._describe_alias(alias)
        except Missing:
            return None
        return parsed(str(described.get("collection_name", "")))

    def resolved(self, name: str) -> Version:
        """The version that `name`, a version or an alias, means now. Raises `Missing`."""
        with self._lock:
            known = self._known.get(name)
        if version := known or self.aliased(name) or self.versions().get(name):
            return version
        raise Missing(f"there is no collection or alias {name!r}", field="collection")

    def aliases(self, version: Version) -> tuple[str, ...]:
        """The aliases of a version, sorted."""
        with translated(version.name):
            listed = self._client.list_aliases(physical(version), timeout=self._deadline_s)
        names = listed.get("aliases", []) if isinstance(listed, dict) else listed
        return tuple(sorted(names))

    def forget(self, name: str) -> None:
        """Ask again for `name` next time: it may have been dropped, here or by another process."""
        with self._lock:
            self._known.pop(name, None)

    def with_version(self, name: str, do: Callable[[Version], Answer]) -> Answer:
        """`do` with what `name` means; once more when that was dropped between being resolved and being used."""
        version = self.resolved(name)
        try:
            return do(version)
        except Missing:
            self.forget(name)
            again = self.resolved(name)
            if again == version:
                raise
            return do(again)

    def _describe_alias(self, alias: str) -> dict[str, Any]:
        try:
            return dict(self._client.describe_alias(alias, timeout=self._deadline_s))
        except MilvusException as error:
            if error.code in NO_ALIAS:
                raise Missing(f"there is no alias {alias!r}", field="collection") from error
            raise
