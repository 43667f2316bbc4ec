"""API keys."""

import re
from dataclasses import replace
from datetime import UTC, datetime
from uuid import UUID, uuid4

import pytest
from g3_kit.errors import Rejected, Unauthenticated
from g3_orchestrator import keys
from g3_orchestrator.model import ApiKey, Tenant

NOW = datetime(2026, 1, 1, tzinfo=UTC)


class Rows:
    """Keys in memory."""

    def __init__(self) -> None:
        self.tenants: dict[str, Tenant] = {}
        self.keys: dict[bytes, ApiKey] = {}
        self.looks = 0

    def find_key(self, key_hash: bytes) -> ApiKey | None:
        self.looks += 1
        found = self.keys.get(key_hash)
        return found if found and found.revoked_at is None else None

    def create_tenant(self, name: str) -> Tenant:
        return self.tenants.setdefault(name, Tenant(uuid4(), name, NOW))

    def create_key(self, tenant_id: UUID, *, key_hash: bytes, prefix: str, label: str = "") -> ApiKey:
        self.keys[key_hash] = ApiKey(uuid4(), tenant_id, prefix, key_hash, label, NOW)
        return self.keys[key_hash]


def test_a_key_is_shown_once_and_stored_only_as_a_hash() -> None:
    rows = Rows()
    key = keys.create(rows, "acme")
    assert re.fullmatch(r"g3_[0-9a-f]{8}_[\w-]{43}", key)
    [stored] = rows.keys.values()
    assert len(stored.key_hash) == 32
    assert key.startswith(stored.prefix + "_")
    assert key.rpartition("_")[2] not in repr(stored)


def test_a_key_names_its_tenant_and_two_keys_may_share_one() -> None:
    rows = Rows()
    first, second, other = keys.create(rows, "acme"), keys.create(rows, "acme"), keys.create(rows, "globex")
    verifier = keys.Keys(rows)
    tenants = [verifier.authenticate(f"Bearer {key}").tenant_id for key in (first, second, other)]
    assert tenants[0] == tenants[1] == rows.tenants["acme"].tenant_id
    assert tenants[2] == rows.tenants["globex"].tenant_id
    assert verifier.authenticate(f"bearer  {first}").tenant_id == tenants[0]


@pytest.mark.parametrize(
    "header", [None, "", "Bearer", "Bearer ", "Basic Zzo=", "Bearer g3_short_x", "g3_00000000_" + "a" * 43, "Bearer é"]
)
def test_what_is_no_key_is_refused_without_asking_the_store(header: str | None) -> None:
    rows = Rows()
    with pytest.raises(Unauthenticated):
        keys.Keys(rows).authenticate(header)
    assert rows.looks == 0


def test_answers_are_remembered_also_for_unknown_keys() -> None:
    rows = Rows()
    key = keys.create(rows, "acme")
    verifier = keys.Keys(rows, remember_s=60)
    for _ in range(5):
        verifier.authenticate(f"Bearer {key}")
        with pytest.raises(Unauthenticated):
            verifier.authenticate("Bearer g3_00000000_" + "a" * 43)
    assert rows.looks == 2


def test_a_key_seen_a_moment_ago_needs_no_look() -> None:
    rows = Rows()
    header = f"Bearer {keys.create(rows, 'acme')}"
    verifier = keys.Keys(rows, remember_s=60)
    assert verifier.remembered(header) is None
    principal = verifier.authenticate(header)
    assert verifier.remembered(header) == principal
    unknown = "Bearer g3_00000000_" + "a" * 43
    assert verifier.remembered(unknown) is None
    with pytest.raises(Unauthenticated):
        verifier.authenticate(unknown)
    with pytest.raises(Unauthenticated):
        verifier.remembered(unknown)
    assert rows.looks == 2


def test_a_revoked_key_stops_working_once_forgotten() -> None:
    rows = Rows()
    key = keys.create(rows, "acme")
    verifier = keys.Keys(rows, remember_s=0)
    verifier.authenticate(f"Bearer {key}")
    [(key_hash, row)] = rows.keys.items()
    rows.keys[key_hash] = replace(row, revoked_at=NOW)
    with pytest.raises(Unauthenticated):
        verifier.authenticate(f"Bearer {key}")


def test_no_more_keys_are_remembered_than_told() -> None:
    rows = Rows()
    verifier = keys.Keys(rows, remember_s=60, remember=2)
    made = [keys.create(rows, f"tenant {n}") for n in range(3)]
    for key in [*made, made[0]]:
        verifier.authenticate(f"Bearer {key}")
    assert rows.looks == 4


@pytest.mark.parametrize("name", ["", "   ", "x" * 101, "a\nb", "a\0b"])
def test_a_tenant_needs_a_name(name: str) -> None:
    with pytest.raises(Rejected):
        keys.create(Rows(), name)
