"""The pool of candidates (G3, section 3.3): the LMM's answers, then S retrieved references, then the gallery's points.

m = K·N + S, and the gallery beyond it. What is out of place is left out here; `g3_choice` merges and ranks the rest.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from g3_choice import Origin, Proposal
from g3_dialogue import Unread, read
from g3_geography import Coordinates, Place

from g3_orchestrator.area import inside
from g3_orchestrator.model import Answer, Dropped, GalleryPoint, Match
from g3_orchestrator.parameters import Hints, Parameters
from g3_orchestrator.ports import Namer
from g3_orchestrator.states import DropReason


@dataclass(frozen=True, slots=True)
class Pool:
    """Proposals in the order of the method, and the answers that did not become any."""

    proposals: tuple[Proposal, ...]
    dropped: tuple[Dropped, ...]


def pool(
    said: Sequence[Answer],
    similar: Sequence[Match],
    gallery: Sequence[GalleryPoint],
    parameters: Parameters,
    namer: Namer,
    *,
    retrieved: int,
) -> Pool:
    """Reads the answers, joins the `retrieved` best references and the gallery; drops what the hints exclude."""
    proposals, dropped = _read(said)
    kept: list[Proposal] = []
    for proposal, place in zip(proposals, named([one.coordinates for one in proposals], namer), strict=True):
        if inside(parameters.hints, proposal.coordinates, place):
            kept.append(proposal)
        else:
            dropped.append(Dropped(proposal.prompt, proposal.sample, DropReason.OUTSIDE_HINTS))
    kept += references(fitting(similar, parameters.hints)[:retrieved])
    # Those outside the hints were left out when they were searched.
    kept += points(gallery)
    return Pool(tuple(kept), tuple(dropped))


def fitting(similar: Sequence[Match], hints: Hints) -> list[Match]:
    """The references inside the hints. The search has seen to the countries, by the names that references carry."""
    area = replace(hints, country_codes=())
    return [match for match in similar if inside(area, match.coordinates, match.place)]


def references(matches: Sequence[Match]) -> list[Proposal]:
    """Proposals of references, ranked as they come."""
    return [
        Proposal(
            match.coordinates, Origin.RETRIEVED, reference_id=match.reference_id, rank=rank, evidence=match.similarity
        )
        for rank, match in enumerate(matches, start=1)
    ]


def points(gallery: Sequence[GalleryPoint]) -> list[Proposal]:
    """Proposals of the gallery's points, ranked as they come."""
    return [
        Proposal(point.coordinates, Origin.GALLERY, similarity=point.similarity, rank=rank)
        for rank, point in enumerate(gallery, start=1)
    ]


def named(points: Sequence[Coordinates], namer: Namer) -> list[Place]:
    """The names of each point."""
    if not points:
        return []
    return namer.nearest_many([point.latitude for point in points], [point.longitude for point in points])


def _read(said: Sequence[Answer]) -> tuple[list[Proposal], list[Dropped]]:
    proposals: list[Proposal] = []
    dropped: list[Dropped] = []
    for answer in sorted(said, key=lambda answer: (answer.prompt, answer.sample)):
        point = read(answer.text)
        if isinstance(point, Unread):
            dropped.append(Dropped(answer.prompt, answer.sample, DropReason(point.value)))
        else:
            proposals.append(Proposal(Coordinates(*point), Origin.LMM, prompt=answer.prompt, sample=answer.sample))
    return proposals, dropped
