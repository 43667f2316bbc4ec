"""The stage protocol on a real PostgreSQL: fence, leases, repeats, cancellation, sweeping."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from g3_kit.errors import Conflict, Missing, Rejected
from g3_orchestrator.model import Answer, Failure, Job
from g3_orchestrator.stages import Policy, Ref, Swept
from g3_orchestrator.states import JobState, StageName

from tests.servers.house import House, house

pytestmark = pytest.mark.needs("postgres")

GENERATE, RETRIEVE, VERIFY = StageName.GENERATE, StageName.RETRIEVE, StageName.VERIFY
AWAY = Failure("unavailable", "the LMM is away")


@pytest.fixture
def home(database_url: str) -> Iterator[House]:
    with house(database_url) as made:
        yield made


def test_a_claim_takes_the_stage_and_moves_a_queued_job_on(home: House) -> None:
    job = home.submit()
    claim = home.stages.claim(home.ref(job, RETRIEVE))
    assert (claim.lease_s, claim.budget_s) == (30.0, None)
    assert home.job(job).state is JobState.RETRIEVING
    assert home.stage(job, RETRIEVE)["state"] == "leased"


def test_a_claim_is_idempotent_by_its_id_alone(home: House) -> None:
    job = home.to_generate()
    ref = home.ref(job)
    first = home.stages.claim(ref)
    assert home.stages.claim(ref).stage.attempt == first.stage.attempt == 1
    with pytest.raises(Conflict):
        home.stages.claim(home.ref(job))


def test_of_many_deliveries_one_gets_the_stage(home: House) -> None:
    job = home.to_generate()

    def claim(_: int) -> bool:
        try:
            home.stages.claim(home.ref(job))
        except Conflict:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(claim, range(24))) == 1


def test_the_budget_runs_from_when_the_stage_was_first_due(home: House) -> None:
    job = home.to_generate()
    home.age(job, 50)
    budget_s = home.stages.claim(home.ref(job)).budget_s
    assert budget_s is not None
    assert 60 < budget_s <= 70


CALLS: list[Callable[[House, Ref], object]] = [
    lambda home, ref: home.stages.claim(ref),
    lambda home, ref: home.stages.renew(ref),
    lambda home, ref: home.stages.record(ref, [Answer(0, 0, "(1, 2)")]),
    lambda home, ref: home.stages.complete(ref),
    lambda home, ref: home.stages.fail(ref, AWAY, retryable=True),
    lambda home, ref: home.stages.fail(ref, AWAY, retryable=False),
]
NAMES = ["claim", "renew", "record", "complete", "fail-retryable", "fail"]


def snapshot(home: House, job: Job) -> list[object]:
    return [
        home.execute(f"SELECT * FROM {table} ORDER BY 1, 2")  # noqa: S608 - constants
        for table in ("jobs", "stages", "answers", "events", "results")
    ]


@pytest.mark.parametrize("call", CALLS, ids=NAMES)
def test_an_old_fence_is_refused_in_every_write(home: House, call: Callable[[House, Ref], object]) -> None:
    job = home.to_generate()
    old = home.ref(job)
    home.stages.claim(old)
    home.age(job, 31)
    assert home.stages.sweep() == Swept(taken_back=1)
    home.stages.claim(home.ref(job, attempt=2))
    before = snapshot(home, job)
    with pytest.raises(Conflict):
        call(home, old)
    assert snapshot(home, job) == before


@pytest.mark.parametrize("call", CALLS[1:], ids=NAMES[1:])
def test_another_claim_of_the_same_attempt_is_refused(home: House, call: Callable[[House, Ref], object]) -> None:
    job = home.to_generate()
    home.stages.claim(home.ref(job))
    before = snapshot(home, job)
    with pytest.raises(Conflict):
        call(home, home.ref(job))
    assert snapshot(home, job) == before


@pytest.mark.parametrize("call", CALLS[1:], ids=NAMES[1:])
def test_an_unclaimed_stage_takes_no_writes(home: House, call: Callable[[House, Ref], object]) -> None:
    job = home.to_generate()
    with pytest.raises(Conflict):
        call(home, home.ref(job))


@pytest.mark.parametrize("call", CALLS, ids=NAMES)
def test_cancelling_during_a_stage_stops_its_writes(home: House, call: Callable[[House, Ref], object]) -> None:
    job = home.to_generate()
    ref = home.ref(job)
    home.stages.claim(ref)
    assert home.store.cancel_job(home.tenant, job.job_id).state is JobState.CANCELLED
    before = snapshot(home, job)
    with pytest.raises(Conflict):
        call(home, ref)
    assert snapshot(home, job) == before
    assert home.stages.sweep() == Swept()


@pytest.mark.parametrize("call", CALLS, ids=NAMES)
def test_calls_for_what_does_not_exist_are_missing(home: House, call: Callable[[House, Ref], object]) -> None:
    job = home.submit()
    with pytest.raises(Missing):
        call(home, home.ref(job, GENERATE))


def test_a_lease_that_ended_and_was_not_taken_back_still_holds(home: House) -> None:
    job = home.to_generate()
    ref = home.ref(job)
    home.stages.claim(ref)
    home.age(job, 31)
    home.stages.renew(ref)
    assert home.stages.sweep() == Swept()
    home.stages.complete(ref)
    assert home.job(job).state is JobState.VERIFYING


def test_a_takeover_asks_only_for_what_is_missing(home: House) -> None:
    job = home.to_generate()
    first = home.ref(job)
    home.stages.claim(first)
    assert home.stages.record(first, [Answer(0, 0, "(1, 2)"), Answer(1, 3, "no idea")]) == 2
    home.age(job, 31)
    home.stages.sweep()
    second = home.ref(job, attempt=2)
    home.stages.claim(second)
    held = home.store.answers(home.tenant, job.job_id)
    assert [(answer.prompt, answer.sample) for answer in held] == [(0, 0), (1, 3)]
    # A repeat with another text changes nothing.
    assert home.stages.record(second, [Answer(0, 0, "(9, 9)"), Answer(0, 1, "(3, 4)")]) == 1
    assert [answer.text for answer in home.store.answers(home.tenant, job.job_id)] == ["(1, 2)", "(3, 4)", "no idea"]


def test_answers_that_nobody_asked_for_are_rejected(home: House) -> None:
    job = home.to_generate(references_per_prompt=(0, 5), samples_per_prompt=3)
    ref = home.ref(job)
    home.stages.claim(ref)
    for answer in (Answer(2, 0, ""), Answer(0, 3, ""), Answer(-1, 0, "")):
        with pytest.raises(Rejected):
            home.stages.record(ref, [answer])
    assert home.store.answers(home.tenant, job.job_id) == []


def test_completing_twice_inserts_one_next_stage(home: House) -> None:
    job = home.to_generate()
    ref = home.ref(job)
    home.stages.claim(ref)
    home.ring()
    for _ in range(3):
        home.stages.complete(ref)
    assert [(row.stage, row.attempt) for row in home.ring()] == [(VERIFY, 1)]
    assert home.job(job).last_event == 4
    with pytest.raises(Conflict):
        home.stages.complete(home.ref(job))


def test_completions_at_once_insert_one_next_stage(home: House) -> None:
    job = home.to_generate()
    ref = home.ref(job)
    home.stages.claim(ref)
    with ThreadPoolExecutor(6) as pool:
        list(pool.map(lambda _: home.stages.complete(ref), range(12)))
    assert home.count("stages", job.job_id) == 3
    assert home.count("events", job.job_id) == 4


def test_a_retryable_failure_waits_and_comes_back_as_the_next_attempt(home: House) -> None:
    job = home.to_generate()
    home.ring()
    ref = home.ref(job)
    home.stages.claim(ref)
    home.stages.fail(ref, AWAY, retryable=True)
    row = home.stage(job, GENERATE)
    assert (row["state"], row["attempt"], row["claim_id"]) == ("pending", 2, None)
    assert "the LMM is away" in row["reason"]
    assert home.stages.sweep() == Swept()
    assert home.ring() == []
    home.age(job, 1.1)
    assert home.stages.sweep() == Swept(rung=1)
    assert [(rung.stage, rung.attempt) for rung in home.ring()] == [(GENERATE, 2)]


def test_waits_after_failures_grow_to_a_bound() -> None:
    policy = Policy()
    assert [policy.backoff_s(attempt) for attempt in (1, 2, 3, 4, 9)] == [1, 2, 4, 8, 30]


def test_the_attempts_outlast_two_minutes_without_a_service() -> None:
    policy = Policy()
    assert sum(policy.backoff_s(attempt) for attempt in range(1, policy.max_attempts)) >= 120


def test_generation_that_fails_for_good_is_left_out(home: House) -> None:
    job = home.to_generate()
    ref = home.ref(job)
    home.stages.claim(ref)
    home.stages.fail(ref, Failure("rejected", "no such model"), retryable=False)
    home.stages.fail(ref, Failure("rejected", "no such model"), retryable=False)
    now = home.job(job)
    assert (now.state, now.degraded) == (JobState.VERIFYING, ("generation",))
    assert home.stage(job, GENERATE)["state"] == "dead"


def test_generation_is_left_out_once_its_attempts_are_spent(home: House) -> None:
    job = home.to_generate()
    for attempt in range(1, Policy().max_attempts + 1):
        ref = home.ref(job, attempt=attempt)
        home.stages.claim(ref)
        home.stages.fail(ref, AWAY, retryable=True)
    now = home.job(job)
    assert (now.state, now.degraded) == (JobState.VERIFYING, ("generation",))


@pytest.mark.parametrize("claimed", [False, True])
def test_generation_is_left_out_once_its_budget_is_spent(home: House, claimed: bool) -> None:
    job = home.to_generate()
    ref = home.ref(job)
    if claimed:
        home.stages.claim(ref)
        home.stages.record(ref, [Answer(0, 0, "(1, 2)")])
    home.age(job, 121)
    with pytest.raises(Conflict):
        home.stages.claim(home.ref(job))
    assert home.stages.sweep() == Swept(given_up=1)
    assert home.stages.sweep() == Swept()
    now = home.job(job)
    assert (now.state, now.degraded) == (JobState.VERIFYING, ("generation",))
    with pytest.raises(Conflict):
        home.stages.record(ref, [Answer(0, 1, "(3, 4)")])


def test_a_renewed_lease_does_not_outlast_the_budget(home: House) -> None:
    job = home.to_generate()
    ref = home.ref(job)
    home.stages.claim(ref)
    home.age(job, 119)
    home.stages.renew(ref)
    home.age(job, 2)
    assert home.stages.sweep() == Swept(given_up=1)


@pytest.mark.parametrize("stage", [RETRIEVE, VERIFY])
def test_a_job_whose_worker_dies_each_time_fails(home: House, stage: StageName) -> None:
    job = home.submit() if stage is RETRIEVE else home.to_verify()
    for attempt in range(1, Policy().max_attempts + 1):
        home.stages.claim(home.ref(job, stage, attempt))
        home.age(job, 31)
        home.stages.sweep()
    now = home.job(job)
    assert now.state is JobState.FAILED
    assert now.failure is not None
    assert now.failure.code == "unavailable"
    assert now.result is None


def test_an_ended_lease_is_taken_back_and_rung_at_once(home: House) -> None:
    job = home.submit()
    home.ring()
    home.stages.claim(home.ref(job, RETRIEVE))
    home.age(job, 29)
    assert home.stages.sweep() == Swept()
    home.age(job, 2)
    assert home.stages.sweep() == Swept(taken_back=1)
    assert [(rung.stage, rung.attempt) for rung in home.ring()] == [(RETRIEVE, 2)]
