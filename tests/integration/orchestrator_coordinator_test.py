"""Whole jobs over a real PostgreSQL with faked services."""

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from g3_geography import BoundingBox, Coordinates
from g3_kit.errors import G3Error, Late, Mismatch, Missing, Rejected, Unavailable
from g3_orchestrator.fakes import COLLECTION, GPS, MODEL
from g3_orchestrator.model import Answer, Dropped, Job, Release
from g3_orchestrator.parameters import Hints
from g3_orchestrator.stages import Policy, Swept
from g3_orchestrator.states import Dissimilar, DropReason, JobState, Origin, StageName

from tests.servers.house import House, house

pytestmark = pytest.mark.needs("postgres")

GENERATE, RETRIEVE, VERIFY = StageName.GENERATE, StageName.RETRIEVE, StageName.VERIFY


@pytest.fixture
def home(database_url: str) -> Iterator[House]:
    with house(database_url) as made:
        yield made


def test_a_job_goes_through_all_stages_to_one_result(home: House) -> None:
    home.scorer.truth = Coordinates(48.8584, 2.2945)
    job = home.submit()
    assert [(row.stage, row.attempt) for row in home.ring()] == [(RETRIEVE, 1)]
    home.work(job, RETRIEVE)
    assert home.job(job).state is JobState.GENERATING
    assert home.job(job).release == Release(MODEL, GPS, COLLECTION)
    assert [(row.stage, row.attempt) for row in home.ring()] == [(GENERATE, 1)]
    ref = home.ref(job)
    home.stages.claim(ref)

    texts = ['{"latitude": 48.8584, "longitude": 2.2945}', "no idea", "(95, 0)", "(48.8584, 2.2945)"]
    home.stages.record(ref, [Answer(1, sample, text) for sample, text in enumerate(texts)])
    home.stages.complete(ref)
    assert [(row.stage, row.attempt) for row in home.ring()] == [(VERIFY, 1)]
    home.work(job, VERIFY)
    done = home.job(job)
    assert (done.state, done.degraded, done.failure) == (JobState.SUCCEEDED, (), None)
    result = done.result
    assert result is not None
    assert result.coordinates == Coordinates(48.8584, 2.2945)
    assert (result.candidates[0].origin, result.candidates[0].prompt) == (Origin.LMM, 1)
    # The equal answer is a second voice for the same place; 15 references stand behind it.
    assert [candidate.rank for candidate in result.candidates] == list(range(1, 17))
    assert [(s.prompt, s.sample) for s in result.candidates[0].sources] == [(1, 0), (1, 3)]
    assert [(a.prompt, a.sample, a.text) for a in result.answers] == [(1, n, text) for n, text in enumerate(texts)]
    # The references lie along a line, 11 km apart: one place.
    assert [place.candidates for place in result.places] == [1, 15]
    assert result.places[0].coordinates == result.coordinates
    assert (result.confidence, result.radius_km, result.abstained) == ((), None, False)
    assert len(result.references) == 15
    assert set(result.dropped) == {
        Dropped(1, 1, DropReason.UNPARSABLE),
        Dropped(1, 2, DropReason.OUT_OF_RANGE),
    }
    assert result.release == Release(MODEL, GPS, COLLECTION)
    assert [(timing.stage, timing.attempts) for timing in done.timings] == [(RETRIEVE, 1), (GENERATE, 1), (VERIFY, 1)]
    assert all(timing.waited_s >= 0 and timing.worked_s > 0 for timing in done.timings)
    events = home.store.events_after(home.tenant, job.job_id, 0)
    assert [(event.event_id, event.state.value) for event in events] == [
        (1, "queued"),
        (2, "retrieving"),
        (3, "generating"),
        (4, "verifying"),
        (5, "succeeded"),
    ]
    assert home.ring() == []


def test_duplicate_messages_of_every_stage_give_one_result(home: House) -> None:
    job = home.to_verify(("(1, 2)",))

    def deliver(stage: StageName) -> None:
        home.work(job, stage)

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(deliver, [VERIFY, RETRIEVE] * 6))
    assert home.job(job).state is JobState.SUCCEEDED
    assert home.count("results", job.job_id) == 1
    assert home.count("stages", job.job_id) == 3
    assert home.scorer.calls == 1


def test_without_generation_the_answer_comes_from_references_and_says_so(database_url: str) -> None:
    with house(database_url, Policy(generation_enabled=False)) as home:
        job = home.submit()
        home.work(job, RETRIEVE)
        assert (home.job(job).state, home.job(job).degraded) == (JobState.VERIFYING, ("generation",))
        home.work(job, VERIFY)
        done = home.job(job)
        assert done.state is JobState.SUCCEEDED
        assert done.degraded == ("generation",)
        assert done.result is not None
        assert {candidate.origin for candidate in done.result.candidates} == {Origin.RETRIEVED}
        assert [timing.stage for timing in done.timings] == [RETRIEVE, VERIFY]


def test_a_job_that_asks_for_no_prompts_is_not_degraded(home: House) -> None:
    job = home.submit(references_per_prompt=())
    home.work(job, RETRIEVE)
    home.work(job, VERIFY)
    done = home.job(job)
    assert (done.state, done.degraded) == (JobState.SUCCEEDED, ())


