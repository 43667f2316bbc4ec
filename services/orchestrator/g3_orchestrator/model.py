"""What the orchestrator keeps: frozen values without behaviour. Times are aware datetimes in UTC."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from g3_geography import Coordinates, Place

from g3_orchestrator.parameters import Parameters
from g3_orchestrator.states import DropReason, JobKind, JobState, Origin, StageName, StageState


@dataclass(frozen=True, slots=True)
class Tenant:
    """Whose jobs they are."""

    tenant_id: UUID
    name: str
    created_at: datetime


@dataclass(frozen=True, slots=True)
class ApiKey:
    """A key of a tenant. Only `key_hash` (SHA-256 of the whole key, 32 bytes) is kept; `prefix` is for people."""

    key_id: UUID
    tenant_id: UUID
    prefix: str
    key_hash: bytes
    label: str
    created_at: datetime
    revoked_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class PhotoRef:
    """The cleaned photo in the blob store, under tenant/sha256 (hex). Sizes in pixels and bytes."""

    sha256: str
    width: int
    height: int
    size_bytes: int


NO_PHOTO = PhotoRef("", 0, 0, 0)
"""Of a job that has none."""


@dataclass(frozen=True, slots=True)
class Release:
    """What a job is pinned to: fingerprints of the model and of its GPS part, and the collection version."""

    model: str
    gps: str
    collection: str


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a job failed: a stable code of the error tree and a sentence for the caller."""

    code: str
    message: str


@dataclass(frozen=True, slots=True)
class Match:
    """A retrieved reference. `similarity` is the mean cosine over the compared vectors, in [-1, 1]."""

    reference_id: str
    coordinates: Coordinates
    place: Place
    author: str
    similarity: float


@dataclass(frozen=True, slots=True)
class GalleryPoint:
    """A point of the gallery. `similarity` is the image-GPS cosine in [-1, 1]."""

    coordinates: Coordinates
    similarity: float


@dataclass(frozen=True, slots=True)
class Retrieval:
    """What the stage retrieve found.

    `similar` is most similar first; `dissimilar` as the retrieval service orders it. `gps_aligned` is the photo's
    vector as little-endian float32 bytes of unit length. `gallery` are the points asked for, most similar first, and
    `gallery_set` the fingerprint of the set they are from. `left_out`: parts of the method that were not there.
    """

    similar: tuple[Match, ...]
    dissimilar: tuple[Match, ...]
    gps_aligned: bytes
    release: Release
    gallery: tuple[GalleryPoint, ...] = ()
    gallery_set: str = ""
    left_out: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Answer:
    """One raw answer of the LMM: sample `sample` of prompt `prompt`, both from 0. Text at most 16 KiB."""

    prompt: int
    sample: int
    text: str
    model: str = ""
    prompt_tokens: int = 0
    answer_tokens: int = 0


