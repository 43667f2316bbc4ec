"""Accuracy over the hyperparameters K, N, S and the references of a prompt, all out of one superset of answers."""

from dataclasses import dataclass

from g3_choice import Ranking

from g3_evaluation.asks import Ask
from g3_evaluation.metrics import Share, wilson, within
from g3_evaluation.outcomes import Outcome
from g3_evaluation.rescoring import Part, place, proposals
from g3_evaluation.run_data import RunData

_RETRIEVED = (0, 1, 2, 3, 5, 10, 15, 20, 30, 40, 50)
_REFERENCES = (0, 5, 10, 15)
"""References in each of the paper's prompts."""


@dataclass(frozen=True)
class Curve:
    """`name` of the hyperparameter, in words, its values, and the shares within each threshold at each value."""

    name: str
    words: str
    values: list[int]
    within: list[list[Share]]


def curves(data: RunData) -> list[Curve]:
    """The curves of the profile `paper`; each changes one hyperparameter and leaves the others as they are."""
    if Ask.PAPER not in data.asks:
        return []
    outcomes = data.of(Ask.PAPER)
    prompts = max(
        (voice.prompt for outcome in outcomes for voice in outcome.voices if voice.origin == "lmm"), default=-1
    )
    most = max((len(outcome.references) for outcome in outcomes), default=0)
    retrieved = [value for value in _RETRIEVED if value <= min(most, data.note.retrieved)]
    samples = list(range(1, data.note.samples + 1))
    drawn = [("S", "retrieved candidates", retrieved, {value: Part(retrieved=value) for value in retrieved})]
    if prompts >= 0:
        counts = list(range(1, prompts + 2))
        drawn += [
            ("K", "prompts, the ones with fewest references first", counts, {k: _first(k) for k in counts}),
            ("N", "samples of each prompt", samples, {n: Part(samples=n, retrieved=1) for n in samples}),
        ]
    if prompts + 1 == len(_REFERENCES):
        alone = {count: Part(prompts={prompt}, retrieved=1) for prompt, count in enumerate(_REFERENCES)}
        drawn.append(("references", "references in the only prompt", list(_REFERENCES), alone))
    return [
        Curve(name, words, values, [_at(data, parts[value]) for value in values])
        for name, words, values, parts in drawn
    ]


def _first(prompts: int) -> Part:
    return Part(prompts=range(prompts), retrieved=1)


def _at(data: RunData, part: Part) -> list[Share]:
    def answer(outcome: Outcome) -> tuple[float, float] | None:
        return place(proposals(outcome, part), Ranking.SIMILARITY)

    hits = within(data.off(Ask.PAPER, answer))
    return [wilson(int(count), len(hits)) for count in hits.sum(axis=0)]
