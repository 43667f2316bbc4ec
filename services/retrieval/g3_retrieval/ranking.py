"""From ranked lists to answers: ties in a fixed order, and hard negatives."""

from collections.abc import Callable, Collection, Sequence

from g3_geography import distances_km

from g3_retrieval.references import Match

HARD_AWAY_KM = 750.0
"""A hard negative lies at least this far from the best match: beyond the "country" threshold of the benchmarks."""
MAX_RANKED = 16_384
"""How deep a ranked list is walked: the most that one Milvus search returns."""

Ranked = Callable[[int], Sequence[Match]]
"""Gives the best `limit` matches, best first, in any order within a tie; fewer only when there are no more."""


def top(ranked: Ranked, count: int) -> list[Match]:
    """The best `count`, ties by id.

    An index cuts a tie wherever it likes, so the list is read until the tie at the cut is complete (or `MAX_RANKED`).
    """
    if count == 0:
        return []
    limit = first_limit(count)
    while True:
        matches = ranked(limit)
        whole = len(matches) < limit or matches[-1].similarity != matches[count - 1].similarity
        if whole or limit == MAX_RANKED:
            return _in_order(matches)[:count]
        limit = min(limit * 4, MAX_RANKED)


def first_limit(count: int) -> int:
    """How many the list of `top` is first read for: enough to see most ties at the cut whole."""
    return min(count + 16, MAX_RANKED)


def begun(limit: int, matches: Sequence[Match], ranked: Ranked) -> Ranked:
    """`ranked`, the answer to `limit` being known already."""
    return lambda asked: matches if asked == limit else ranked(asked)


def hard(ranked: Ranked, count: int, taken: Collection[str]) -> list[Match]:
    """The `count` most similar that lie `HARD_AWAY_KM` or more (geodesic) from the best match; ties by id.

    `taken` ids, already given as similar, are left out: no reference is both. Fewer come back when the best
    `MAX_RANKED` hold no more.
    """
    if count == 0:
        return []
    limit = min(max(64, 4 * count), MAX_RANKED)
    while True:
        matches = ranked(limit)
        ordered = _in_order(matches)
        # What lies in the tie at the cut may be missing its neighbours by id: it counts only when the list is whole.
        whole = len(matches) < limit or limit == MAX_RANKED
        sure = ordered if whole else [match for match in ordered if match.similarity != matches[-1].similarity]
        far = _far(sure, taken)
        if len(far) >= count or whole:
            return far[:count]
        limit = min(limit * 4, MAX_RANKED)


def _far(ordered: Sequence[Match], taken: Collection[str]) -> list[Match]:
    if not ordered:
        return []
    best = ordered[0].reference.coordinates
    places = [match.reference.coordinates for match in ordered]
    away = distances_km(
        best.latitude,
        best.longitude,
        [place.latitude for place in places],
        [place.longitude for place in places],
    )
    return [
        match for match, km in zip(ordered, away, strict=True) if km >= HARD_AWAY_KM and match.reference.id not in taken
    ]


def farthest(opposite: Ranked, count: int) -> list[Match]:
    """The `count` least similar, least first, ties by id; `opposite` ranks by the negated query."""
    return [Match(match.reference, -match.similarity + 0.0) for match in top(opposite, count)]


def _in_order(matches: Sequence[Match]) -> list[Match]:
    return sorted(matches, key=lambda match: (-match.similarity, match.reference.id))
