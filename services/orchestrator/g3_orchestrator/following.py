"""What follows when a stage ends, or is given up: the next stage, the result, or the job's failure."""

from g3_kit import logs
from g3_kit.errors import Rejected

from g3_orchestrator import filling
from g3_orchestrator.model import Failure, Job, Result, Retrieval
from g3_orchestrator.protocol import Policy
from g3_orchestrator.states import JobKind, StageName, Strategy
from g3_orchestrator.store.port import Following, StageWork

GENERATION = "generation"
"""What `degraded` says when the LMM was left out."""

GALLERY = "gallery"
"""What `degraded` says when the gallery was not there and its candidates were left out."""

AFTER_GENERATION = Following(StageName.VERIFY)
AT_ONCE = frozenset({Strategy.KNN, Strategy.GALLERY})
"""Strategies whose result follows from what was retrieved: retrieving -> succeeded."""
_log = logs.get("g3_orchestrator.following")


def follow(work: StageWork, policy: Policy, retrieval: Retrieval | None, result: Result | None) -> None:
    """Begins what follows the stage that was just finished.

    Raises Rejected when the stage did not bring what it ends with, Conflict when a run's work was not recorded.
    """
    if work.stage.name.kind is JobKind.INGEST:
        filling.follow(work)
    elif work.stage.name is StageName.RETRIEVE:
        if retrieval is None or (result is not None) != (work.job.parameters.strategy in AT_ONCE):
            raise Rejected("retrieve ends with what was retrieved, and with a result for the strategies of one stage")
        work.keep(retrieval)
        if result is not None:
            work.succeed(result)
        else:
            _begin(work, after_retrieval(work.job, retrieval, policy))
    elif work.stage.name is StageName.GENERATE:
        _begin(work, AFTER_GENERATION)
    else:
        if result is None:
            raise Rejected("verify ends with a result")
        work.succeed(result)


def after_retrieval(job: Job, retrieval: Retrieval, policy: Policy) -> Following:
    """The stage that follows `retrieve`, and what the job says was left out from then on."""
    lacking = (*job.degraded, *retrieval.left_out)
    if not job.parameters.references_per_prompt:
        # Nobody asked for the LMM: nothing was left out.
        return Following(StageName.VERIFY, degraded=_each_once(lacking))
    if policy.generation_enabled:
        return Following(StageName.GENERATE, policy.generate_budget_s, _each_once(lacking))
    return Following(StageName.VERIFY, degraded=_each_once((*lacking, GENERATION)))


def bury(work: StageWork, failure: Failure, reason: str) -> None:
    """Gives the stage up: the job goes on without the LMM, or has failed."""
    work.give_up(reason)
    _log.warning("a stage is dead", job_id=str(work.job.job_id), stage=work.stage.name.value, reason=reason)
    if work.stage.name is StageName.GENERATE:
        _begin(work, Following(StageName.VERIFY, degraded=_each_once((*work.job.degraded, GENERATION))))
    elif work.stage.name.kind is JobKind.INGEST:
        filling.fail(work, failure)
    else:
        work.fail(failure)


def _begin(work: StageWork, following: Following) -> None:
    degraded = work.job.degraded if following.degraded is None else following.degraded
    work.begin(following.stage, budget_s=following.budget_s, degraded=degraded)


def _each_once(lacking: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(lacking))