def test_a_degraded_job_has_a_candidate_even_when_it_asked_for_none(home: House) -> None:
    job = home.to_generate(retrieved_candidates=0)
    home.age(job, 121)
    assert home.stages.sweep() == Swept(given_up=1)
    home.work(job, VERIFY)
    done = home.job(job)
    assert (done.state, done.degraded) == (JobState.SUCCEEDED, ("generation",))
    assert done.result is not None
    assert len(done.result.candidates) == 1


def test_answers_that_came_before_the_budget_ended_are_used(home: House) -> None:
    home.scorer.truth = Coordinates(1, 2)

    job = home.to_generate()
    ref = home.ref(job)
    home.stages.claim(ref)
    home.stages.record(ref, [Answer(0, 0, "(1, 2)")])
    home.age(job, 121)
    home.stages.sweep()
    home.work(job, VERIFY)
    done = home.job(job)
    assert done.degraded == ("generation",)
    assert done.result is not None
    assert done.result.coordinates == Coordinates(1, 2)


def test_an_empty_collection_fails_with_a_clear_code(home: House) -> None:
    home.searcher.count = 0
    job = home.to_verify(("I cannot determine the place",))
    home.work(job, VERIFY)
    done = home.job(job)
    assert done.state is JobState.FAILED
    assert done.failure is not None
    assert (done.failure.code, done.result) == ("missing", None)


@pytest.mark.parametrize(
    ("part", "stage"),
    [("embedder", RETRIEVE), ("searcher", RETRIEVE), ("scorer", VERIFY)],
    ids=lambda value: str(value),
)
@pytest.mark.parametrize("fault", [Unavailable("away"), Late("slow")], ids=["unavailable", "late"])
def test_a_service_that_is_away_is_asked_again(home: House, part: str, stage: StageName, fault: G3Error) -> None:
    job = home.submit() if stage is RETRIEVE else home.to_verify(("(1, 2)",))
    getattr(home, part).faults.append(fault)
    home.work(job, stage)
    assert home.stage(job, stage)["state"] == "pending"
    home.age(job, 2)
    home.stages.sweep()
    home.work(job, stage, attempt=2)
    assert home.stage(job, stage)["state"] == "done"


def test_a_service_that_stays_away_fails_the_job_with_its_code(home: House) -> None:
    job = home.submit()
    for attempt in range(1, Policy().max_attempts + 1):
        home.embedder.faults.append(Unavailable("the embedding service is away"))
        home.work(job, RETRIEVE, attempt)
    done = home.job(job)
    assert done.failure is not None
    assert (done.state, done.failure.code) == (JobState.FAILED, "unavailable")
    assert "embedding" in done.failure.message


@pytest.mark.parametrize(
    "fault", [Rejected("not a photo"), Missing("no such collection"), Mismatch("other model")], ids=lambda e: e.code
)
def test_what_will_stay_wrong_fails_the_job_at_once(home: House, fault: G3Error) -> None:
    home.embedder.faults.append(fault)
    job = home.submit()
    home.work(job, RETRIEVE)
    done = home.job(job)
    assert done.failure is not None
    assert (done.state, done.failure.code, done.failure.message) == (JobState.FAILED, fault.code, fault.message)


def failure_of(job: Job) -> str:
    assert job.state is JobState.FAILED
    assert job.failure is not None
    return job.failure.code


def test_references_of_another_model_are_refused(home: House) -> None:
    home.embedder.model = "newer"
    job = home.submit()
    home.work(job, RETRIEVE)
    assert failure_of(home.job(job)) == "mismatch"


@pytest.mark.parametrize("fingerprint", ["model", "gps"])
def test_scores_of_another_release_than_the_pinned_one_are_refused(home: House, fingerprint: str) -> None:
    job = home.to_verify(("(1, 2)",))
    setattr(home.scorer, fingerprint, "newer")
    home.work(job, VERIFY)
    assert failure_of(home.job(job)) == "mismatch"


def test_hints_and_exclusions_reach_the_search(home: House) -> None:
    box = BoundingBox(10.45, 0, 11.05, 40)
    job = home.to_verify((), hints=Hints(bounding_box=box), excluded_references=("near-5",), retrieved_candidates=3)
    home.work(job, VERIFY)
    result = home.job(job).result
    assert result is not None
    assert [match.reference_id for match in result.references[:3]] == ["near-6", "near-7", "near-8"]
    assert {candidate.reference_id for candidate in result.candidates} == {"near-6", "near-7", "near-8"}


def test_dissimilar_references_are_kept_for_the_prompts(home: House) -> None:
    with_contrast = home.to_generate(dissimilar=Dissimilar.FARTHEST)
    without = home.to_generate(dissimilar=Dissimilar.NONE)
    assert len(home.store.retrieval(home.tenant, with_contrast.job_id).dissimilar) == 15
    assert home.store.retrieval(home.tenant, without.job_id).dissimilar == ()


def test_a_long_stage_keeps_its_lease(database_url: str) -> None:

    with house(database_url, Policy(lease_s=0.6)) as home:
        job = home.to_generate()
        ref = home.ref(job)
        home.stages.claim(ref)
        with home.leases.kept(ref):
            for _ in range(15):
                time.sleep(0.1)
                home.stages.sweep()
        home.stages.complete(ref)
        assert home.job(job).state is JobState.VERIFYING
