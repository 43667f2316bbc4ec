"""The API's documents, typed. Fields, states and origins that a newer server adds are kept, not refused."""

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from g3_client.errors import Unintelligible
from g3_client.results import (
    Candidate,
    Coordinates,
    Document,
    Dropped,
    LikelyPlace,
    LmmAnswer,
    Match,
    OpenWord,
    Origin,
    Place,
    Reference,
    Release,
    Result,
    Source,
    Text,
    Tokens,
    Within,
    none_as_empty,
    none_as_nowhere,
)

__all__ = [
    "AbstainBelow",
    "BoundingBox",
    "Candidate",
    "Circle",
    "Coordinates",
    "Document",
    "Dropped",
    "Failure",
    "Hints",
    "Job",
    "JobEvent",
    "JobPage",
    "JobState",
    "LikelyPlace",
    "LmmAnswer",
    "Match",
    "Origin",
    "Parameters",
    "Place",
    "Readiness",
    "Reference",
    "Release",
    "Result",
    "Sent",
    "Source",
    "StageTiming",
    "Text",
    "Tokens",
    "View",
    "Within",
]


class JobState(OpenWord):
    """Where a job is."""

    QUEUED = "queued"
    RETRIEVING = "retrieving"
    GENERATING = "generating"
    VERIFYING = "verifying"
    PLANNING = "planning"
    FILLING = "filling"
    PUBLISHING = "publishing"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def ended(self) -> bool:
        """Whether the job changes no more."""
        return self in {JobState.SUCCEEDED, JobState.FAILED, JobState.CANCELLED}


class Failure(Document):
    """Why a job has ended without a result."""

    code: str
    message: Text = ""


class StageTiming(Document):
    """The times of one stage, in seconds: from due to claimed, and from claimed to done."""

    stage: str
    waited_s: float | None = None
    worked_s: float | None = None
    attempts: int = 0


class Job(Document):
    """A geolocation job as it stands."""

    job_id: str
    state: JobState
    created_at: datetime | None = None
    updated_at: datetime | None = None
    label: Text = ""
    parameters: Annotated[dict[str, Any], BeforeValidator(none_as_nowhere)] = Field(default_factory=dict)
    result: Result | None = None
    failure: Failure | None = None
    timings: Annotated[tuple[StageTiming, ...], BeforeValidator(none_as_empty)] = ()
    degraded: Annotated[tuple[str, ...], BeforeValidator(none_as_empty)] = ()

    @property
    def ended(self) -> bool:
        """Whether it changes no more."""
        return self.state.ended

    @property
    def succeeded(self) -> bool:
        """Whether it has a result."""
        return self.result is not None


class JobEvent(Document):
    """Something happened to a job; `event_id` grows with every event of the job."""

    event_id: int
    job: Job


class JobPage(Document):
    """One page of a listing, newest first; `next_cursor` is empty on the last page."""

    jobs: tuple[Job, ...]
    next_cursor: Text = ""

    def after(self, cursor: str) -> str:
        """The cursor of the next page. Raises Unintelligible when it is the one of this page again."""
        if self.next_cursor == cursor:
            raise Unintelligible("The server's listing does not advance.")
        return self.next_cursor


View = Literal["", "summary", "full"]
"""How much of each job a listing gives; "" leaves it to the server."""


class Sent(BaseModel):
    """A document as written: a misspelt field is an error here, before anything is sent."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class BoundingBox(Sent):
    """A rectangle in degrees; it crosses the antimeridian when west > east."""

    south: float
    west: float
    north: float
    east: float


class Circle(Sent):
    """A disc with a geodesic radius in kilometres."""

    center: Coordinates
    radius_km: float


class Hints(Sent):
    """Where the photo is known to be; candidates elsewhere are dropped."""

    country_codes: Sequence[str] | None = None
    bounding_box: BoundingBox | None = None
    circle: Circle | None = None


class AbstainBelow(Sent):
    """The probability that an answer must have of lying nearer than `within_km` (1, 25, 200, 750 or 2500)."""

    probability: float
    within_km: int


class Parameters(Sent):
    """How a job is answered; what is left out takes the profile's value. The server judges the ranges."""

    profile: Literal["paper", "default"] | None = None
    strategy: Literal["g3", "img2loc", "knn", "gallery"] | None = None
    retrieval_vector: Literal["all", "clip", "clip_gps"] | None = None
    references_per_prompt: Sequence[int] | None = None
    samples_per_prompt: int | None = None
    retrieved_candidates: int | None = None
    dissimilar: Literal["none", "farthest", "hard"] | None = None
    temperature: float | None = None
    prompt_order: Literal["paper", "image_first"] | None = None
    gallery: int | None = None
    ranking: Literal["similarity", "consensus", "first", "mean"] | None = None
    top_k: int | None = None
    hints: Hints | None = None
    excluded_references: Sequence[str] | None = None
    excluded_authors: Sequence[str] | None = None
    abstain_below: AbstainBelow | None = None


class Readiness(Document):
    """Whether a server takes work, and what is wrong by part when it does not."""

    ready: bool
    problems: dict[str, str] = Field(default_factory=dict)
