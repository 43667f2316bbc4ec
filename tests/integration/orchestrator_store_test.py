"""Jobs and keys in a real PostgreSQL: tenants apart, idempotency, pages, notifications, lost connections."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from uuid import UUID, uuid4

import pytest
from g3_kit.errors import Conflict, Missing, Rejected, Unavailable
from g3_orchestrator.model import Job
from g3_orchestrator.repeating import Lost
from g3_orchestrator.states import JobState, StageName, View
from g3_orchestrator.store.jobs import uuid7
from g3_orchestrator.store.port import JOBS_CHANNEL, OUTBOX_CHANNEL, Cursor
from g3_orchestrator.store.postgres import PostgresStore

from tests.servers.house import House, house

pytestmark = pytest.mark.needs("postgres")


@pytest.fixture
def home(database_url: str) -> Iterator[House]:
    with house(database_url) as made:
        yield made


def test_a_job_is_read_back_as_it_was_made(home: House) -> None:
    new = replace(home.new(top_k=3), label="my label")
    job, created = home.store.create_job(home.tenant, new)
    assert created
    assert replace(home.job(job), timings=()) == job
    assert (job.state, job.label, job.parameters, job.photo) == (
        JobState.QUEUED,
        "my label",
        new.parameters,
        new.photo,
    )
    assert job.job_id.version == 7


def test_ids_are_uuids_of_version_7_in_order_of_time() -> None:
    ids = [uuid7() for _ in range(1000)]
    assert len(set(ids)) == 1000
    assert {(made.version, made.variant) for made in ids} == {(7, "specified in RFC 4122")}
    assert [made.int >> 80 for made in ids] == sorted(made.int >> 80 for made in ids)


def test_the_same_key_and_request_give_the_same_job(home: House) -> None:
    new = replace(home.new(), idempotency_key="k")
    first, created = home.store.create_job(home.tenant, new)
    second, again = home.store.create_job(home.tenant, new)
    assert (created, again) == (True, False)
    assert first.job_id == second.job_id
    assert home.count("outbox", first.job_id) == 1
    with pytest.raises(Rejected) as caught:
        home.store.create_job(home.tenant, replace(new, request_hash=b"x" * 32))
    assert caught.value.field == "idempotency_key"


def test_another_tenant_may_use_the_same_key(home: House) -> None:
    other = home.store.create_tenant("other").tenant_id
    new = replace(home.new(), idempotency_key="k")
    first, _ = home.store.create_job(home.tenant, new)
    second, created = home.store.create_job(other, replace(new, request_hash=b"x" * 32))
    assert created
    assert first.job_id != second.job_id


def test_submissions_at_once_with_one_key_make_one_job(home: House) -> None:
    new = replace(home.new(), idempotency_key="k")
    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(lambda _: home.store.create_job(home.tenant, new), range(16)))
    assert len({job.job_id for job, _ in made}) == 1
    assert sum(created for _, created in made) == 1


READS: list[Callable[[House, UUID, Job], object]] = [
    lambda home, tenant, job: home.store.get_job(tenant, job.job_id),
    lambda home, tenant, job: home.store.cancel_job(tenant, job.job_id),
    lambda home, tenant, job: home.store.events_after(tenant, job.job_id, 0),
    lambda home, tenant, job: home.store.retrieval(tenant, job.job_id),
]


@pytest.mark.parametrize("read", READS, ids=["get", "cancel", "events", "retrieval"])
def test_a_job_of_another_tenant_is_missing(home: House, read: Callable[[House, UUID, Job], object]) -> None:
    job = home.to_verify(("(1, 2)",))
    for stranger in (home.store.create_tenant("other").tenant_id, uuid4()):
        with pytest.raises(Missing):
            read(home, stranger, job)
    assert home.job(job).state is JobState.VERIFYING
    read(home, home.tenant, job)


def test_lists_and_answers_of_another_tenant_are_empty(home: House) -> None:
    job = home.to_verify(("(1, 2)",))
    other = home.store.create_tenant("other").tenant_id
    assert home.store.list_jobs(other, limit=10) == []
    assert home.store.list_jobs(other, limit=10, state=JobState.VERIFYING) == []
    assert home.store.answers(other, job.job_id) == []
    assert len(home.store.answers(home.tenant, job.job_id)) == 1


def test_pages_hold_every_job_once_newest_first(home: House) -> None:
    jobs = [home.submit().job_id for _ in range(25)]
    # Many jobs of one moment: the id decides.
    home.execute("UPDATE jobs SET created_at = date_trunc('minute', created_at)")
    pages, after = [], None
    while page := home.store.list_jobs(home.tenant, limit=7, after=after):
        pages += page
        after = Cursor(page[-1].created_at, page[-1].job_id)
    assert [job.job_id for job in pages] == sorted((job.job_id for job in pages), reverse=True)
    assert {job.job_id for job in pages} == set(jobs)
    assert len(pages) == 25


def test_lists_take_a_state_and_carry_results(home: House) -> None:
    home.submit()
    done = home.to_verify(("(1, 2)",))
    home.work(done, StageName.VERIFY)
    listed = home.store.list_jobs(home.tenant, limit=10, state=JobState.SUCCEEDED)
    assert [job.job_id for job in listed] == [done.job_id]
    whole = home.job(done).result
    assert listed[0].result is not None
    assert whole is not None
    assert (listed[0].result.coordinates, listed[0].result.places) == (whole.coordinates, whole.places)
    assert listed[0].result.candidates == ()
    assert home.store.list_jobs(home.tenant, limit=1, state=JobState.SUCCEEDED, view=View.FULL) == [home.job(done)]


def test_cancelling_twice_is_cancelling_once(home: House) -> None:
    job = home.submit()
    first = home.store.cancel_job(home.tenant, job.job_id)
    assert home.store.cancel_job(home.tenant, job.job_id) == first
    assert [event.state.value for event in home.store.events_after(home.tenant, job.job_id, 0)] == [
        "queued",
        "cancelled",
    ]


def test_what_has_ended_is_not_cancelled(home: House) -> None:
    job = home.to_verify(("(1, 2)",))
    home.work(job, StageName.VERIFY)
    with pytest.raises(Conflict):
        home.store.cancel_job(home.tenant, job.job_id)
    assert home.job(job).state is JobState.SUCCEEDED


def test_cancelling_while_a_stage_completes_ends_one_way(home: House) -> None:
    for _ in range(15):
        job = home.to_verify(("(1, 2)",))

        def cancel(job: Job = job) -> None:
            try:
                home.store.cancel_job(home.tenant, job.job_id)
            except Conflict:
                return

        with ThreadPoolExecutor(2) as pool:
            for future in [pool.submit(home.work, job, StageName.VERIFY), pool.submit(cancel)]:
                future.result()
        ended = home.job(job)
        assert (ended.state, ended.result is not None) in ((JobState.SUCCEEDED, True), (JobState.CANCELLED, False))
        assert home.count("events", job.job_id) == ended.last_event


def test_events_after_the_last_are_none(home: House) -> None:
    job = home.submit()
    assert [event.event_id for event in home.store.events_after(home.tenant, job.job_id, 0)] == [1]
    assert home.store.events_after(home.tenant, job.job_id, 1) == []


def test_keys_are_found_by_their_hash_until_revoked(home: House) -> None:
    made = home.store.create_key(home.tenant, key_hash=b"k" * 32, prefix="g3_abc", label="ci")
    assert home.store.find_key(b"k" * 32) == made
    assert home.store.find_key(b"x" * 32) is None
    with pytest.raises(Conflict):
        home.store.create_key(home.tenant, key_hash=b"k" * 32, prefix="g3_abc")
    with pytest.raises(Missing):
        home.store.create_key(uuid4(), key_hash=b"z" * 32, prefix="g3_abc")
    home.execute("UPDATE api_keys SET revoked_at = now()")
    assert home.store.find_key(b"k" * 32) is None


def test_a_tenant_of_one_name_is_one_tenant(home: House) -> None:
    with ThreadPoolExecutor(6) as pool:
        made = set(pool.map(lambda _: home.store.create_tenant("Ünï"), range(12)))
    assert len(made) == 1
    with pytest.raises(Rejected):
        home.store.create_tenant("")


def test_whoever_listens_hears_of_new_rows_and_events(home: House) -> None:
    stop = threading.Event()
    heard: dict[str, list[str]] = {JOBS_CHANNEL: [], OUTBOX_CHANNEL: []}
    ready = threading.Barrier(3, timeout=10)
    threads = []
    for channel, payloads in heard.items():
        first = threading.Event()

        def hear(batch: list[str], payloads: list[str] = payloads, first: threading.Event = first) -> None:
            payloads += batch
            if not first.is_set():
                first.set()
                ready.wait()

        threads.append(threading.Thread(target=home.store.listen, args=(channel, stop, hear, 0.05)))
        threads[-1].start()
    ready.wait()
    job = home.submit()
    deadline = threading.Event()
    for _ in range(100):
        if heard[JOBS_CHANNEL] and heard[OUTBOX_CHANNEL]:
            break
        deadline.wait(0.05)
    stop.set()
    for thread in threads:
        thread.join()
    assert heard == {JOBS_CHANNEL: [f"{home.tenant}/{job.job_id}"], OUTBOX_CHANNEL: [""]}


def test_lost_connections_are_replaced(home: House) -> None:
    job = home.submit()
    for _ in range(3):
        home.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND application_name = 'g3_orchestrator'"
        )
        assert home.job(job).job_id == job.job_id


@pytest.mark.parametrize(
    ("role", "call"), [("claim_free", "claim"), ("locked", "renew"), ("finish_generate", "complete")]
)
def test_a_connection_that_dies_inside_a_call_is_repeated(home: House, role: str, call: str) -> None:
    job = home.to_generate()
    ref = home.ref(job)
    if call != "claim":
        home.stages.claim(ref)
    real, calls = getattr(home.store, role), []

    def lost_once(*arguments: object) -> object:
        calls.append(arguments)
        if len(calls) == 1:
            raise Lost("the connection was lost")
        return real(*arguments)

    setattr(home.store, role, lost_once)
    getattr(home.stages, call)(ref)
    assert len(calls) == 2
    assert home.stage(job, StageName.GENERATE)["state"] == ("done" if call == "complete" else "leased")


@pytest.mark.parametrize("call", ["claim", "complete"])
def test_a_call_whose_commit_was_not_heard_of_is_repeated(home: House, call: str) -> None:
    job = home.to_generate()
    ref = home.ref(job)
    role = "claim_free"
    if call == "complete":
        home.stages.claim(ref)
        role = "finish_generate"
    real, calls = getattr(home.store, role), []

    def lost_afterwards(*arguments: object) -> object:
        calls.append(real(*arguments))
        if len(calls) == 1:
            raise Lost("the connection was lost after the commit")
        return calls[-1]

    setattr(home.store, role, lost_afterwards)
    getattr(home.stages, call)(ref)
    assert calls[0]
    assert not calls[1]
    assert home.count("stages", job.job_id) == (3 if call == "complete" else 2)
    assert home.count("events", job.job_id) == home.job(job).last_event


def test_a_database_that_is_away_is_unavailable() -> None:
    with PostgresStore("postgresql://nobody@127.0.0.1:9/none") as store, pytest.raises(Unavailable):
        store.ping()


def test_the_pool_is_bounded(database_url: str) -> None:
    with PostgresStore(database_url, pool_size=1) as store:
        tenant = store.create_tenant("a").tenant_id
        with store.outgoing(1), pytest.raises(Unavailable):
            store.list_jobs(tenant, limit=1)
