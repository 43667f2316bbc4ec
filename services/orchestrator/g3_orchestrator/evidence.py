"""What a result says about the LMM's part in it: worked out when it is read, from what was recorded."""

from dataclasses import dataclass

from g3_orchestrator.model import Answer, Result
from g3_orchestrator.states import Origin


@dataclass(frozen=True, slots=True)
class Tokens:
    """Of the prompts, each counted once however many samples it gave, and of all answers."""

    prompt: int
    answer: int


def tokens(result: Result) -> Tokens:
    """As the endpoint counts them; 0 when it does not say."""
    prompts: dict[int, int] = {}
    for answer in result.answers:
        prompts[answer.prompt] = max(prompts.get(answer.prompt, 0), answer.prompt_tokens)
    return Tokens(sum(prompts.values()), sum(answer.answer_tokens for answer in result.answers))


def lmms(result: Result) -> tuple[str, ...]:
    """The names of the LMMs that answered."""
    return tuple(sorted({answer.model for answer in result.answers if answer.model}))


def said(result: Result) -> list[tuple[Answer, int]]:
    """Each answer and the rank of the candidate that it stands behind; 0 when it was dropped."""
    ranks = {
        (source.prompt, source.sample): candidate.rank
        for candidate in result.candidates
        for source in candidate.sources
        if source.origin is Origin.LMM
    }
    return [(answer, ranks.get((answer.prompt, answer.sample), 0)) for answer in result.answers]


def texts(result: Result) -> dict[tuple[int, int], str]:
    """The raw text of each answer by prompt and sample."""
    return {(answer.prompt, answer.sample): answer.text for answer in result.answers}