@dataclass(frozen=True, slots=True)
class Source:
    """One voice for a candidate. LMM: `prompt` and `sample` say which answer. Retrieved: `reference_id`."""

    origin: Origin
    prompt: int = 0
    sample: int = 0
    reference_id: str = ""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A place that was ranked. `rank` 1 is best. `similarity` is the image-GPS cosine in [-1, 1]; None: not scored.

    `origin`, `prompt`, `sample` and `reference_id` are those of the first of `sources`, which are all the proposals
    that were taken for this place. `probability`: its share of the consensus model; None under other rankings.
    `in_place`: which of the result's places it belongs to, from 1; 0: one that is not listed.
    """

    coordinates: Coordinates
    origin: Origin
    similarity: float | None
    rank: int
    place: Place
    prompt: int = 0
    sample: int = 0
    reference_id: str = ""
    sources: tuple[Source, ...] = ()
    probability: float | None = None
    in_place: int = 0


@dataclass(frozen=True, slots=True)
class LikelyPlace:
    """A distinct place among the candidates: candidates that lie together, and the medoid of them.

    `radius_km` is the greatest distance of one of its `candidates` (a number) from `coordinates`. `probability`: the
    sum of theirs; None where there is none.
    """

    coordinates: Coordinates
    place: Place
    probability: float | None
    radius_km: float
    candidates: int


@dataclass(frozen=True, slots=True)
class Within:
    """The calibrated probability that the answer lies less than `km` from the truth."""

    km: int
    probability: float


@dataclass(frozen=True, slots=True)
class Dropped:
    """An answer that did not become a candidate. Its text stands among the answers."""

    prompt: int
    sample: int
    reason: DropReason


@dataclass(frozen=True, slots=True)
class Result:
    """The answer and its evidence. `candidates` and `places` best first, `references` most similar first.

    `similarity` is the answer's image-GPS cosine; None where it was not scored. `confidence`, `radius_km` (within it
    lies the truth for `coverage` of all photos) and the `probability` of places come from the choice model with
    fingerprint `choice`; without one for this alignment model there are none. `abstained`: the confidence is below what
    the caller asked for; the answer is given all the same. `gallery`: fingerprint of the gallery that took part.
    `answers` is everything that the LMM said, as recorded; it is read with the job and not stored twice.
    """

    coordinates: Coordinates
    place: Place
    similarity: float | None
    candidates: tuple[Candidate, ...]
    references: tuple[Match, ...]
    dropped: tuple[Dropped, ...]
    release: Release
    places: tuple[LikelyPlace, ...] = ()
    confidence: tuple[Within, ...] = ()
    radius_km: float | None = None
    coverage: float | None = None
    abstained: bool = False
    choice: str = ""
    gallery: str = ""
    answers: tuple[Answer, ...] = ()


@dataclass(frozen=True, slots=True)
class StageTiming:
    """Seconds of one stage: `waited_s` from due to first claimed, `worked_s` from first claimed to done (or now)."""

    stage: StageName
    waited_s: float
    worked_s: float
    attempts: int


@dataclass(frozen=True, slots=True)
class Job:
    """One job as it stands. `last_event` is the id of its newest event. `release` is None until retrieval is done.

    A job of kind ingest is one here only while the stage protocol holds it: it has no photo (`NO_PHOTO`) and the
    default parameters; what it is for stands in `runs.Ingest`.
    """

    job_id: UUID
    tenant_id: UUID
    state: JobState
    created_at: datetime
    updated_at: datetime
    label: str
    parameters: Parameters
    photo: PhotoRef
    last_event: int
    degraded: tuple[str, ...] = ()
    release: Release | None = None
    result: Result | None = None
    failure: Failure | None = None
    timings: tuple[StageTiming, ...] = ()
    kind: JobKind = JobKind.LOCATE


@dataclass(frozen=True, slots=True)
class NewJob:
    """What a submission brings. `idempotency_key` None or at most 255 characters; `request_hash` of the whole request.

    `request_hash` is 32 bytes, SHA-256 over the photo as it was sent and the parameters; it is compared when the key
    was seen before.
    """

    photo: PhotoRef
    parameters: Parameters
    label: str = ""
    idempotency_key: str | None = None
    request_hash: bytes = b""


@dataclass(frozen=True, slots=True)
class Stage:
    """One stage of a job. `attempt` (from 1) is the fence. `first_due_at` starts its budget.

    `shard` is 0 but for the stages fill of an ingest run; `progressed` is the last attempt that got on or was
    released, 0 when none did.
    """

    job_id: UUID
    tenant_id: UUID
    name: StageName
    state: StageState
    attempt: int
    first_due_at: datetime
    budget_until: datetime | None
    claim_id: str | None
    lease_until: datetime | None
    reason: str
    shard: int = 0
    progressed: int = 0

    @property
    def fruitless(self) -> int:
        """Attempts since one that got on: what is bounded."""
        return self.attempt - self.progressed


@dataclass(frozen=True, slots=True)
class Event:
    """Something happened to a job: it was in `state` from `created_at` on. `event_id` grows by one within the job."""

    event_id: int
    state: JobState
    created_at: datetime


@dataclass(frozen=True, slots=True)
class OutboxRow:
    """A message to be sent: ring `stage` of `job_id` for `attempt`."""

    outbox_id: int
    job_id: UUID
    stage: StageName
    attempt: int
    shard: int = 0
