"""What a photo costs: seconds by stage, tokens, and what became of the LMM's answers."""

from collections import Counter
from dataclasses import dataclass

import numpy as np

from g3_evaluation.asks import Ask
from g3_evaluation.outcomes import Outcome
from g3_evaluation.rescoring import proposals, winner
from g3_evaluation.run_data import RunData


@dataclass(frozen=True)
class StageCost:
    """One stage of the jobs of one way of asking: seconds worked and waited, by photo."""

    stage: str
    jobs: int
    worked_mean_s: float
    worked_median_s: float
    worked_p95_s: float
    waited_mean_s: float
    attempts: int


@dataclass(frozen=True)
class AskCost:
    """The cost of one way of asking. Tokens a photo are None where the server states none."""

    ask: str
    photos: int
    failures: dict[str, int]
    degraded: int
    """Photos that were answered without the LMM."""
    stages: list[StageCost]
    wall_mean_s: float
    prompt_tokens: float | None
    answer_tokens: float | None
    answers: int
    """Answers of the LMM that were recorded or dropped."""
    dropped: dict[str, int]
    winners: dict[str, int]
    """Where the candidate came from that similarity chooses, by photos."""


def costs(data: RunData) -> list[AskCost]:
    """By way of asking."""
    return [_of(ask, data.of(ask)) for ask in data.asks]


def _of(ask: Ask, outcomes: list[Outcome]) -> AskCost:
    asked = [outcome for outcome in outcomes if outcome.job_id]
    names = list(dict.fromkeys(stage for outcome in asked for stage in outcome.stages))
    said = [answer for outcome in asked for answer in outcome.answers]
    dropped: Counter[str] = Counter()
    for outcome in asked:
        dropped.update(outcome.dropped)
    winners = Counter(won for outcome in asked if ask.needs_lmm and (won := winner(proposals(outcome))))
    return AskCost(
        ask=ask.value,
        photos=len(outcomes),
        failures=dict(Counter(outcome.failure[0] for outcome in outcomes if outcome.failure)),
        degraded=sum("generation" in outcome.degraded for outcome in outcomes),
        stages=[_stage(name, asked) for name in names],
        wall_mean_s=float(np.mean([outcome.wall_s for outcome in asked])) if asked else 0.0,
        prompt_tokens=_tokens(asked, 0),
        answer_tokens=_tokens(asked, 1),
        answers=len(said) or sum(_heard(outcome) for outcome in asked),
        dropped=dict(dropped),
        winners=dict(winners),
    )


def _heard(outcome: Outcome) -> int:
    return sum(voice.origin == "lmm" for voice in outcome.voices) + sum(outcome.dropped.values())


def _stage(name: str, outcomes: list[Outcome]) -> StageCost:
    times = [outcome.stages[name] for outcome in outcomes if name in outcome.stages]
    worked = np.array([time.worked_s for time in times])
    return StageCost(
        stage=name,
        jobs=len(times),
        worked_mean_s=float(worked.mean()),
        worked_median_s=float(np.median(worked)),
        worked_p95_s=float(np.quantile(worked, 0.95)),
        waited_mean_s=float(np.mean([time.waited_s for time in times])),
        attempts=sum(time.attempts for time in times),
    )


def _tokens(outcomes: list[Outcome], which: int) -> float | None:
    """Tokens a photo: of the prompts (0) or of the answers (1)."""
    stated = [outcome.tokens[which] for outcome in outcomes if outcome.tokens is not None]
    return sum(stated) / len(stated) if any(stated) else None
