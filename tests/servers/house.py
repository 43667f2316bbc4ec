"""The orchestrator in one process over a real PostgreSQL: services faked, messages handed over by hand."""

import contextlib
import hashlib
import uuid
from collections.abc import Iterator
from dataclasses import replace
from io import BytesIO
from typing import Any
from uuid import UUID

import psycopg
from g3_orchestrator.coordinator import Coordinator
from g3_orchestrator.fakes import (
    FakeBells,
    FakeEmbedder,
    FakeGallery,
    FakeNamer,
    FakeReferenceList,
    FakeScorer,
    FakeSearcher,
    MemoryBlobs,
)
from g3_orchestrator.judging import Judge
from g3_orchestrator.leases import Leases
from g3_orchestrator.model import Answer, Job, NewJob, OutboxRow, PhotoRef
from g3_orchestrator.parameters import DEFAULT, Parameters
from g3_orchestrator.relay import Relay
from g3_orchestrator.retrieving import Retriever
from g3_orchestrator.stages import Policy, Ref, Stages
from g3_orchestrator.states import Ranking, StageName
from g3_orchestrator.store.postgres import PostgresStore
from g3_orchestrator.sweeper import Sweeper
from PIL import Image

# What most tests are not about is left out: the gallery, and a ranking that weighs more than the faked cosine.
USUAL = replace(DEFAULT, gallery=0, ranking=Ranking.SIMILARITY)


class House:
    """Store, protocol, coordinator, relay and sweeper. `bells` remembers what was rung."""

    def __init__(self, database_url: str, policy: Policy) -> None:
        self.database_url = database_url
        self.store = PostgresStore(database_url, pool_size=8)
        self.stages = Stages(self.store, policy)
        self.leases = Leases(self.stages)
        self.blobs, self.bells = MemoryBlobs(), FakeBells()
        self.embedder, self.searcher, self.scorer = FakeEmbedder(), FakeSearcher(), FakeScorer()
        self.gallery, self.references = FakeGallery(), FakeReferenceList()
        self.coordinator = Coordinator(
            self.stages,
            self.store,
            self.leases,
            retriever=Retriever(
                blobs=self.blobs,
                embedder=self.embedder,
                searcher=self.searcher,
                gallery=self.gallery,
                references=self.references,
                namer=FakeNamer(),
            ),
            scorer=self.scorer,
            namer=FakeNamer(),
            judge=Judge(FakeNamer()),
        )
        self.relay = Relay(self.store, self.bells)
        self.sweeper = Sweeper(self.stages, self.store)
        self.tenant = self.store.create_tenant("a tenant").tenant_id
        file = BytesIO()
        Image.new("RGB", (64, 48), (90, 120, 30)).save(file, "JPEG")
        self.jpeg = file.getvalue()

    def close(self) -> None:
        """Stops what runs."""
        self.leases.close()
        self.store.close()

    def new(self, **parameters: Any) -> NewJob:
        """A submission; its photo lies in the blob store."""
        sha256 = hashlib.sha256(self.jpeg).hexdigest()
        self.blobs.put(self.tenant, sha256, self.jpeg)
        resolved: Parameters = replace(USUAL, **parameters)
        return NewJob(PhotoRef(sha256, 64, 48, len(self.jpeg)), resolved, request_hash=b"h" * 32)

    def submit(self, **parameters: Any) -> Job:
        """An accepted job."""
        job, created = self.store.create_job(self.tenant, self.new(**parameters))
        assert created
        return job

    def ring(self) -> list[OutboxRow]:
        """Sends the outbox; what was rung now."""
        before = len(self.bells.rung)
        while self.relay.send():
            pass
        return self.bells.rung[before:]

    def work(self, job: Job, stage: StageName, attempt: int = 1) -> None:
        """One delivery to the coordinator."""
        self.coordinator.work(job.job_id, stage, attempt)

    def ref(self, job: Job, stage: StageName = StageName.GENERATE, attempt: int = 1, claim: str = "") -> Ref:
        """A reference with a new claim, or the one given."""
        return Ref(job.job_id, stage, attempt, claim or uuid.uuid4().hex)

    def to_generate(self, **parameters: Any) -> Job:
        """A job whose stage generate is due."""
        job = self.submit(**parameters)
        self.work(job, StageName.RETRIEVE)
        return self.job(job)

    def to_verify(self, texts: tuple[str, ...] = (), **parameters: Any) -> Job:
        """A job whose stage verify is due, with the answers of prompt 0."""
        job = self.to_generate(**parameters)
        ref = self.ref(job)
        self.stages.claim(ref)
        self.stages.record(ref, [Answer(0, sample, text) for sample, text in enumerate(texts)])
        self.stages.complete(ref)
        return self.job(job)

    def job(self, job: Job) -> Job:
        """The job as it stands."""
        return self.store.get_job(self.tenant, job.job_id)

    def age(self, job: Job, seconds: float) -> None:
        """Moves the clocks of the job's stages back, as if so much time had passed."""
        self.execute(
            "UPDATE stages SET first_due_at = first_due_at - make_interval(secs => %(s)s),"
            " budget_until = budget_until - make_interval(secs => %(s)s),"
            " wake_at = wake_at - make_interval(secs => %(s)s),"
            " lease_until = lease_until - make_interval(secs => %(s)s)"
            " WHERE job_id = %(job)s",
            {"s": seconds, "job": job.job_id},
        )

    def stage(self, job: Job, stage: StageName) -> dict[str, Any]:
        """The row of a stage; empty when there is none."""
        values = {"job": job.job_id, "name": stage.value}
        rows = self.execute("SELECT * FROM stages WHERE job_id = %(job)s AND name = %(name)s", values)
        return rows[0] if rows else {}

    def execute(self, statement: str, values: dict[str, Any] | None = None) -> list[dict[str, Any]]:
        """A statement of the test's own."""
        with psycopg.connect(self.database_url, autocommit=True, row_factory=psycopg.rows.dict_row) as connection:
            cursor = connection.execute(statement.encode(), values)
            return cursor.fetchall() if cursor.description else []

    def count(self, table: str, job_id: UUID) -> int:
        """Rows of a job."""
        return int(self.execute(f"SELECT count(*) AS n FROM {table} WHERE job_id = %(j)s", {"j": job_id})[0]["n"])  # noqa: S608


@contextlib.contextmanager
def house(database_url: str, policy: Policy | None = None) -> Iterator[House]:
    """A house over a migrated database."""
    made = House(database_url, policy or Policy())
    try:
        yield made
    finally:
        made.close()
