"""The documents of the REST API. Field by field they are the messages of `jobs.proto`; enums are lower-case words."""

from datetime import datetime
from typing import Annotated

from pydantic import Field

from g3_orchestrator import states
from g3_orchestrator.rest.result_schemas import Result
from g3_orchestrator.rest.words import MAX_LABEL, Answered, Coordinates, Given, Text, Worded

__all__ = ["MAX_LABEL", "Answered", "Given", "Text", "Worded"]


class BoundingBox(Given):
    """A rectangle; it crosses the antimeridian when west > east."""

    south: float = Field(ge=-90, le=90, description="Southern parallel, degrees north.")
    west: float = Field(ge=-180, le=180, description="Western meridian, degrees east.")
    north: float = Field(ge=-90, le=90, description="Northern parallel, degrees north, not below south.")
    east: float = Field(ge=-180, le=180, description="Eastern meridian, degrees east.")


class Circle(Given):
    """A disc on the ellipsoid."""

    center: Coordinates = Field(description="Its centre.")
    radius_km: float = Field(gt=0, description="Geodesic radius in kilometres.")


class Hints(Given):
    """What the caller knows already; candidates elsewhere are dropped."""

    country_codes: list[Text] | None = Field(default=None, description="ISO 3166-1 alpha-2 codes.")
    bounding_box: BoundingBox | None = Field(default=None, description="Inside this box.")
    circle: Circle | None = Field(default=None, description="Inside this circle.")


class AbstainBelow(Given):
    """A confidence that an answer must have."""

    probability: float = Field(gt=0, le=1, description="Calibrated probability.")
    within_km: int = Field(
        description="Of lying nearer than so many kilometres to the truth: 1, 25, 200, 750 or 2500.", examples=[25]
    )


class Parameters(Given):
    """How a job is answered. A field left out, or null, takes the profile's value."""

    profile: Worded[states.Profile] | None = Field(default=None, description="Defaults of everything below.")
    strategy: Worded[states.Strategy] | None = Field(default=None, description="The way of answering.")
    retrieval_vector: Worded[states.RetrievalVector] | None = Field(
        default=None, description="Which vectors retrieval compares."
    )
    references_per_prompt: list[int] | None = Field(
        default=None,
        description="The K prompts: references in each, 0 to 50; at most 16 prompts.",
        examples=[[0, 5, 10, 15]],
    )
    samples_per_prompt: int | None = Field(default=None, description="N: samples asked of each prompt, 1 to 32.")
    retrieved_candidates: int | None = Field(
        default=None, description="S: retrieved references that join the candidates, 0 to 100."
    )
    dissimilar: Worded[states.Dissimilar] | None = Field(
        default=None, description="Kind of dissimilar references in the prompts."
    )
    temperature: float | None = Field(default=None, description="Sampling temperature of the LMM, 0 to 2.")
    prompt_order: Worded[states.PromptOrder] | None = Field(
        default=None, description="The order of the parts of a prompt."
    )
    gallery: int | None = Field(default=None, description="Gallery points that join the candidates, 0 to 1,000.")
    ranking: Worded[states.Ranking] | None = Field(
        default=None, description="How the answer is chosen among the candidates."
    )
    top_k: int | None = Field(default=None, description="Distinct places to return, 1 to 50.")
    hints: Hints | None = Field(default=None, description="Where the photo is known to be.")
    excluded_references: list[Text] | None = Field(default=None, description="References never to be used, by id.")
    excluded_authors: list[Text] | None = Field(
        default=None, description="Authors whose references are never to be used."
    )
    abstain_below: AbstainBelow | None = Field(
        default=None,
        description='Strategy g3: the result says "abstained" when the answer is less sure than this, or when no '
        "confidence is known.",
    )


class Submission(Given):
    """The fields beside the photo."""

    parameters: Parameters | None = Field(default=None, description="How to answer.")
    label: Annotated[Text, Field(max_length=MAX_LABEL)] | None = Field(
        default=None, description="The integration's own reference, returned unchanged."
    )


class JsonSubmission(Submission):
    """A submission as JSON."""

    photo: str = Field(
        description="The encoded photo (JPEG, PNG, WebP, TIFF, BMP; at most 20 MiB) in base64, RFC 4648.",
        json_schema_extra={"contentEncoding": "base64"},
    )


class FormSubmission(Given):
    """A submission as multipart/form-data."""

    photo: bytes = Field(
        description="The encoded photo (JPEG, PNG, WebP, TIFF, BMP; at most 20 MiB) as a file.",
        json_schema_extra={"contentMediaType": "application/octet-stream"},
    )
    parameters: Parameters | None = Field(default=None, description="How to answer, as JSON text.")
    label: Annotated[Text, Field(max_length=MAX_LABEL)] | None = Field(
        default=None, description="The integration's own reference, returned unchanged."
    )


class Failure(Answered):
    """Why a job failed."""

    code: str = Field(description="Stable code of the error tree.")
    message: str = Field(description="A sentence for the caller.")


class StageTiming(Answered):
    """The times of one stage."""

    stage: states.StageName = Field(description="Its name.")
    waited_s: float = Field(description="Seconds from due to first claimed.")
    worked_s: float = Field(description="Seconds from claimed to done.")
    attempts: int = Field(description="Attempts used.")


class Job(Answered):
    """A geolocation job as it stands."""

    job_id: str = Field(description="UUID, version 7.")
    state: states.JobState = Field(description="Where it is.")
    created_at: datetime = Field(description="When it was accepted.")
    updated_at: datetime = Field(description="When it last changed.")
    label: str = Field(description="The integration's own reference.")
    parameters: Parameters = Field(description="How it is answered, every value resolved.")
    result: Result | None = Field(description="Set once succeeded.")
    failure: Failure | None = Field(description="Set once failed.")
    timings: list[StageTiming] = Field(description="Times of the stages so far.")
    degraded: list[str] = Field(description='Parts of the method that were left out ("generation", "gallery").')


class JobEvent(Answered):
    """Something happened to a job."""

    event_id: int = Field(description="Grows with every event of the job.")
    job: Job = Field(description="The job as it stands.")


class JobPage(Answered):
    """One page of a listing, newest first."""

    jobs: list[Job] = Field(description="Newest first.")
    next_cursor: str = Field(description="`cursor` of the next page; empty on the last one.")


class Readiness(Answered):
    """Whether the API takes work."""

    ready: bool = Field(description="True when nothing is wrong.")
    problems: dict[str, str] = Field(description="What is wrong, by part.")
