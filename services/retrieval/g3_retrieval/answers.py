"""One search, answered from an index that can rank: the same rules for every technology."""

from collections.abc import Callable

from g3_retrieval.ranking import Ranked, farthest, hard, top
from g3_retrieval.references import Dissimilar, Match, Search, Vectors

RankedBy = Callable[[Vectors], Ranked]
"""From a query, float32 [3d], to the ranked list of the references that pass the search's filter."""


def answer(search: Search, ranked_by: RankedBy) -> tuple[tuple[Match, ...], tuple[Match, ...]]:
    """The similar and the dissimilar references of a search."""
    query = search.vectors.query(search.retrieval_vector)
    similar = top(ranked_by(query), search.similar)
    dissimilar: list[Match] = []
    if search.dissimilar_kind is Dissimilar.FARTHEST:
        dissimilar = farthest(ranked_by(-query), search.dissimilar)
    elif search.dissimilar_kind is Dissimilar.HARD:
        dissimilar = hard(ranked_by(query), search.dissimilar, {match.reference.id for match in similar})
    return tuple(similar), tuple(dissimilar)
