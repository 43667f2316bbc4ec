"""What follows the stages of an ingest run: plan -> fill, at most `at_once` shards open -> publish.

Fan-in is rows: whoever completes a shard holds the job's row, opens the next shard, and the last one opens `publish`.
"""

from g3_kit.errors import Conflict

from g3_orchestrator.model import Failure
from g3_orchestrator.runs import IngestPlan
from g3_orchestrator.states import StageName
from g3_orchestrator.store.port import StageWork


def follow(work: StageWork) -> None:
    """Opens what follows the stage that was just finished. Raises Conflict when its work was not recorded before."""
    if work.stage.name is StageName.PLAN:
        _after_plan(work)
    elif work.stage.name is StageName.FILL:
        _after_fill(work)
    else:
        work.conclude()


def fail(work: StageWork, failure: Failure) -> None:
    """The run has failed: its other shards stop at their next batch."""
    work.run.close_others("the run has failed")
    if work.stage.name is StageName.FILL:
        failure = Failure(failure.code, f"shard {work.stage.shard}: {failure.message}")
    work.fail(failure)


def planned(work: StageWork) -> IngestPlan:
    """The plan. Raises Conflict while there is none."""
    plan = work.run.plan()
    if plan is None:
        raise Conflict("record the plan before it is completed")
    return plan


def _after_plan(work: StageWork) -> None:
    plan = planned(work)
    work.begin(StageName.FILL, budget_s=None, degraded=())
    work.run.open(1, min(work.run.spec().at_once, plan.shards) - 1)


def _after_fill(work: StageWork) -> None:
    plan = planned(work)
    left = plan.rows_of(work.stage.shard) - work.run.tally().read
    if left:
        raise Conflict(f"{left} rows of the shard are left")
    shards = work.run.opened()
    if shards.opened < plan.shards:
        work.run.open(shards.opened, 1)
    elif shards.done == plan.shards:
        work.begin(StageName.PUBLISH, budget_s=None, degraded=())
