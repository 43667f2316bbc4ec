"""VerificationService: converts, calls, converts."""

import grpc
from g3_kit.errors import G3Error
from g3_protos.vector.v1 import vector_pb2
from g3_protos.verification.v1 import verification_pb2, verification_pb2_grpc
from prometheus_client import Counter

from g3_verification.scorer import Model
from g3_verification.verification import Verification

SERVICE_NAME = verification_pb2.DESCRIPTOR.services_by_name["VerificationService"].full_name

_CANDIDATES = Counter("g3_verification_candidates_total", "Candidates by what became of them.", ["outcome"])


class VerificationServicer(verification_pb2_grpc.VerificationServiceServicer):
    """The room's public face."""

    def __init__(self, verification: Verification) -> None:
        """`verification` does the work."""
        self._verification = verification

    def Score(
        self, request: verification_pb2.ScoreRequest, context: grpc.ServicerContext
    ) -> verification_pb2.ScoreResponse:
        """Cosines of the candidates, or the errors of single ones."""
        outcomes = self._verification.score(
            request.gps_aligned.values,
            request.gps_aligned.dimension,
            [(candidate.latitude, candidate.longitude) for candidate in request.candidates],
            request.model,
        )
        refused = sum(isinstance(outcome, G3Error) for outcome in outcomes)
        _CANDIDATES.labels("refused").inc(refused)
        _CANDIDATES.labels("scored").inc(len(outcomes) - refused)
        return verification_pb2.ScoreResponse(
            scores=[_score(outcome) for outcome in outcomes], fingerprint=_fingerprint(self._verification.model)
        )

    def DescribeModel(
        self, request: verification_pb2.DescribeModelRequest, context: grpc.ServicerContext
    ) -> verification_pb2.DescribeModelResponse:
        """Which model is served."""
        model = self._verification.model
        return verification_pb2.DescribeModelResponse(
            fingerprint=_fingerprint(model),
            dimension=model.dimension,
            configuration=model.configuration,
            device=model.device,
        )


def _score(outcome: float | G3Error) -> verification_pb2.Score:
    if isinstance(outcome, G3Error):
        return verification_pb2.Score(error=vector_pb2.ItemError(code=outcome.code, message=outcome.message))
    return verification_pb2.Score(similarity=outcome)


def _fingerprint(model: Model) -> vector_pb2.ModelFingerprint:
    return vector_pb2.ModelFingerprint(model=model.fingerprint, gps=model.gps_fingerprint)
