"""One search, answered from an index that can rank: the same rules for every technology."""

from collections.abc import Callable, Sequence

import numpy as np

from g3_retrieval.ranking import Ranked, begun, farthest, first_limit, hard, top
from g3_retrieval.references import Dissimilar, ManySearch, Match, Search, Vectors

RankedBy = Callable[[Vectors], Ranked]
"""From a query, float32 [3d], to the ranked list of the references that pass the search's filter."""


def answer(search: Search, ranked_by: RankedBy, exactly_by: RankedBy) -> tuple[tuple[Match, ...], tuple[Match, ...]]:
    """The similar and the dissimilar references of a search; `exactly_by` misses none, for the farthest."""
    query = search.vectors.query(search.retrieval_vector)
    similar = top(ranked_by(query), search.similar)
    dissimilar: list[Match] = []
    if search.dissimilar_kind is Dissimilar.FARTHEST:
        dissimilar = farthest(exactly_by(-query), search.dissimilar)
    elif search.dissimilar_kind is Dissimilar.HARD:
        dissimilar = hard(ranked_by(query), search.dissimilar, {match.reference.id for match in similar})
    return tuple(similar), tuple(dissimilar)


def answers(
    search: ManySearch, best: Callable[[Vectors, int], Sequence[Sequence[Match]]], ranked_by: RankedBy
) -> tuple[tuple[Match, ...], ...]:
    """The similar references of each photo.

    `best` gives the best `limit` for each of the queries, float32 [q, 3d]; who has a tie at that cut is asked alone.
    """
    queries = np.stack([vectors.query(search.retrieval_vector) for vectors in search.vectors])
    limit = first_limit(search.similar)
    found = best(queries, limit)
    return tuple(
        tuple(top(begun(limit, matches, ranked_by(query)), search.similar))
        for query, matches in zip(queries, found, strict=True)
    )
