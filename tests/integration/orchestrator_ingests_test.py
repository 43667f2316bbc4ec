"""Ingest runs on a real PostgreSQL: plan, shards side by side, fan-in, fence, bounded attempts, cancellation."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from g3_kit.errors import Conflict, Missing, Rejected
from g3_orchestrator.model import Failure
from g3_orchestrator.overflow import kept_and_filed
from g3_orchestrator.runs import Ingest, IngestPlan, IngestSpec, NewIngest, Publication, Reject, Tally
from g3_orchestrator.stages import Policy, Ref, Swept
from g3_orchestrator.states import JobState, StageName

from tests.servers.house import House, house

pytestmark = pytest.mark.needs("postgres")

PLAN, FILL, PUBLISH = StageName.PLAN, StageName.FILL, StageName.PUBLISH


@pytest.fixture
def home(database_url: str) -> Iterator[House]:
    with house(database_url, Policy(max_attempts=3)) as made:
        yield made


def ref(run: Ingest, stage: StageName, shard: int = 0, attempt: int = 1, claim: str = "c") -> Ref:
    return Ref(run.ingest_id, stage, attempt, claim, shard)


def submit(home: House, **spec: Any) -> Ingest:
    run, created = home.store.create_ingest(home.tenant, NewIngest(IngestSpec("/photos", **spec), request_hash=b"h"))
    assert created
    return run


def now(home: House, run: Ingest) -> Ingest:
    return home.store.get_ingest(home.tenant, run.ingest_id)


def planned(home: House, rows: int = 100, shards: int = 4, **spec: Any) -> Ingest:
    run = submit(home, **spec)
    home.stages.claim(ref(run, PLAN))
    home.stages.record_plan(ref(run, PLAN), IngestPlan(rows, shards, "mine", "m" * 64, 8, "s"))
    home.stages.complete(ref(run, PLAN))
    return run


def fill(home: House, run: Ingest, shard: int, rows: int) -> None:
    home.stages.claim(ref(run, FILL, shard))
    home.stages.advance(ref(run, FILL, shard), Tally(read=rows, written=rows), [])
    home.stages.complete(ref(run, FILL, shard))


def rung(home: House) -> list[tuple[str, int]]:
    return [(row.stage.value, row.shard) for row in home.ring()]


def test_a_run_goes_through_its_states_and_the_broker_stays_short(home: House) -> None:
    run = submit(home, at_once=2)
    assert rung(home) == [("plan", 0)]
    home.stages.claim(ref(run, PLAN))
    assert now(home, run).state is JobState.PLANNING
    with pytest.raises(Conflict):
        home.stages.complete(ref(run, PLAN))
    home.stages.record_plan(ref(run, PLAN), IngestPlan(10, 4, "mine", "m" * 64, 8, "s"))
    home.stages.complete(ref(run, PLAN))
    assert now(home, run).state is JobState.FILLING
    assert rung(home) == [("fill", 0), ("fill", 1)]
    assert [(shard.rows, shard.state) for shard in now(home, run).shards] == [
        (2, "dispatched"),
        (3, "dispatched"),
        (2, "waiting"),
        (3, "waiting"),
    ]
    for shard, rows in ((1, 3), (0, 2)):
        fill(home, run, shard, rows)
    assert rung(home) == [("fill", 2), ("fill", 3)]
    fill(home, run, 3, 3)
    assert rung(home) == []
    fill(home, run, 2, 2)
    assert rung(home) == [("publish", 0)]
    claim = home.stages.claim(ref(run, PUBLISH))
    assert claim.run is not None
    assert claim.run.tally == Tally(read=10, written=10)
    home.stages.record_publication(ref(run, PUBLISH), Publication(10, 0.99, 1.0, True, "old"))
    home.stages.complete(ref(run, PUBLISH))
    ended = now(home, run)
    assert (ended.state, ended.publication) == (JobState.SUCCEEDED, Publication(10, 0.99, 1.0, True, "old"))
    assert [event.state.value for event in home.store.events_after(home.tenant, run.ingest_id, 0)] == [
        "queued",
        "planning",
        "filling",
        "publishing",
        "succeeded",
    ]


def test_shards_that_end_at_once_open_one_publication(home: House) -> None:
    run = planned(home, rows=80, shards=8, at_once=8)
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda shard: fill(home, run, shard, 10), range(8)))
        list(pool.map(lambda shard: home.stages.complete(ref(run, FILL, shard)), range(8)))
    assert home.execute("SELECT count(*) AS n FROM stages WHERE name = 'publish'") == [{"n": 1}]
    assert now(home, run).state is JobState.PUBLISHING


def test_a_shard_with_rows_left_is_not_complete(home: House) -> None:
    run = planned(home)
    home.stages.claim(ref(run, FILL))
    home.stages.advance(ref(run, FILL), Tally(read=24, written=24), [])
    with pytest.raises(Conflict):
        home.stages.complete(ref(run, FILL))
    with pytest.raises(Rejected):
        home.stages.advance(ref(run, FILL), Tally(read=26, written=26), [])


def test_a_takeover_goes_on_behind_what_was_recorded(home: House) -> None:
    run = planned(home)
    first = ref(run, FILL, 1)
    home.stages.claim(first)
    duplicate = Reject(30, "x", "duplicate", "the same photo")
    tally = Tally(read=10, written=9, duplicates=1, reasons={"duplicate": 1})
    assert home.stages.advance(first, tally, [duplicate])
    # What was told already, or is overtaken, changes nothing.
    assert not home.stages.advance(first, tally, [duplicate])
    assert not home.stages.advance(first, Tally(read=5, written=5), [])
    home.execute("UPDATE stages SET wake_at = now(), lease_until = now() WHERE name = 'fill' AND shard = 1")
    assert home.stages.sweep() == Swept(taken_back=1)
    with pytest.raises(Conflict):
        home.stages.advance(first, Tally(read=11, written=11), [])
    claim = home.stages.claim(ref(run, FILL, 1, attempt=2, claim="d"))
    assert claim.run is not None
    assert claim.run.tally == tally
    assert home.store.rejects(home.tenant, run.ingest_id, after_row=-1, limit=10) == [duplicate]


def test_attempts_that_get_on_do_not_count_and_those_that_do_not_are_bounded(home: House) -> None:
    run = planned(home, at_once=3)
    for attempt in range(1, 6):
        mine = ref(run, FILL, 2, attempt)
        home.stages.claim(mine)
        home.stages.advance(mine, Tally(read=attempt, written=attempt), [])
        home.stages.fail(mine, Failure("unavailable", "away"), retryable=True)
    for attempt in range(6, 9):
        home.stages.claim(ref(run, FILL, 2, attempt))
        home.stages.fail(ref(run, FILL, 2, attempt), Failure("unavailable", "away"), retryable=True)
    ended = now(home, run)
    assert ended.state is JobState.FAILED
    assert ended.failure == Failure("unavailable", "shard 2: away")
    assert [shard.state for shard in ended.shards] == ["dead", "dead", "dead", "waiting"]
    assert "away" in ended.shards[2].reason


def test_a_released_shard_is_rung_at_once_and_not_counted(home: House) -> None:
    run = planned(home)
    home.ring()
    for attempt in range(1, 8):
        home.stages.claim(ref(run, FILL, 0, attempt))
        home.stages.release(ref(run, FILL, 0, attempt), "the worker leaves")
        assert rung(home) == [("fill", 0)]
    assert now(home, run).state is JobState.FILLING


def test_a_sweep_over_dying_shards_fails_the_run_once(home: House) -> None:
    run = planned(home, rows=40, shards=4, at_once=4)
    for shard in range(4):
        home.stages.claim(ref(run, FILL, shard))
    home.execute("UPDATE stages SET attempt = 3, wake_at = now(), lease_until = now() WHERE state = 'leased'")
    assert home.stages.sweep() == Swept(given_up=1)
    assert home.stages.sweep() == Swept()
    assert now(home, run).state is JobState.FAILED
    states = [event.state.value for event in home.store.events_after(home.tenant, run.ingest_id, 0)]
    assert states.count("failed") == 1


def test_cancelling_stops_every_shard(home: House) -> None:
    run = planned(home, at_once=3)
    home.stages.claim(ref(run, FILL, 1))
    assert home.store.cancel_ingest(home.tenant, run.ingest_id).state is JobState.CANCELLED
    with pytest.raises(Conflict):
        home.stages.advance(ref(run, FILL, 1), Tally(read=1, written=1), [])
    assert home.stages.sweep() == Swept()
    assert home.store.cancel_ingest(home.tenant, run.ingest_id).state is JobState.CANCELLED


def test_runs_and_jobs_do_not_see_each_other(home: House) -> None:
    run, job = submit(home), home.submit()
    other = home.store.create_tenant("another").tenant_id
    assert [found.job_id for found in home.store.list_jobs(home.tenant, limit=9)] == [job.job_id]
    assert [found.ingest_id for found in home.store.list_ingests(home.tenant, limit=9)] == [run.ingest_id]
    assert home.store.list_ingests(other, limit=9) == []
    for call in (
        lambda: home.store.get_job(home.tenant, run.ingest_id),
        lambda: home.store.cancel_job(home.tenant, run.ingest_id),
        lambda: home.store.get_ingest(home.tenant, job.job_id),
        lambda: home.store.cancel_ingest(home.tenant, job.job_id),
        lambda: home.store.get_ingest(other, run.ingest_id),
        lambda: home.store.rejects(other, run.ingest_id, after_row=-1, limit=1),
    ):
        with pytest.raises(Missing):
            call()


def test_rejects_beyond_the_first_of_a_shard_lie_in_files(home: House) -> None:
    run = planned(home, rows=3000, shards=1)
    mine = ref(run, FILL)
    home.stages.claim(mine)
    for start in (0, 1500):
        told = [Reject(start + n, f"id {start + n}", "rejected", "no, not this") for n in range(1500)]
        kept, file = kept_and_filed(told, home.stages.room_for_rejects(mine), home.blobs)
        tally = Tally(read=start + 1500, rejected=start + 1500)
        assert home.stages.advance(mine, tally, kept, file)
    assert len(home.store.rejects(home.tenant, run.ingest_id, after_row=-1, limit=5000)) == 1000
    files = home.store.reject_files(home.tenant, run.ingest_id)
    assert [(file.first_row, file.rejects) for file in files] == [(1000, 500), (1500, 1500)]
    assert home.blobs.get(home.tenant, files[1].sha256).splitlines()[0] == b'1500,id 1500,rejected,"no, not this"'


@pytest.mark.parametrize(
    "spec",
    [
        {"source": ""},
        {"source": "a\nb"},
        {"source": "/x", "collection": "9"},
        {"source": "/x", "alias": ""},
        {"source": "/x", "at_once": 0},
        {"source": "/x", "shards": 10_001},
        {"source": "/x", "near_duplicate": 0.2},
        {"source": "/x", "near_duplicate_in_collection": True},
        {"source": "/x", "least_recall_similar": 1.5},
        {"source": "/x", "index": "flat; drop"},
    ],
)
def test_impossible_specs_are_rejected(spec: dict[str, Any]) -> None:
    with pytest.raises(Rejected):
        IngestSpec(**spec)
