"""The composition root: settings to a running server."""

from contextlib import ExitStack

from g3_kit import process
from g3_kit.grpc_server import GrpcServer
from g3_kit.health import Health
from g3_kit.settings import load
from g3_protos.embedding.v1.embedding_pb2_grpc import add_EmbeddingServiceServicer_to_server

from g3_embedding.batcher import Batcher
from g3_embedding.decoding import Decoder
from g3_embedding.embedding import Embedding
from g3_embedding.encoder import Encoder
from g3_embedding.memory import keep_between_passes
from g3_embedding.servicer import SERVICE_NAME, EmbeddingServicer
from g3_embedding.settings import EmbeddingSettings

# After the server has finished its calls the batcher is empty: this only bounds what went wrong.
_DRAIN_S = 5.0


def serve(encoder: Encoder, settings: EmbeddingSettings, health: Health, stack: ExitStack) -> GrpcServer:
    """The running room around `encoder`. What closes it lies on `stack`: first the server, which answers what it
    accepted, then the decoders, then the batcher. Raises Unavailable when the model does not run.
    """
    batcher = Batcher(capacity=settings.embedding_queue_items, stall_s=settings.embedding_stall_s)
    batcher.start()
    stack.callback(batcher.drain, _DRAIN_S)
    decoder = Decoder(encoder.pixels, threads=settings.embedding_decoders)
    stack.callback(decoder.close)
    embedding = Embedding(
        encoder,
        batcher,
        decoder,
        max_items=settings.embedding_max_items,
        photos_a_batch=settings.embedding_photos_a_batch,
    )
    embedding.warm_up()
    health.add("model", batcher.problem)
    server = GrpcServer(host=settings.host, port=settings.embedding_port, health=health)
    servicer = EmbeddingServicer(embedding, deadline_s=settings.embedding_deadline_s)
    server.add(add_EmbeddingServiceServicer_to_server, servicer, SERVICE_NAME)
    server.start()
    stack.callback(server.stop)
    return server


def main() -> None:
    """Serves until SIGTERM. Exit status 2 for a missing or bad setting, 1 when the room cannot start."""
    settings = load(EmbeddingSettings)
    keep_between_passes()
    health = Health()

    def start(stack: ExitStack) -> None:
        # Only now: torch takes seconds to import, and a missing setting is to be said at once.
        from g3_embedding.torch_encoder import TorchEncoder

        encoder = TorchEncoder.of_checkpoint(
            settings.checkpoint, settings.device, sha256=settings.checkpoint_sha256, threads=settings.torch_threads
        )
        serve(encoder, settings, health, stack)

    process.run("embedding", settings, health, start)
