"""Choosing among scored candidates (G3, equation 7: the arg-max of the image-GPS cosine)."""

from collections.abc import Sequence

from g3_kit.errors import NotYet

from g3_orchestrator.candidates import Pool
from g3_orchestrator.model import Candidate
from g3_orchestrator.states import Ranking


def ranked(pool: Pool, similarities: Sequence[float | None], ranking: Ranking) -> list[Candidate]:
    """The candidates best first, ranks from 1; those without a score are left out.

    `similarity`: greatest cosine first, ties in the order of the pool. `first`: the order of the pool.
    Raises NotYet for rankings of later releases.
    """
    scored = [
        (similarity, position)
        for position, similarity in enumerate(similarities)
        # A NaN would win or lose by accident of order: it is no score.
        if similarity is not None and similarity == similarity
    ]
    if ranking is Ranking.SIMILARITY:
        scored.sort(key=lambda pair: (-pair[0], pair[1]))
    elif ranking is not Ranking.FIRST:
        raise NotYet(f"ranking: {ranking} is not available in this release", field="ranking")
    return [
        Candidate(
            coordinates=pool.proposals[position].coordinates,
            origin=pool.proposals[position].origin,
            similarity=similarity,
            rank=rank,
            place=pool.places[position],
            prompt=pool.proposals[position].prompt,
            sample=pool.proposals[position].sample,
            reference_id=pool.proposals[position].reference_id,
        )
        for rank, (similarity, position) in enumerate(scored, start=1)
    ]
