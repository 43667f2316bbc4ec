"""What came of one photo and one way of asking: the job's answer and its evidence, as it is kept."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from g3_client.models import Job

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
    """One answer of the LMM as it came."""

    prompt: int
    sample: int
    text: str


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
    tokens: tuple[int, int] | None = None
    """Of the prompts and of the answers; None where the server states none."""
    lmm: str = ""
    """The LMMs that answered, as the server calls them."""

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
        tokens = written.get("tokens")
        known = {name: written[name] for name in cls.__dataclass_fields__ if name in written}
        return cls(
            **known
            | {
                "place": None if place is None else (float(place[0]), float(place[1])),
                "failure": None if failure is None else (str(failure[0]), str(failure[1])),
                "release": (str(release[0]), str(release[1])),
                "tokens": None if tokens is None else (int(tokens[0]), int(tokens[1])),
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
    _keep(job.result.model_dump(mode="json"), outcome)
    return outcome


def _keep(result: Mapping[str, Any], outcome: Outcome) -> None:
    """What the document of a result states, known to the client by name or not."""
    outcome.place = _place(result)
    outcome.similarity = result.get("similarity")
    outcome.voices = [voice for candidate in _objects(result.get("candidates")) for voice in _voices(candidate)]
    outcome.references = [_retrieved(match) for match in _objects(result.get("references"))]
    for dropped in _objects(result.get("dropped")):
        reason = str(dropped.get("reason"))
        outcome.dropped[reason] = outcome.dropped.get(reason, 0) + 1
    outcome.answers = [
        Said(int(each.get("prompt") or 0), int(each.get("sample") or 0), str(each.get("text") or ""))
        for each in _objects(result.get("answers"))
    ]
    outcome.confidence = _confidence(result.get("confidence"))
    outcome.radius_km = result.get("radius_km")
    outcome.abstained = bool(result.get("abstained", False))
    release, tokens = result.get("release") or {}, result.get("tokens")
    outcome.release = (str(release.get("model") or ""), str(release.get("collection") or ""))
    lmm = release.get("lmm") or ""
    outcome.lmm = lmm if isinstance(lmm, str) else ", ".join(map(str, lmm))
    if isinstance(tokens, Mapping):
        outcome.tokens = (int(tokens.get("prompt") or 0), int(tokens.get("answer") or 0))


def _place(stated: Mapping[str, Any]) -> Place:
    where = stated["coordinates"]
    return float(where["latitude"]), float(where["longitude"])


def _retrieved(match: Mapping[str, Any]) -> Retrieved:
    reference = match["reference"]
    names = reference.get("place") or {}
    words = dict.fromkeys(str(names[part]) for part in ("city", "state", "country") if names.get(part))
    return Retrieved(
        str(reference["id"]),
        *_place(reference),
        float(match["similarity"]),
        str(reference.get("author") or ""),
        ", ".join(words),
    )


def _voices(candidate: Mapping[str, Any]) -> list[Voice]:
    """A voice for each proposal that was taken for this candidate; one where the server does not state them."""
    return [
        Voice(
            *_place(candidate),
            str(source.get("origin") or candidate.get("origin") or ""),
            candidate.get("similarity"),
            int(source.get("prompt") or 0),
            int(source.get("sample") or 0),
            str(source.get("reference_id") or ""),
        )
        for source in _objects(candidate.get("sources")) or [candidate]
    ]


def _confidence(written: object) -> dict[str, float]:
    """By threshold in km, from a list of {km, probability} or an object by km."""
    if isinstance(written, Mapping):
        return {f"{float(km):g}": float(share) for km, share in written.items()}
    return {f"{float(each['km']):g}": float(each["probability"]) for each in _objects(written)}


def _objects(written: object) -> list[Mapping[str, Any]]:
    return [each for each in written if isinstance(each, Mapping)] if isinstance(written, list) else []
