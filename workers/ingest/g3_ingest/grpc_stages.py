"""The stage protocol over gRPC."""

from collections.abc import Sequence
from dataclasses import fields

import grpc
from g3_kit.errors import Conflict
from g3_protos.orchestrator.v1 import ingests_pb2, stages_pb2, stages_pb2_grpc

from g3_ingest.stages import Claim, Plan, Publication, Reject, Spec, StageRef, Tally


class GrpcStages:
    """`Stages` through a channel of `g3_kit.grpc_client`, which turns gRPC status into the error tree."""

    def __init__(self, channel: grpc.Channel, *, call_s: float = 15.0) -> None:
        """`call_s`: deadline in seconds of every call but `renew`. The channel stays the caller's to close."""
        self._stub = stages_pb2_grpc.StageServiceStub(channel)
        self._call_s = call_s

    def claim(self, ref: StageRef) -> Claim:
        response = self._stub.ClaimStage(stages_pb2.ClaimStageRequest(ref=_ref(ref)), timeout=self._call_s)
        if not response.HasField("ingest"):
            raise Conflict("the claimed stage is none of an ingest run")
        run = response.ingest
        spec = Spec(**{item.name: getattr(run.spec, item.name) for item in fields(Spec) if _told(run.spec, item.name)})
        plan = Plan(**{item.name: getattr(run.plan, item.name) for item in fields(Plan)})
        return Claim(response.lease_s, spec, plan if run.HasField("plan") else None, _tally_of(run.tally))

    def renew(self, ref: StageRef, *, deadline_s: float) -> float:
        return self._stub.RenewLease(stages_pb2.RenewLeaseRequest(ref=_ref(ref)), timeout=deadline_s).lease_s

    def record_plan(self, ref: StageRef, plan: Plan) -> None:
        sent = ingests_pb2.IngestPlan(**{item.name: getattr(plan, item.name) for item in fields(Plan)})
        self._stub.RecordPlan(stages_pb2.RecordPlanRequest(ref=_ref(ref), plan=sent), timeout=self._call_s)

    def record_progress(self, ref: StageRef, tally: Tally, rejects: Sequence[Reject]) -> None:
        request = stages_pb2.RecordProgressRequest(
            ref=_ref(ref),
            tally=ingests_pb2.Tally(
                read=tally.read,
                written=tally.written,
                held=tally.held,
                rejected=tally.rejected,
                duplicates=tally.duplicates,
                reasons=tally.reasons,
            ),
            rejects=[
                ingests_pb2.Reject(row=reject.row, id=_text(reject.id), code=reject.code, reason=_text(reject.reason))
                for reject in rejects
            ],
        )
        self._stub.RecordProgress(request, timeout=self._call_s)

    def record_publication(self, ref: StageRef, publication: Publication) -> None:
        sent = ingests_pb2.Publication(**{item.name: getattr(publication, item.name) for item in fields(Publication)})
        request = stages_pb2.RecordPublicationRequest(ref=_ref(ref), publication=sent)
        self._stub.RecordPublication(request, timeout=self._call_s)

    def complete(self, ref: StageRef) -> None:
        self._stub.CompleteStage(stages_pb2.CompleteStageRequest(ref=_ref(ref)), timeout=self._call_s)

    def fail(self, ref: StageRef, *, retryable: bool, reason: str) -> None:
        request = stages_pb2.FailStageRequest(ref=_ref(ref), retryable=retryable, reason=_text(reason))
        self._stub.FailStage(request, timeout=self._call_s)

    def release(self, ref: StageRef, reason: str) -> None:
        request = stages_pb2.FailStageRequest(ref=_ref(ref), retryable=True, released=True, reason=_text(reason))
        self._stub.FailStage(request, timeout=self._call_s)


def _ref(ref: StageRef) -> stages_pb2.StageRef:
    return stages_pb2.StageRef(
        job_id=ref.job_id, stage=ref.stage, attempt=ref.attempt, claim_id=ref.claim_id, shard=ref.shard
    )


def _told(spec: ingests_pb2.IngestSpec, name: str) -> bool:
    """Fields with presence are left to their default, None, when they are not set."""
    return not name.startswith("least_") or spec.HasField(name)  # type: ignore[arg-type] # names of two such fields


def _tally_of(sent: ingests_pb2.Tally) -> Tally:
    return Tally(sent.written, sent.held, sent.rejected, sent.duplicates, dict(sent.reasons))


def _text(text: str) -> str:
    """JSON and file names can spell half characters, which UTF-8 cannot carry."""
    return text.encode("utf-8", "replace").decode()
