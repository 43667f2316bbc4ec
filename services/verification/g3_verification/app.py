"""The composition root: settings to a running server."""

from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory

from g3_kit import process
from g3_kit.grpc_server import GrpcServer
from g3_kit.health import Health
from g3_kit.settings import load
from g3_protos.verification.v1.verification_pb2_grpc import add_VerificationServiceServicer_to_server

from g3_verification.galleries import Galleries, Sizes
from g3_verification.gallery_shelf import Shelf
from g3_verification.scorer import Scorer
from g3_verification.servicer import SERVICE_NAME, VerificationServicer
from g3_verification.settings import VerificationSettings
from g3_verification.verification import Verification


def server(scorer: Scorer, galleries: Galleries, health: Health, *, host: str, port: int) -> GrpcServer:
    """The room's server around `scorer`, not yet started; port 0 picks a free one."""
    health.add("scorer", scorer.problem)
    built = GrpcServer(host=host, port=port, health=health)
    servicer = VerificationServicer(Verification(scorer), galleries)
    built.add(add_VerificationServiceServicer_to_server, servicer, SERVICE_NAME)
    return built


def main() -> None:
    """Serves until SIGTERM. Exit status 2 for a missing or bad setting, 1 when the room cannot start."""
    settings = load(VerificationSettings)
    health = Health()

    def start(stack: ExitStack) -> None:
        # Only now: torch takes seconds to import, and a missing setting is to be said at once.
        from g3_verification.torch_scorer import TorchScorer

        scorer = TorchScorer(
            settings.checkpoint,
            settings.device,
            sha256=settings.checkpoint_sha256,
            threads=settings.torch_threads,
        )
        folder = settings.gallery_path or Path(stack.enter_context(TemporaryDirectory(prefix="g3-galleries-")))
        sizes = Sizes(settings.gallery_max_coordinates, settings.gallery_float32_bytes)
        galleries = Galleries(scorer, Shelf(folder), sizes)
        stack.callback(galleries.close)
        serving = server(scorer, galleries, health, host=settings.host, port=settings.verification_port)
        serving.start()
        stack.callback(serving.stop)

    process.run("verification", settings, health, start)
