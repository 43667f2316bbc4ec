"""The API's documents, typed. Fields, states and origins that a newer server adds are kept, not refused."""

from collections.abc import Sequence
from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from g3_client.errors import Unintelligible


class _Open(StrEnum):
    """An enum whose unknown members are made on sight, so that a newer server's word is not an error."""

    @classmethod
    def _missing_(cls, value: object) -> Self | None:
        if not isinstance(value, str):
            return None
        member = str.__new__(cls, value)
        member._name_ = value.upper()
        member._value_ = value
        return member


class JobState(_Open):
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


class Origin(_Open):
    """Where a candidate came from."""

    LMM = "lmm"
    RETRIEVED = "retrieved"
    GALLERY = "gallery"


def _none_as_empty(value: object) -> object:
    return () if value is None else value


def _none_as_text(value: object) -> object:
    return "" if value is None else value


def _none_as_nowhere(value: object) -> object:
    return {} if value is None else value


Text = Annotated[str, BeforeValidator(_none_as_text)]


class Document(BaseModel):
    """A document as read: immutable, new fields kept."""

    model_config = ConfigDict(extra="allow", frozen=True)


class Coordinates(Document):
    """A point in WGS 84 degrees."""

    latitude: float = Field(ge=-90, le=90)
    longitude: float = Field(ge=-180, le=180)


class Place(Document):
    """A named place; an unknown part is the empty string."""

    city: Text = ""
    state: Text = ""
    country: Text = ""
    country_code: Text = ""

    def __str__(self) -> str:
        """The names that are known, from small to large."""
        names: list[str] = []
        for name in (self.city, self.state, self.country or self.country_code):
            if name and name not in names:
                names.append(name)
        return ", ".join(names)


Somewhere = Annotated[Place, BeforeValidator(_none_as_nowhere)]


class Candidate(Document):
    """A place the photo may be. `similarity` is the image-GPS cosine in [-1, 1], not a probability."""

    coordinates: Coordinates
    origin: Origin = Origin.LMM
    similarity: float | None = None
    rank: int = 0
    place: Somewhere = Place()
    prompt: int | None = None
    sample: int | None = None
    reference_id: Text = ""


class Reference(Document):
    """A photo of the collection and where it was taken."""

    id: str
    coordinates: Coordinates
    place: Somewhere = Place()
    author: Text = ""


class Match(Document):
    """A retrieved reference. `similarity` is the mean cosine over the compared vectors."""

    reference: Reference
    similarity: float


class Dropped(Document):
    """An answer that did not become a candidate, and why."""

    prompt: int = 0
    sample: int = 0
    reason: str


class Release(Document):
    """What answered: model fingerprint and collection version."""

    model: Text = ""
    collection: Text = ""


class Result(Document):
    """Where the photo was taken, and on what evidence. `similarity` is a cosine, not a probability."""

    coordinates: Coordinates
    place: Somewhere = Place()
    similarity: float | None = None
    candidates: Annotated[tuple[Candidate, ...], BeforeValidator(_none_as_empty)] = ()
    references: Annotated[tuple[Match, ...], BeforeValidator(_none_as_empty)] = ()
    dropped: Annotated[tuple[Dropped, ...], BeforeValidator(_none_as_empty)] = ()
    release: Release | None = None


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
    parameters: Annotated[dict[str, Any], BeforeValidator(_none_as_nowhere)] = {}
    result: Result | None = None
    failure: Failure | None = None
    timings: Annotated[tuple[StageTiming, ...], BeforeValidator(_none_as_empty)] = ()
    degraded: Annotated[tuple[str, ...], BeforeValidator(_none_as_empty)] = ()

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


class Readiness(Document):
    """Whether a server takes work, and what is wrong by part when it does not."""

    ready: bool
    problems: dict[str, str] = {}
