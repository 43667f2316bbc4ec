"""LMM against retrieval on photos whose place is known: who gave the answer, and how far off each would have been."""

import statistics
from collections import Counter
from collections.abc import Iterator, Sequence

from g3_client import Job
from g3_client.map import Located
from g3_client.models import Candidate, Origin
from g3_client.models import Coordinates as Point
from g3_dialogue import Unread
from g3_geography import Coordinates, distance_km

_UNREAD = {reason.value for reason in Unread}


def lines(located: Sequence[Located]) -> Iterator[str]:
    """What became of the LMM's answers, one sentence each; nothing when no job asked it."""
    asked = [item for item in located if item.job.result is not None and _answers(item.job)]
    if not asked:
        return
    total = sum(_answers(item.job) for item in asked)
    unread = Counter(reason for item in asked for reason in _dropped(item.job) if reason in _UNREAD)
    why = "".join(f", {count} {reason}" for reason, count in sorted(unread.items()))
    share = 100 * (total - sum(unread.values())) / total
    yield f"the LMM gave {total:,} answers to {len(asked)} photos; {share:.1f} % could be read as a place{why}"
    winners = Counter(_winner(item.job) for item in asked)
    said = ", ".join(f"{_named(origins)} {count}" for origins, count in winners.most_common())
    yield f"the chosen place was proposed by: {said}"
    known = [item for item in asked if item.truth is not None]
    if known:
        yield from _errors(known)
        yield from _merits(known)


def proposers(job: Job) -> str:
    """Who proposed the place that was chosen."""
    return _named(_winner(job))


_NAMES = {Origin.LMM: "the LMM", Origin.RETRIEVED: "retrieval", Origin.GALLERY: "the gallery"}


def _named(origins: frozenset[Origin]) -> str:
    return " and ".join(name for origin, name in _NAMES.items() if origin in origins) or "nobody"


def _errors(known: Sequence[Located]) -> Iterator[str]:
    columns = {
        "chosen": [_off(item, _chosen(item)) for item in known],
        "nearest reference by looks": [_off(item, point) for item in known if (point := _first_reference(item.job))],
        "every place that the LMM named": [
            _off(item, c.coordinates) for item in known for c in _of(item.job, Origin.LMM)
        ],
        "the LMM's best-ranked": [_off(item, c.coordinates) for item in known for c in _of(item.job, Origin.LMM)[:1]],
        "retrieval's best-ranked": [
            _off(item, c.coordinates) for item in known for c in _of(item.job, Origin.RETRIEVED)[:1]
        ],
    }
    told = ", ".join(f"{name} {statistics.median(errors):,.1f} km" for name, errors in columns.items() if errors)
    yield f"median error: {told}"


def _merits(known: Sequence[Located]) -> Iterator[str]:
    """Photos whose place one of the two alone proposed: did it lie nearer than the best that the other had?"""
    for origin, other in ((Origin.LMM, Origin.RETRIEVED), (Origin.RETRIEVED, Origin.LMM)):
        pairs = [
            (_off(item, _chosen(item)), _off(item, rivals[0].coordinates))
            for item in known
            if origin in (won := _winner(item.job)) and other not in won and (rivals := _of(item.job, other))
        ]
        if pairs:
            nearer = sum(chosen < rival for chosen, rival in pairs)
            yield (
                f"where {_NAMES[origin]} won against {_NAMES[other]}, its place was the nearer one "
                f"{nearer} times of {len(pairs)}"
            )


def _answers(job: Job) -> int:
    """K · N, as the job was run; 0 when its LMM was left out."""
    if "generation" in job.degraded or job.result is None:
        return 0
    prompts = job.parameters.get("references_per_prompt") or ()
    return len(prompts) * int(job.parameters.get("samples_per_prompt") or 0)


def _dropped(job: Job) -> list[str]:
    return [] if job.result is None else [dropped.reason for dropped in job.result.dropped]


def _of(job: Job, origin: Origin) -> list[Candidate]:
    """The candidates that one origin proposed, alone or among others, the best first."""
    return [] if job.result is None else [one for one in job.result.candidates if origin in _origins(one)]


def _winner(job: Job) -> frozenset[Origin]:
    """Who proposed the first candidate."""
    return _origins(job.result.candidates[0]) if job.result is not None and job.result.candidates else frozenset()


def _origins(candidate: Candidate) -> frozenset[Origin]:
    """Proposals that lie together are one candidate."""
    return frozenset(source.origin for source in candidate.sources) or frozenset({candidate.origin})


def _chosen(item: Located) -> Point:
    assert item.job.result is not None  # noqa: S101 - only such jobs come here
    return item.job.result.coordinates


def _first_reference(job: Job) -> Point | None:
    return job.result.references[0].reference.coordinates if job.result is not None and job.result.references else None


def _off(item: Located, point: Point) -> float:
    """Kilometres from the truth, geodesic."""
    assert item.truth is not None  # noqa: S101 - only photos of known places come here
    truth = Coordinates(item.truth.latitude, item.truth.longitude)
    return float(distance_km(truth, Coordinates(point.latitude, point.longitude)))
