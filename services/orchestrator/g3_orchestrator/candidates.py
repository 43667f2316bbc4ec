"""The pool of candidates (G3, section 3.3): the LMM's answers, then S retrieved references; m = K·N + S.

Each point stands in it once: the same candidate five times would only be scored five times.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from g3_dialogue import Unread, read
from g3_geography import Coordinates, Place, distance_km

from g3_orchestrator.model import Answer, Dropped, Match
from g3_orchestrator.parameters import Hints, Parameters
from g3_orchestrator.ports import Namer
from g3_orchestrator.states import DropReason, Origin


@dataclass(frozen=True, slots=True)
class Proposal:
    """A place that may be the answer, not scored yet. Fields as in Candidate."""

    coordinates: Coordinates
    origin: Origin
    prompt: int = 0
    sample: int = 0
    reference_id: str = ""


@dataclass(frozen=True, slots=True)
class Pool:
    """Distinct proposals in the order of the method, with the names of their places; and what was dropped."""

    proposals: tuple[Proposal, ...]
    places: tuple[Place, ...]
    dropped: tuple[Dropped, ...]


def pool(
    said: Sequence[Answer], similar: Sequence[Match], parameters: Parameters, namer: Namer, *, retrieved: int
) -> Pool:
    """Reads the answers, joins the `retrieved` most similar references, drops duplicates and what the hints exclude."""
    proposals, dropped = _read(said)
    # The search has seen to the countries, by the names that the references carry.
    area = replace(parameters.hints, country_codes=())
    fitting = [match for match in similar if inside(area, match.coordinates, match.place)]
    proposals += [
        Proposal(match.coordinates, Origin.RETRIEVED, reference_id=match.reference_id) for match in fitting[:retrieved]
    ]
    distinct = _distinct(proposals, dropped)
    kept: list[tuple[Proposal, Place]] = []
    for proposal, place in zip(distinct, _named(distinct, namer), strict=True):
        if proposal.origin is Origin.RETRIEVED or inside(parameters.hints, proposal.coordinates, place):
            kept.append((proposal, place))
        else:
            dropped.append(Dropped(proposal.prompt, proposal.sample, DropReason.OUTSIDE_HINTS))
    return Pool(tuple(proposal for proposal, _ in kept), tuple(place for _, place in kept), tuple(dropped))


def inside(hints: Hints, coordinates: Coordinates, place: Place) -> bool:
    """Whether a point is where the caller says that the photo is: edges and the circle's rim included."""
    if hints.country_codes and place.country_code not in hints.country_codes:
        return False
    if hints.bounding_box is not None and coordinates not in hints.bounding_box:
        return False
    circle = hints.circle
    return circle is None or distance_km(circle.center, coordinates) <= circle.radius_km


def _read(said: Sequence[Answer]) -> tuple[list[Proposal], list[Dropped]]:
    proposals: list[Proposal] = []
    dropped: list[Dropped] = []
    for answer in sorted(said, key=lambda answer: (answer.prompt, answer.sample)):
        point = read(answer.text)
        if isinstance(point, Unread):
            dropped.append(Dropped(answer.prompt, answer.sample, DropReason(point.value)))
        else:
            proposals.append(Proposal(Coordinates(*point), Origin.LMM, answer.prompt, answer.sample))
    return proposals, dropped


def _distinct(proposals: Sequence[Proposal], dropped: list[Dropped]) -> list[Proposal]:
    seen: dict[Coordinates, Proposal] = {}
    for proposal in proposals:
        if proposal.coordinates not in seen:
            seen[proposal.coordinates] = proposal
        elif proposal.origin is Origin.LMM:
            # The record is of answers: a reference that is left out here stays among the references.
            dropped.append(Dropped(proposal.prompt, proposal.sample, DropReason.DUPLICATE))
    return list(seen.values())


def _named(proposals: Sequence[Proposal], namer: Namer) -> list[Place]:
    if not proposals:
        return []
    points = [proposal.coordinates for proposal in proposals]
    return namer.nearest_many([point.latitude for point in points], [point.longitude for point in points])
