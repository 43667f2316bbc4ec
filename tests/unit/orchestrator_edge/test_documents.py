"""What the API answers is what its schemas say, in JSON and as protobuf."""

from dataclasses import replace
from datetime import UTC, datetime
from uuid import UUID

import pytest
from g3_geography import BoundingBox, Coordinates, Place
from g3_orchestrator import convert, jobs, model, parameters
from g3_orchestrator.rest import documents, schemas
from g3_orchestrator.states import DropReason, JobState, Origin, Profile, StageName

NOW = datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)
SPOT, PLACE = Coordinates(1.5, -2.5), Place("Accra", "Greater Accra", "Ghana", "GH")
RELEASE = model.Release("model", "gps", "collection")
RESULT = model.Result(
    SPOT,
    PLACE,
    0.25,
    (
        model.Candidate(SPOT, Origin.LMM, 0.25, 1, PLACE, 2, 3),
        model.Candidate(SPOT, Origin.RETRIEVED, 0.2, 2, PLACE, reference_id="r"),
    ),
    (model.Match("r", SPOT, PLACE, "author", 0.5),),
    (model.Dropped(1, 2, DropReason.UNPARSABLE),),
    RELEASE,
)
HINTS = parameters.Hints(("GH",), BoundingBox(-1, 170, 2, -170), parameters.Circle(SPOT, 10))
SUCCEEDED = model.Job(
    job_id=UUID("0190b5a0-0000-7000-8000-000000000001"),
    tenant_id=UUID("0190b5a0-0000-7000-8000-000000000002"),
    state=JobState.SUCCEEDED,
    created_at=NOW,
    updated_at=NOW,
    label="a label",
    parameters=replace(parameters.PAPER, hints=HINTS, excluded_authors=("me",)),
    photo=model.PhotoRef("0" * 64, 1, 2, 3),
    last_event=4,
    degraded=("generation",),
    release=RELEASE,
    result=RESULT,
    timings=(model.StageTiming(StageName.RETRIEVE, 0.5, 1.5, 2),),
)
FAILED = replace(SUCCEEDED, state=JobState.FAILED, result=None, failure=model.Failure("unavailable", "Away."))


@pytest.mark.parametrize("job", [SUCCEEDED, FAILED, replace(FAILED, state=JobState.QUEUED, failure=None, timings=())])
def test_a_job_is_written_as_its_schema_says(job: model.Job) -> None:
    read = schemas.Job.model_validate_json(documents.written(documents.job(job)))
    assert read.job_id == str(job.job_id)
    assert (read.state, read.created_at, read.label, read.degraded) == (job.state, NOW, "a label", ["generation"])
    assert read.model_dump(mode="json") == schemas.Job.model_validate(documents.job(job)).model_dump(mode="json")
    assert (read.result is None, read.failure is None) == (job.result is None, job.failure is None)


def test_pages_and_events_are_written_as_their_schemas_say() -> None:
    page = schemas.JobPage.model_validate_json(
        documents.written(documents.page(jobs.Page((SUCCEEDED, FAILED), "next")))
    )
    assert ([job.state for job in page.jobs], page.next_cursor) == ([JobState.SUCCEEDED, JobState.FAILED], "next")
    event = schemas.JobEvent.model_validate_json(documents.written(documents.event(jobs.JobEvent(4, SUCCEEDED))))
    assert event.event_id == 4
    assert event.job.result is not None
    assert event.job.result.candidates[1].reference_id == "r"


def test_parameters_that_were_read_can_be_sent_again_both_ways() -> None:
    document = documents.job(SUCCEEDED)["parameters"]
    asked, _ = documents.asked(document, None)
    assert parameters.resolve(asked) == SUCCEEDED.parameters
    assert parameters.resolve(convert.asked(convert.job(SUCCEEDED).parameters)) == SUCCEEDED.parameters


def test_the_message_of_a_job_says_the_same_as_its_document() -> None:
    message, document = convert.job(SUCCEEDED), documents.job(SUCCEEDED)
    assert message.job_id == document["job_id"]
    assert message.created_at.ToDatetime(UTC) == NOW
    assert message.result.candidates[0].prompt == document["result"]["candidates"][0]["prompt"] == 2
    assert message.result.dropped[0].reason == "unparsable"
    assert message.timings[0].attempts == 2
    assert convert.job(FAILED).failure.code == "unavailable"
    assert not convert.job(FAILED).HasField("result")


def test_nothing_stated_is_the_default_profile() -> None:
    asked, label = documents.asked(None, None)
    assert label == ""
    assert parameters.resolve(asked).profile is Profile.DEFAULT
