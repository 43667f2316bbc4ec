"""The port to the stage protocol, in this room's own nouns (`protos/g3_protos/orchestrator/v1/stages.proto`)."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from g3_dialogue import Prompt, PromptOrder


@dataclass(frozen=True)
class StageRef:
    """What a call works for. `attempt` is the fence; `claim_id` is new for each delivery of the message."""

    job_id: str
    stage: str
    attempt: int
    claim_id: str


@dataclass(frozen=True)
class Claim:
    """A claimed stage.

    `lease_s`: seconds until it is lost unless renewed. `budget_s`: seconds after which no answer is waited for.
    `held`: (prompt, sample) pairs that earlier attempts recorded. `photo`: JPEG bytes, longest side ≤ 1,024 px.
    """

    lease_s: float
    budget_s: float
    prompts: tuple[Prompt, ...]
    held: frozenset[tuple[int, int]]
    photo: bytes
    temperature: float
    prompt_order: PromptOrder = PromptOrder.PAPER

    def missing(self, prompt: Prompt) -> list[int]:
        """The sample indices of `prompt` that no attempt has recorded yet, ascending."""
        return [sample for sample in range(prompt.samples) if (prompt.index, sample) not in self.held]


@dataclass(frozen=True)
class Answer:
    """What the LMM said to one sample of one prompt: raw text, never interpreted here. Token counts 0: not stated."""

    prompt: int
    sample: int
    text: str
    model: str
    prompt_tokens: int = 0
    answer_tokens: int = 0


class Stages(Protocol):
    """The stage protocol. Every method raises Conflict once the stage is not this claim's any more (finished,
    cancelled, newer attempt, lease taken over), Missing for an unknown job and Unavailable when nobody answers.
    """

    def claim(self, ref: StageRef) -> Claim:
        """Takes the stage. Idempotent by `ref.claim_id`."""
        ...

    def renew(self, ref: StageRef, *, deadline_s: float) -> float:
        """Keeps the stage; returns the seconds until the lease ends. Gives up after `deadline_s`."""
        ...

    def record(self, ref: StageRef, answers: Sequence[Answer]) -> int:
        """Stores answers (at most 512), each (prompt, sample) once; returns how many were new."""
        ...

    def complete(self, ref: StageRef) -> None:
        """Ends the stage. A repeat by the same claim changes nothing."""
        ...

    def fail(self, ref: StageRef, *, retryable: bool, reason: str) -> None:
        """Gives the stage back: to be tried again, or as it is. `reason` is a sentence for the operator."""
        ...

    def release(self, ref: StageRef, reason: str) -> None:
        """Gives the stage back without a fault of its own: it is due again at once. The worker leaves."""
        ...
