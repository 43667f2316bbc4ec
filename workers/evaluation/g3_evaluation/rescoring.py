"""Another answer from what was said already: fewer prompts, samples or references, or another ranking.

Nothing is asked for: the similarity of every candidate is in the outcome, and the choice among them is `g3_choice`'s,
the same code that the orchestrator chooses with.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

from g3_choice import Candidate, Origin, Proposal, Ranking, choose, merged
from g3_geography import Coordinates
from g3_kit.errors import Missing

from g3_evaluation.outcomes import Outcome, Place, Voice


@dataclass(frozen=True, slots=True)
class Part:
    """Which part of what was said counts: None for all of it. `prompts` are indices of prompts."""

    prompts: Collection[int] | None = None
    samples: int | None = None
    """N: samples of each prompt, the first ones."""
    retrieved: int | None = None
    """S: references, the most similar ones."""


PAPER = Part(retrieved=1)
"""What the profile `paper` chooses among."""


def proposals(outcome: Outcome, part: Part = Part()) -> list[Proposal]:
    """The proposals of an outcome that count, each with the cosine of its place."""
    said = [voice for voice in outcome.voices if voice.origin == Origin.LMM and _counts(voice, part)]
    gallery = [voice for voice in outcome.voices if voice.origin == Origin.GALLERY]
    return [
        *(_proposal(voice, prompt=voice.prompt, sample=voice.sample) for voice in said),
        *_retrieved(outcome, part.retrieved),
        *(_proposal(voice, rank=rank) for rank, voice in enumerate(gallery, 1)),
    ]


def best(found: Sequence[Proposal], within_km: float = 0.0) -> Candidate | None:
    """The candidate that the ranking `similarity` chooses; None when there is nothing to choose from.

    Its answer alone is what `choose` gives (the greatest cosine, ties in the order of the method), without the clusters
    and the rest of a choice, which a curve over thousands of photos has no use for.
    """
    scored = [candidate for candidate in merged(found, within_km) if candidate.similarity is not None]
    return max(scored, key=lambda candidate: candidate.similarity or 0.0, default=None)


def place(found: Sequence[Proposal], ranking: Ranking, within_km: float = 0.0) -> Place | None:
    """The answer among proposals; None when there is nothing to choose from.

    `within_km`: how near proposals are one candidate; 0, as the paper has it, for equal ones.
    """
    if ranking is Ranking.SIMILARITY:
        candidate = best(found, within_km)
        return None if candidate is None else (candidate.coordinates.latitude, candidate.coordinates.longitude)
    try:
        coordinates = choose(merged(found, within_km), ranking, top_k=1).coordinates
    except Missing:
        return None
    return coordinates.latitude, coordinates.longitude


def winner(found: Sequence[Proposal]) -> str:
    """The origin of the candidate that similarity chooses; "" without one."""
    candidate = best(found)
    return "" if candidate is None else candidate.origin.value


def as_paper(outcome: Outcome) -> Outcome:
    """The outcome as if no more had been asked for than the profile `paper` takes.

    What the job answered among the whole superset, and how sure it was of that, is another answer.
    """
    chosen = best(proposals(outcome, PAPER))
    found = None if chosen is None else (chosen.coordinates.latitude, chosen.coordinates.longitude)
    similarity = None if chosen is None else chosen.similarity
    return replace(outcome, place=found, similarity=similarity, confidence={}, radius_km=None, abstained=False)


def _counts(voice: Voice, part: Part) -> bool:
    if part.prompts is not None and voice.prompt not in part.prompts:
        return False
    return part.samples is None or voice.sample < part.samples


def _proposal(voice: Voice, *, prompt: int = 0, sample: int = 0, rank: int = 0) -> Proposal:
    where = Coordinates(voice.latitude, voice.longitude)
    return Proposal(where, Origin(voice.origin), voice.similarity, prompt, sample, voice.reference_id, rank)


def _retrieved(outcome: Outcome, most: int | None) -> list[Proposal]:
    """The most similar references as candidates. One that fell together with an answer of the LMM has its cosine."""
    by_id = {voice.reference_id: voice for voice in outcome.voices if voice.reference_id}
    by_place: Mapping[Place, Voice] = {(voice.latitude, voice.longitude): voice for voice in outcome.voices}
    found = []
    for rank, reference in enumerate(outcome.references[:most], 1):
        voice = by_id.get(reference.id) or by_place.get((reference.latitude, reference.longitude))
        if voice is not None:
            where = Coordinates(reference.latitude, reference.longitude)
            similarity = voice.similarity
            found.append(
                Proposal(
                    where,
                    Origin.RETRIEVED,
                    similarity,
                    reference_id=reference.id,
                    rank=rank,
                    evidence=reference.similarity,
                )
            )
    return found
