"""API keys: `g3_<prefix>_<secret>`, of which only a hash is kept.

A secret has 256 random bits, so a plain SHA-256 cannot be searched backwards and needs no salt or stretching.
"""

import hashlib
import re
import secrets
import threading
import time
from collections import OrderedDict
from dataclasses import dataclass
from uuid import UUID

from g3_kit.errors import Rejected, Unauthenticated

from g3_orchestrator.store.port import KeyStore

_KEY = re.compile(r"g3_[0-9a-f]{8}_[A-Za-z0-9_-]{43}")
_MAX_NAME = 100


@dataclass(frozen=True, slots=True)
class Principal:
    """Who calls: everything that is read or written is this tenant's."""

    tenant_id: UUID
    key_id: UUID


class Keys:
    """Verifies keys. Answers are remembered for `remember_s`, so that a revoked key works no longer than that."""

    def __init__(self, store: KeyStore, *, remember_s: float = 5.0, remember: int = 10_000) -> None:
        """`remember` is the number of keys remembered, unknown ones too: guessing does not reach the database twice."""
        self._store = store
        self._remember_s = remember_s
        self._remember = remember
        self._lock = threading.Lock()
        self._known: OrderedDict[bytes, tuple[float, Principal | None]] = OrderedDict()

    def authenticate(self, authorization: str | None) -> Principal:
        """The caller behind an `Authorization: Bearer g3_…` header (RFC 6750).

        Raises Unauthenticated without one or with one that is unknown or revoked, Unavailable without the store.
        """
        return _known(self._principal(_hash_in(authorization)))

    def remembered(self, authorization: str | None) -> Principal | None:
        """As `authenticate`, without asking the store: never blocks. None when the key has to be looked up."""
        with self._lock:
            known = self._known.get(_hash_in(authorization))
        return _known(known[1]) if known and known[0] > time.monotonic() else None

    def _principal(self, key_hash: bytes) -> Principal | None:
        now = time.monotonic()
        with self._lock:
            if (known := self._known.get(key_hash)) and known[0] > now:
                return known[1]
        found = self._store.find_key(key_hash)
        principal = Principal(found.tenant_id, found.key_id) if found else None
        with self._lock:
            self._known[key_hash] = (now + self._remember_s, principal)
            self._known.move_to_end(key_hash)
            while len(self._known) > self._remember:
                self._known.popitem(last=False)
        return principal


def _hash_in(authorization: str | None) -> bytes:
    scheme, _, key = (authorization or "").partition(" ")
    if scheme.lower() != "bearer" or not _KEY.fullmatch(key.strip()):
        raise Unauthenticated("Send an API key: 'Authorization: Bearer g3_…'.")
    return hashed(key.strip())


def _known(principal: Principal | None) -> Principal:
    if principal is None:
        raise Unauthenticated("This API key is unknown or revoked.")
    return principal


def hashed(key: str) -> bytes:
    """SHA-256 of the whole key, 32 bytes: what is stored."""
    return hashlib.sha256(key.encode()).digest()


def create(store: KeyStore, tenant_name: str, label: str = "") -> str:
    """A new key of the tenant of this name, made if there is none. The key is shown here and never again.

    Raises Rejected for a name that is none, Unavailable without the store.
    """
    name = tenant_name.strip()
    if not 1 <= len(name) <= _MAX_NAME or not name.isprintable():
        raise Rejected(f"A tenant's name has 1 to {_MAX_NAME} printable characters.", field="tenant")
    prefix = secrets.token_hex(4)
    key = f"g3_{prefix}_{secrets.token_urlsafe(32)}"
    tenant = store.create_tenant(name)
    store.create_key(tenant.tenant_id, key_hash=hashed(key), prefix=f"g3_{prefix}", label=label)
    return key
