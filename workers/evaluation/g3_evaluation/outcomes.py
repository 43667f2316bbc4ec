"""What came of one photo and one way of asking: the job's answer and its evidence, as it is kept."""

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from g3_client.models import Candidate, Job

Place = tuple[float, float]
"""Latitude, longitude: WGS 84 degrees."""


@dataclass(frozen=True, slots=True)
class Voice:
    """One proposal: an answer of the LMM, a retrieved reference or a gallery point, and the cosine of its place.

    `origin`: "lmm", "retrieved" or "gallery". `similarity`: image-GPS cosine in [-1, 1]; None when it was not scored.
    """

    latitude: float
    longitude: float
    origin: str
    similarity: float | None
    prompt: int = 0
    sample: int = 0
    reference_id: str = ""


@dataclass(frozen=True, slots=True)
class Retrieved:
    """A reference that was found, its similarity over the vectors compared, and where it is, in words."""

    id: str
    latitude: float
    longitude: float
    similarity: float
    author: str = ""
    place: str = ""


@dataclass(frozen=True, slots=True)
class Said:
    """One answer of the LMM as it came, and the tokens it took (0: not stated)."""

    prompt: int
    sample: int
    text: str
    prompt_tokens: int = 0
    answer_tokens: int = 0


@dataclass(frozen=True, slots=True)
class StageTime:
    """Seconds of one stage: from due to claimed, and from claimed to done; and its attempts."""

    waited_s: float
    worked_s: float
    attempts: int


@dataclass
class Outcome:
    """One line of the journal. `place` None: no answer, and `failure` says why ("code", "message")."""

    key: str
    ask: str
    photo: str
    sha256: str = ""
    """Of the photo's file; "" when it could not be read."""
    place: Place | None = None
    similarity: float | None = None
    job_id: str = ""
    failure: tuple[str, str] | None = None
    degraded: list[str] = field(default_factory=list)
    voices: list[Voice] = field(default_factory=list)
    references: list[Retrieved] = field(default_factory=list)
    answers: list[Said] = field(default_factory=list)
    dropped: dict[str, int] = field(default_factory=dict)
    """How many answers were dropped, by reason."""
    confidence: dict[str, float] = field(default_factory=dict)
    """The calibrated probability that the answer lies within so many km; empty when none was stated."""
    radius_km: float | None = None
    abstained: bool = False
    stages: dict[str, StageTime] = field(default_factory=dict)
    wall_s: float = 0.0
    """From the first submission to the answer, as this side saw it."""
    release: tuple[str, str] = ("", "")
    """Model fingerprint and collection version."""

    def to_json(self) -> dict[str, Any]:
        """An object that `from_json` reads back to an equal value; lists instead of objects where there are many."""
        written = {name: getattr(self, name) for name in self.__dataclass_fields__}
        for name in ("voices", "references", "answers"):
            written[name] = [list(asdict(each).values()) for each in written[name]]
        written["stages"] = {name: list(asdict(each).values()) for name, each in self.stages.items()}
        return written

    @classmethod
    def from_json(cls, written: Mapping[str, Any]) -> "Outcome":
        """The outcome that `to_json` wrote. Raises KeyError, TypeError or ValueError for anything else."""
        place, failure, release = written["place"], written["failure"], written["release"]
        known = {name: written[name] for name in cls.__dataclass_fields__ if name in written}
        return cls(
            **known
            | {
                "place": None if place is None else (float(place[0]), float(place[1])),
                "failure": None if failure is None else (str(failure[0]), str(failure[1])),
                "release": (str(release[0]), str(release[1])),
                "voices": [Voice(*each) for each in written["voices"]],
                "references": [Retrieved(*each) for each in written["references"]],
                "answers": [Said(*each) for each in written["answers"]],
                "stages": {name: StageTime(*each) for name, each in written["stages"].items()},
            }
        )


def of_job(job: Job, *, key: str, ask: str, photo: str, sha256: str, wall_s: float) -> Outcome:
    """What a job that has ended says. Evidence that a server does not state stays empty."""
    outcome = Outcome(key, ask, photo, sha256, job_id=job.job_id, degraded=list(job.degraded), wall_s=round(wall_s, 4))
    outcome.stages = {
        timing.stage: StageTime(timing.waited_s or 0.0, timing.worked_s or 0.0, timing.attempts)
        for timing in job.timings
    }
    if job.result is None:
        failure = job.failure
        outcome.failure = (failure.code, failure.message) if failure else (str(job.state), "the job has no result")
        return outcome
    result = job.result
    outcome.place = (result.coordinates.latitude, result.coordinates.longitude)
    outcome.similarity = result.similarity
    outcome.voices = [voice for candidate in result.candidates for voice in _voices(candidate)]
    outcome.references = [
        Retrieved(
            match.reference.id,
            match.reference.coordinates.latitude,
            match.reference.coordinates.longitude,
            match.similarity,
            match.reference.author,
            str(match.reference.place),
        )
        for match in result.references
    ]
    for dropped in result.dropped:
        outcome.dropped[dropped.reason] = outcome.dropped.get(dropped.reason, 0) + 1
    extra = result.model_extra or {}
    outcome.answers = [_said(each) for each in _objects(extra.get("answers"))]
    outcome.confidence = _confidence(extra.get("confidence"))
    outcome.radius_km = extra.get("radius_km")
    outcome.abstained = bool(extra.get("abstained", False))
    outcome.release = (result.release.model, result.release.collection) if result.release else ("", "")
    return outcome


def _voices(candidate: Candidate) -> list[Voice]:
    """A voice for each proposal that was taken for this candidate; one where the server does not state them."""
    where = (candidate.coordinates.latitude, candidate.coordinates.longitude)
    sources = _objects((candidate.model_extra or {}).get("sources"))
    if not sources:
        prompt, sample = candidate.prompt or 0, candidate.sample or 0
        return [Voice(*where, candidate.origin, candidate.similarity, prompt, sample, candidate.reference_id)]
    return [
        Voice(
            *where,
            str(source.get("origin") or candidate.origin),
            candidate.similarity,
            int(source.get("prompt") or 0),
            int(source.get("sample") or 0),
            str(source.get("reference_id") or ""),
        )
        for source in sources
    ]


def _said(written: Mapping[str, Any]) -> Said:
    return Said(
        int(written.get("prompt") or 0),
        int(written.get("sample") or 0),
        str(written.get("text") or ""),
        int(written.get("prompt_tokens") or 0),
        int(written.get("answer_tokens") or 0),
    )


def _confidence(written: object) -> dict[str, float]:
    """By threshold in km, from a list of {km, probability} or an object by km."""
    if isinstance(written, Mapping):
        return {f"{float(km):g}": float(share) for km, share in written.items()}
    return {f"{float(each['km']):g}": float(each["probability"]) for each in _objects(written)}


def _objects(written: object) -> list[Mapping[str, Any]]:
    if not isinstance(written, Iterable):
        return []
    # Documents that the client knows by name come as its models, others as plain objects.
    plain = [each.model_dump() if hasattr(each, "model_dump") else each for each in written]
    return [each for each in plain if isinstance(each, Mapping)]
