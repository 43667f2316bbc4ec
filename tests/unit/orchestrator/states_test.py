"""What may follow what."""

import itertools

import pytest
from g3_kit.errors import Conflict
from g3_orchestrator import states
from g3_orchestrator.states import JobState, StageName, StageState, allowed, check

JOB = {
    ("queued", "retrieving"),
    ("retrieving", "generating"),
    ("retrieving", "verifying"),
    ("retrieving", "succeeded"),
    ("generating", "verifying"),
    ("verifying", "succeeded"),
    ("queued", "planning"),
    ("planning", "filling"),
    ("filling", "publishing"),
    ("publishing", "succeeded"),
} | {
    (before, after)
    for before in ("queued", "retrieving", "generating", "verifying", "planning", "filling", "publishing")
    for after in ("failed", "cancelled")
}


@pytest.mark.parametrize(("before", "after"), list(itertools.product(JobState, JobState)))
def test_jobs_move_as_the_design_says(before: JobState, after: JobState) -> None:
    if (before.value, after.value) in JOB:
        check(before, after)
    else:
        with pytest.raises(Conflict):
            check(before, after)


@pytest.mark.parametrize("ended", [JobState.SUCCEEDED, JobState.FAILED, JobState.CANCELLED])
def test_nothing_follows_the_end_of_a_job(ended: JobState) -> None:
    assert ended.ended
    assert not allowed(ended)


def test_only_done_and_dead_end_a_stage() -> None:
    assert {state for state in StageState if state.ended} == {StageState.DONE, StageState.DEAD}
    with pytest.raises(Conflict):
        check(StageState.DONE, StageState.LEASED)
    with pytest.raises(Conflict):
        check(StageState.PENDING, StageState.DONE)


def test_a_worker_may_be_faster_than_the_relay() -> None:
    check(StageState.PENDING, StageState.LEASED)


def test_every_member_explains_itself() -> None:
    kinds = [kind for kind in vars(states).values() if isinstance(kind, type) and issubclass(kind, states._Told)]
    members = [member for kind in kinds for member in kind]
    assert len(members) > 30
    assert [member for member in members if not member.sentence.endswith(".")] == []


def test_each_stage_has_its_queue_and_state() -> None:
    assert {name.value: (name.queue, name.job_state.value) for name in StageName} == {
        "retrieve": ("coordinate", "retrieving"),
        "generate": ("generate", "generating"),
        "verify": ("coordinate", "verifying"),
        "plan": ("ingest", "planning"),
        "fill": ("ingest", "filling"),
        "publish": ("ingest", "publishing"),
    }
