"""The composition root: settings to a running server. The only file that chooses an index."""

from contextlib import ExitStack
from pathlib import Path

from g3_kit import process
from g3_kit.grpc_server import GrpcServer, Limits
from g3_kit.health import Health
from g3_kit.settings import load
from g3_protos.retrieval.v1.retrieval_pb2_grpc import add_RetrievalServiceServicer_to_server

from g3_retrieval.index import Index
from g3_retrieval.pulse import Pulse
from g3_retrieval.service import Retrieval
from g3_retrieval.servicer import SERVICE_NAME, RetrievalServicer
from g3_retrieval.settings import RetrievalSettings


def open_index(settings: RetrievalSettings) -> Index:
    """The index that the settings ask for. Raises Unavailable when its server does not answer."""
    if settings.retrieval_index == "faiss":
        from g3_retrieval.faiss_index import FaissIndex

        return FaissIndex(Path(settings.faiss_path), settings.device)
    from g3_retrieval.milvus_index import MilvusIndex
    from g3_retrieval.milvus_schema import MilvusOptions

    options = MilvusOptions(
        consistency=settings.milvus_consistency,
        deadline_s=settings.milvus_deadline_s,
    )
    return MilvusIndex(settings.milvus_uri, settings.milvus_token.get_secret_value(), options)


def start(settings: RetrievalSettings, health: Health, stack: ExitStack) -> GrpcServer:
    """The running room; what closes it lies on `stack`. Raises Unavailable, also when the port is taken."""
    index = open_index(settings)
    stack.callback(index.close)
    pulse = Pulse(index.problem)
    stack.callback(pulse.close)
    health.add("index", pulse.problem)
    server = GrpcServer(
        host=settings.host,
        port=settings.retrieval_port,
        health=health,
        limits=Limits(threads=settings.retrieval_threads),
    )
    retrieval = Retrieval(index, settings.retrieval_kind)
    server.add(add_RetrievalServiceServicer_to_server, RetrievalServicer(retrieval), SERVICE_NAME)
    server.start()
    stack.callback(server.stop)
    return server


def main() -> None:
    """Serves until SIGTERM. Exit status 2 for a missing or bad setting, 1 when the room cannot start."""
    settings, health = load(RetrievalSettings), Health()

    def begin(stack: ExitStack) -> None:
        start(settings, health, stack)

    process.run("retrieval", settings, health, begin)
