"""What a job and a stage may be, and what may follow what. Pure: no clock, no database.

Every enum member carries one `sentence`. `check` is the only judge of transitions; the CHECK constraints of the
database refuse impossible rows once more.
"""

from enum import StrEnum
from typing import Self

from g3_kit.errors import Conflict


class _Told(StrEnum):
    """A string enum whose members explain themselves."""

    sentence: str

    def __new__(cls, value: str, sentence: str = "") -> Self:
        member = str.__new__(cls, value)
        member._value_ = value
        member.sentence = sentence
        return member


class JobKind(_Told):
    """What a job is for."""

    LOCATE = "locate", "Say where a photo was taken."
    INGEST = "ingest", "Fill a new version of the reference collection."


class JobState(_Told):
    """Where a job is."""

    QUEUED = "queued", "Accepted and stored; retrieval has not started."
    RETRIEVING = "retrieving", "Its photo is being embedded and references searched."
    GENERATING = "generating", "The LMM is being asked."
    VERIFYING = "verifying", "Candidates are being scored and ranked."
    PLANNING = "planning", "Ingest: the source is being looked through and divided into shards."
    FILLING = "filling", "Ingest: shards are being filled into the new collection version."
    PUBLISHING = "publishing", "Ingest: the version is being verified and published."
    SUCCEEDED = "succeeded", "It has a result."
    FAILED = "failed", "It has ended without a result; failure says why."
    CANCELLED = "cancelled", "The caller ended it."

    @property
    def ended(self) -> bool:
        """Whether nothing can follow any more."""
        return not allowed(self)


class StageState(_Told):
    """Where a stage is."""

    PENDING = "pending", "Due at a stated time; no message is known to be under way."
    DISPATCHED = "dispatched", "A message was handed to the broker; nobody has claimed it yet."
    LEASED = "leased", "A worker holds it until its lease ends."
    DONE = "done", "Completed; what follows was inserted in the same transaction."
    DEAD = "dead", "Given up: its attempts or its budget are spent, its failure is final, or its job was cancelled."

    @property
    def ended(self) -> bool:
        """Whether nothing can follow any more."""
        return not allowed(self)


class StageName(_Told):
    """The work of one stage and, as `queue`, where its message goes."""

    RETRIEVE = "retrieve", "Embed the photo and search its references."
    GENERATE = "generate", "Put the prompts to the LMM and record its answers."
    VERIFY = "verify", "Score and rank the candidates and store the result."
    PLAN = "plan", "Look through the source of an ingest run and divide it into shards."
    FILL = "fill", "Clean, embed and insert the rows of one shard."
    PUBLISH = "publish", "Verify the filled collection version and point the alias at it."

    @property
    def kind(self) -> JobKind:
        """The kind of the jobs that have it."""
        return JobKind.INGEST if self in _OF_INGEST else JobKind.LOCATE

    @property
    def queue(self) -> str:
        """The queue of its messages."""
        if self.kind is JobKind.INGEST:
            return "ingest"
        return "generate" if self is StageName.GENERATE else "coordinate"

    @property
    def job_state(self) -> JobState:
        """The state of a job whose current stage this is."""
        return _STATE_OF_STAGE[self]


class Strategy(_Told):
    """The way of answering."""

    G3 = "g3", "Retrieval, LMM candidates, verification."
    IMG2LOC = "img2loc", "One prompt with references, no verification."
    KNN = "knn", "Nearest references with a Gaussian kernel."
    GALLERY = "gallery", "Image to GPS gallery search."


class RetrievalVector(_Told):
    """Which vectors retrieval compares."""

    ALL = "all", "The mean of the cosines of clip, text_aligned and gps_aligned."
    CLIP = "clip", "The cosine of clip alone."
    CLIP_GPS = "clip_gps", "The mean of the cosines of clip and gps_aligned."


class Dissimilar(_Told):
    """How dissimilar references are chosen."""

    NONE = "none", "No dissimilar references."
    FARTHEST = "farthest", "The least similar references, by exact search."
    HARD = "hard", "Visually near and geographically far from the best match."


class PromptOrder(_Told):
    """The order of the parts of a prompt."""

    PAPER = "paper", "Text first, photo last, as the reference implementation."
    IMAGE_FIRST = "image_first", "Photo first, coordinates last."


