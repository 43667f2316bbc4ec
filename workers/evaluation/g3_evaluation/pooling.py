"""The candidates of a stored run as pools of `g3_choice`, from which the weights of the consensus are fitted."""

from collections.abc import Iterator

from g3_choice.pool_file import PooledPhoto

from g3_evaluation.asks import Ask
from g3_evaluation.rescoring import proposals
from g3_evaluation.run_data import RunData


def pools(data: RunData, ask: Ask, set_name: str = "") -> Iterator[PooledPhoto]:
    """A pool for each photo that has candidates: everything that was proposed, with its cosine, not merged."""
    for query, outcome in zip(data.queries, data.of(ask), strict=True):
        found = proposals(outcome)
        if found:
            yield PooledPhoto(query.id, query.coordinates, tuple(found), outcome.release[0], set_name)
