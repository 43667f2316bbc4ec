"""What the orchestrator can be told. Each command reads the settings that it needs."""

from g3_kit.settings import RoomSettings
from pydantic import Field, FilePath, PositiveFloat, PositiveInt

from g3_orchestrator.galleries import MOST
from g3_orchestrator.protocol import Policy


class StoreSettings(RoomSettings):
    """The database: every command needs it."""

    database_url: str = Field(pattern=r"^postgres(ql)?(\+psycopg)?://", description="PostgreSQL, postgresql://…")
    database_pool: PositiveInt = 8
    """Connections that this process may open."""
    statement_timeout_s: PositiveFloat = 10.0


class ProtocolSettings(StoreSettings):
    """The stage protocol's numbers."""

    generation_enabled: bool = True
    """False: no job is put to the LMM."""
    generate_budget_s: PositiveFloat = 120.0
    """How long a job waits for the LMM before it goes on without."""
    lease_s: PositiveFloat = 30.0
    """How long a silent worker keeps its stage."""
    ring_again_s: PositiveFloat = 15.0
    """How long a message may go without a claim before it is sent again."""
    stage_attempts: PositiveInt = 10
    """Attempts of one stage before it is given up."""

    @property
    def policy(self) -> Policy:
        """As the protocol takes them."""
        return Policy(
            generation_enabled=self.generation_enabled,
            generate_budget_s=self.generate_budget_s,
            max_attempts=self.stage_attempts,
            lease_s=self.lease_s,
            ring_again_s=self.ring_again_s,
        )


class BlobSettings(RoomSettings):
    """The blob store."""

    blob_url: str = Field(min_length=1, description="where cleaned photos lie: file:///…, s3://…, gs://…")


class BrokerSettings(RoomSettings):
    """The broker."""

    broker_url: str = Field(pattern=r"^(amqps?|pgmq)://", description="the broker: amqp://… or pgmq://…")


class ApiSettings(ProtocolSettings, BlobSettings):
    """`api`: REST, the public gRPC service and the internal stage service."""

    api_port: int = 7100
    jobs_port: int = 7110
    stages_port: int = 7111
    stages_host: str = "127.0.0.1"
    """Address of the internal listener: never a public one."""


class CoordinatorSettings(ProtocolSettings, BlobSettings, BrokerSettings):
    """`coordinator`: works on the queue `coordinate`."""

    embedding_target: str = "127.0.0.1:7101"
    retrieval_target: str = "127.0.0.1:7102"
    verification_target: str = "127.0.0.1:7103"
    collection: str = ""
    """Collection version or alias to search; empty: the retrieval service's default alias."""
    coordinator_concurrency: PositiveInt = 8
    """Stages worked on at a time."""
    choice_model: FilePath | None = Field(
        default=None, description="a file of g3_choice: weights and calibration of the ranking consensus"
    )
    gallery_most: PositiveInt = MOST
    """Coordinates of the gallery that is made of a collection; of a larger one an even part is taken."""


class RelaySettings(ProtocolSettings, BrokerSettings):
    """`relay`: sends the outbox and sweeps."""

    relay_threads: PositiveInt = 2
    """Relays in this process: one waits for the broker while another sends."""


class AllSettings(ApiSettings, CoordinatorSettings, RelaySettings):
    """Everything, to say what is lacking."""