class Ranking(_Told):
    """How the answer is chosen among the candidates."""

    SIMILARITY = "similarity", "Arg-max of the image-GPS cosine."
    CONSENSUS = "consensus", "Similarity, support of agreeing candidates and retrieval evidence."
    FIRST = "first", "The first candidate."
    MEAN = "mean", "The mean of the candidates on the sphere."


class Profile(_Told):
    """A named set of defaults."""

    PAPER = "paper", "As the paper's reference implementation."
    DEFAULT = "default", "What is believed best."


class View(_Told):
    """How much of each job a listing gives."""

    SUMMARY = "summary", "The answer without candidates, references, answers of the LMM and timings."
    FULL = "full", "Everything, as when one job is read."


class Origin(_Told):
    """Where a candidate came from."""

    LMM = "lmm", "An answer of the LMM."
    RETRIEVED = "retrieved", "The coordinates of a retrieved reference."
    GALLERY = "gallery", "A point of the gallery."


class DropReason(_Told):
    """Why an answer did not become a candidate."""

    UNPARSABLE = "unparsable", "No pair of coordinates could be read from it."
    OUT_OF_RANGE = "out_of_range", "Its numbers are no place on Earth."
    REFUSED = "refused", "The LMM declined to answer."
    DUPLICATE = "duplicate", "An earlier candidate is the same point. Only in results of before: now it is a source."
    OUTSIDE_HINTS = "outside_hints", "It lies where the caller says the photo is not."


_STATE_OF_STAGE = {
    StageName.RETRIEVE: JobState.RETRIEVING,
    StageName.GENERATE: JobState.GENERATING,
    StageName.VERIFY: JobState.VERIFYING,
    StageName.PLAN: JobState.PLANNING,
    StageName.FILL: JobState.FILLING,
    StageName.PUBLISH: JobState.PUBLISHING,
}
_OF_INGEST = frozenset({StageName.PLAN, StageName.FILL, StageName.PUBLISH})

_OUT = frozenset({JobState.FAILED, JobState.CANCELLED})
_JOB: dict[JobState, frozenset[JobState]] = {
    JobState.QUEUED: _OUT | {JobState.RETRIEVING, JobState.PLANNING},
    # Straight to verifying: no LMM. Straight to succeeded: the strategies knn and gallery.
    JobState.RETRIEVING: _OUT | {JobState.GENERATING, JobState.VERIFYING, JobState.SUCCEEDED},
    JobState.GENERATING: _OUT | {JobState.VERIFYING},
    JobState.VERIFYING: _OUT | {JobState.SUCCEEDED},
    JobState.PLANNING: _OUT | {JobState.FILLING},
    JobState.FILLING: _OUT | {JobState.PUBLISHING},
    JobState.PUBLISHING: _OUT | {JobState.SUCCEEDED},
    JobState.SUCCEEDED: frozenset(),
    JobState.FAILED: frozenset(),
    JobState.CANCELLED: frozenset(),
}

_STAGE: dict[StageState, frozenset[StageState]] = {
    # Pending straight to leased: the worker was faster than the relay's own commit.
    StageState.PENDING: frozenset({StageState.DISPATCHED, StageState.LEASED, StageState.DEAD}),
    # Back to pending: nobody came, it is rung again.
    StageState.DISPATCHED: frozenset({StageState.PENDING, StageState.LEASED, StageState.DEAD}),
    # Back to pending: the lease ended or a retryable failure was recorded; the attempt has grown.
    StageState.LEASED: frozenset({StageState.PENDING, StageState.DONE, StageState.DEAD}),
    StageState.DONE: frozenset(),
    StageState.DEAD: frozenset(),
}


def allowed(before: JobState | StageState) -> frozenset[JobState] | frozenset[StageState]:
    """The states that may follow `before`."""
    return _JOB[before] if isinstance(before, JobState) else _STAGE[before]


def before(after: StageState) -> tuple[StageState, ...]:
    """The states that `after` may follow."""
    return tuple(state for state in StageState if after in _STAGE[state])


def check(before: JobState | StageState, after: JobState | StageState) -> None:
    """Raises Conflict unless `after` may follow `before`."""
    if after not in allowed(before):
        kind = "job" if isinstance(before, JobState) else "stage"
        raise Conflict(f"a {kind} that is {before} cannot become {after}")
