"""Ingest runs worked to their end: the real stage service on PostgreSQL, photos from files, fakes for the services."""

import contextlib
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from g3_ingest.embedder import PhotoVectors
from g3_ingest.fakes import FakeEmbedder, FakeReferences
from g3_ingest.filling import Services
from g3_ingest.grpc_stages import GrpcStages
from g3_ingest.opening import Sources
from g3_ingest.patience import Bearing
from g3_ingest.photos import Cleaner
from g3_ingest.references import Recall
from g3_ingest.run import IngestRun, Outcome
from g3_ingest.stages import StageRef
from g3_ingest.tasks import deliver
from g3_kit import grpc_client
from g3_kit.errors import Exhausted, G3Error, Unavailable
from g3_kit.grpc_server import GrpcServer
from g3_kit.health import Health
from g3_orchestrator.model import OutboxRow
from g3_orchestrator.runs import Ingest, IngestSpec, NewIngest
from g3_orchestrator.stage_servicer import SERVICE_NAME, StageServicer
from g3_orchestrator.states import JobState
from g3_photo import clean
from g3_protos.orchestrator.v1 import stages_pb2_grpc

from tests.servers.house import House, house
from tests.servers.photos import jpeg

pytestmark = pytest.mark.needs("postgres")


@dataclass
class Embedder(FakeEmbedder):
    """Calls `hook` before each batch; is away for batches with a photo of `refused_for`, once `others` is set."""

    hook: Any = None
    batches: int = field(default=0)
    refused_for: set[bytes] = field(default_factory=set)
    others: threading.Event = field(default_factory=threading.Event)

    def embed(self, photos: Sequence[bytes], model: str) -> list[PhotoVectors | G3Error]:
        self.batches += 1
        if self.hook is not None:
            self.hook(self.batches)
        if self.refused_for.intersection(photos):
            assert self.others.wait(20)
            raise Unavailable("the device is gone")
        found = super().embed(photos, model)
        self.others.set()
        return found


class Works:
    """The orchestrator and one worker."""

    def __init__(self, home: House, stages: GrpcStages, folder: Path) -> None:
        self.home, self.folder = home, folder
        self.embedder, self.references = Embedder(max_items=8), FakeReferences()
        self.leaving = threading.Event()
        services = Services(
            self.embedder, self.references, Cleaner(), batch=8, bearing=Bearing(total_s=0.5, first_s=0.01, most_s=0.05)
        )
        sources = Sources(folder / "cache", [folder])
        self.run = IngestRun(stages, sources, services, leaving=self.leaving)

    def photos(self, count: int) -> Path:
        """A folder of photos with its table."""
        place = self.folder / "photos"
        place.mkdir()
        lines = ["img_id,latitude,longitude"]
        for number in range(count):
            (place / f"{number:03d}.jpg").write_bytes(jpeg(number, (64, 48)))
            lines.append(f"{number:03d}.jpg,{number % 80},20")
        (place / "photos.csv").write_text("\n".join(lines) + "\n")
        return place

    def submit(self, source: Path | str, **spec: Any) -> Ingest:
        given = {"table": f"{source}/photos.csv"} if isinstance(source, Path) else {}
        new = NewIngest(IngestSpec(str(source), **given | spec), request_hash=b"h")
        return self.home.store.create_ingest(self.home.tenant, new)[0]

    def now(self, run: Ingest) -> Ingest:
        return self.home.store.get_ingest(self.home.tenant, run.ingest_id)

    def step(self) -> list[Outcome | None]:
        """Delivers what is in the outbox."""
        return [deliver(self.run, _ref(row)) for row in self.home.ring()]

    def finish(self, run: Ingest) -> Ingest:
        """Delivers and sweeps until the run has ended."""
        for _ in range(60):
            if self.now(run).state.ended:
                break
            self.step()
            self.home.execute("UPDATE stages SET wake_at = now() WHERE state IN ('pending', 'dispatched')")
            self.home.stages.sweep()
        return self.now(run)


def _sent(place: Path, number: int) -> bytes:
    """A photo as the embedding service gets it."""
    return clean((place / f"{number:03d}.jpg").read_bytes(), smallest=False).jpeg


def _ref(row: OutboxRow) -> StageRef:
    return StageRef(str(row.job_id), row.stage.value, row.attempt, f"claim-{row.outbox_id}", row.shard)


@pytest.fixture
def works(database_url: str, tmp_path: Path) -> Iterator[Works]:
    with contextlib.ExitStack() as stack:
        home = stack.enter_context(house(database_url))
        server = GrpcServer(host="127.0.0.1", port=0, health=Health())
        servicer = StageServicer(home.stages, home.store, home.blobs)
        server.add(stages_pb2_grpc.add_StageServiceServicer_to_server, servicer, SERVICE_NAME)
        server.start()
        stack.callback(server.stop, 1.0)
        channel = stack.enter_context(contextlib.closing(grpc_client.channel(f"127.0.0.1:{server.port}")))
        yield Works(home, GrpcStages(channel), tmp_path)


def test_a_run_fills_a_version_beside_the_old_one_and_publishes_it(works: Works) -> None:
    works.references.create("old", 4, works.embedder.model().fingerprint)
    works.references.publish("old", "references")
    run = works.submit(works.photos(50), shards=3)
    ended = works.finish(run)
    assert ended.state is JobState.SUCCEEDED, ended.failure
    assert ended.plan is not None
    assert (ended.plan.rows, ended.plan.shards, ended.total.written) == (50, 3, 50)
    assert works.references.aliases == {"references": ended.plan.collection}
    assert len(works.references.stored[ended.plan.collection]) == 50
    assert works.references.stored["old"] == {}
    assert ended.publication is not None
    assert (ended.publication.counted, ended.publication.previous) == (50, "old")
    assert (ended.publication.recall_similar, ended.publication.recall_dissimilar) == (1.0, 1.0)
    stored = works.references.stored[ended.plan.collection]["007.jpg"]
    assert stored.coordinates.latitude == 7
    assert stored.place.country


def test_rejects_are_counted_listed_and_left_out(works: Works) -> None:
    place = works.photos(20)
    (place / "003.jpg").write_bytes(b"no photo")
    (place / "004.jpg").unlink()
    same = jpeg(99, (640, 480))
    (place / "005.jpg").write_bytes(same)
    (place / "006.jpg").write_bytes(same)
    (place / "007.jpg").write_bytes(jpeg(8, (64, 48)) + b"\0" * 10)
    ended = works.finish(works.submit(place, shards=1))
    assert ended.state is JobState.SUCCEEDED, ended.failure
    assert (ended.total.read, ended.total.written, ended.total.rejected, ended.total.duplicates) == (20, 16, 2, 2)
    told = works.home.store.rejects(works.home.tenant, ended.ingest_id, after_row=-1, limit=99)
    assert [(reject.row, reject.reference_id, reject.code) for reject in told] == [
        (3, "003.jpg", "rejected"),
        (4, "004.jpg", "missing"),
        (6, "006.jpg", "duplicate"),
        (8, "008.jpg", "duplicate"),
    ]
    assert sum(ended.total.reasons.values()) == 4


def test_a_takeover_goes_on_inside_the_shard_and_embeds_nothing_twice(works: Works) -> None:
    place = works.photos(64)
    run = works.submit(place, shards=1)
    works.step()
    works.embedder.refused_for = {_sent(place, number) for number in range(32, 64)}
    assert works.step() == [Outcome.FAILED]
    shard = works.now(run).shards[0]
    assert (shard.tally.written, shard.state, shard.attempts) == (32, "pending", 2)
    assert "the device is gone" in shard.reason
    works.embedder.refused_for, works.embedder.calls = set(), []
    ended = works.finish(run)
    assert (ended.state, ended.total.written) == (JobState.SUCCEEDED, 64)
    assert sum(len(call) for call in works.embedder.calls) == 32


def test_two_calls_of_a_shard_are_with_the_embedding_service_at_once(works: Works) -> None:
    both = threading.Barrier(2)

    def meet(batch: int) -> None:
        # Broken, and the shard with it, if the second call came only after the first.
        if batch <= 2:
            both.wait(20)

    works.embedder.hook = meet
    ended = works.finish(works.submit(works.photos(64), shards=1))
    assert (ended.state, ended.total.written, ended.shards[0].attempts) == (JobState.SUCCEEDED, 64, 1)
    assert both.n_waiting == 0
    assert not both.broken


def test_what_is_embedded_behind_a_failure_is_not_recorded(works: Works) -> None:
    place = works.photos(64)
    run = works.submit(place, shards=1)
    works.step()
    works.embedder.refused_for = {_sent(place, 0)}
    assert works.step() == [Outcome.FAILED]
    shard = works.now(run).shards[0]
    assert (shard.tally.read, shard.state, shard.attempts) == (0, "pending", 2)
    works.embedder.refused_for = set()
    ended = works.finish(run)
    assert (ended.state, ended.total.written, ended.total.read) == (JobState.SUCCEEDED, 64, 64)
    assert ended.plan is not None
    assert len(works.references.stored[ended.plan.collection]) == 64
    assert sum(len(call) for call in works.embedder.calls) == 64


def test_what_was_written_and_not_recorded_is_counted_once(works: Works) -> None:
    run = works.submit(works.photos(40), shards=1)
    works.step()
    plan = works.now(run).plan
    assert plan is not None
    # As a worker leaves it that is killed between its upserts and its record.
    model = works.embedder.model().fingerprint
    first = works.finish(works.submit(works.folder / "photos", shards=1, collection="first", alias="first"))
    assert first.plan is not None
    written = list(works.references.stored["first"].values())[:16]
    works.references.upsert(plan.collection, model, written)
    works.home.execute("UPDATE stages SET attempt = 2 WHERE name = 'fill' AND state <> 'done'")
    ended = works.finish(run)
    assert (ended.state, ended.total.written) == (JobState.SUCCEEDED, 40), ended.failure


def test_a_worker_that_leaves_gives_the_shard_back_at_a_batch(works: Works) -> None:
    run = works.submit(works.photos(64), shards=1)
    works.step()

    def leave(batch: int) -> None:
        if batch == 3:
            works.leaving.set()

    works.embedder.hook = leave
    assert works.step() == [Outcome.RELEASED]
    shard = works.now(run).shards[0]
    assert 16 <= shard.tally.written < 64
    assert (shard.state, shard.attempts) == ("pending", 2)
    works.leaving.clear()
    ended = works.finish(run)
    assert (ended.state, ended.total.written) == (JobState.SUCCEEDED, 64)


def test_a_full_embedding_service_is_waited_for(works: Works) -> None:
    full = [Exhausted("full", retry_after_s=0.05) for _ in range(20)]
    works.embedder.errors = [None, *full, None]
    ended = works.finish(works.submit(works.photos(24), shards=1))
    assert (ended.state, ended.total.written, ended.shards[0].attempts) == (JobState.SUCCEEDED, 24, 1)


def test_cancelling_stops_a_shard_at_a_batch_and_publishes_nothing(works: Works) -> None:
    run = works.submit(works.photos(64), shards=1)
    works.step()

    def cancel(batch: int) -> None:
        if batch == 2:
            works.home.store.cancel_ingest(works.home.tenant, run.ingest_id)

    works.embedder.hook = cancel
    assert works.step() == [Outcome.LOST]
    ended = works.finish(run)
    assert ended.state is JobState.CANCELLED
    assert works.references.aliases == {}


@pytest.mark.parametrize(
    ("recall", "least", "reason"),
    [
        (Recall(0.90, 1.0), {}, "similar"),
        (Recall(0.99, 0.47), {}, "dissimilar"),
        (Recall(0.99, 0.98), {"least_recall_similar": 0.995}, "similar"),
        (None, {}, "unknown"),
    ],
)
def test_a_version_that_is_not_searched_well_stays_unpublished(
    works: Works, recall: Recall | None, least: dict[str, float], reason: str
) -> None:
    works.references.measured = recall
    ended = works.finish(works.submit(works.photos(12), **least))
    assert ended.state is JobState.FAILED
    assert ended.failure is not None
    assert ended.failure.message.startswith("not published")
    assert reason in ended.failure.message
    assert ended.publication is not None
    assert (ended.publication.counted, ended.publication.published) == (12, False)
    assert works.references.aliases == {}


def test_a_lost_reference_keeps_the_version_unpublished(works: Works) -> None:
    run = works.submit(works.photos(12), shards=1)
    works.step()
    works.step()
    plan = works.now(run).plan
    assert plan is not None
    works.references.stored[plan.collection].popitem()
    ended = works.finish(run)
    assert ended.failure is not None
    assert "12 references were accepted and the version has 11" in ended.failure.message
    assert works.references.aliases == {}


def test_a_version_with_references_is_resumed_only_when_asked(works: Works) -> None:
    place = works.photos(24)
    assert works.finish(works.submit(place, collection="mine", unpublished=True)).state is JobState.SUCCEEDED
    assert works.references.aliases == {}
    refused = works.finish(works.submit(place, collection="mine"))
    assert refused.failure is not None
    assert "holds 24 references already" in refused.failure.message
    works.embedder.calls = []
    resumed = works.finish(works.submit(place, collection="mine", resume=True))
    assert (resumed.state, resumed.total.held, resumed.total.written) == (JobState.SUCCEEDED, 24, 0)
    assert works.embedder.calls == []
    assert works.references.aliases == {"references": "mine"}


def test_near_duplicates_are_left_out_when_asked(works: Works) -> None:
    place = works.photos(20)
    # Of a wide fake vector no two are near by chance; these photos get the same one.
    works.embedder.dimension = 64
    twin = jpeg(3, (64, 48))
    (place / "010.jpg").write_bytes(twin + b"\0")
    ended = works.finish(works.submit(place, shards=1, near_duplicate=0.99, near_duplicate_in_collection=True))
    assert (ended.state, ended.total.written, ended.total.duplicates) == (JobState.SUCCEEDED, 19, 1)


def test_a_source_that_changes_under_a_run_fails_it(works: Works) -> None:
    place = works.photos(24)
    run = works.submit(place, shards=2)
    works.step()
    with (place / "photos.csv").open("a") as table:
        table.write("extra.jpg,1,2\n")
    ended = works.finish(run)
    assert ended.failure is not None
    assert "the source has changed" in ended.failure.message


@pytest.mark.parametrize(
    ("source", "reason"),
    [("/etc", "G3_INGEST_ROOTS"), ("world:count=0", "count"), ("relative", "absolute")],
)
def test_a_source_that_is_none_fails_the_run_with_the_reason(works: Works, source: str, reason: str) -> None:
    ended = works.finish(works.submit(source))
    assert (ended.state, ended.plan) == (JobState.FAILED, None)
    assert ended.failure is not None
    assert reason in ended.failure.message


def test_a_second_delivery_is_refused(works: Works) -> None:
    run = works.submit(works.photos(8))
    rows = works.home.ring()
    assert [deliver(works.run, _ref(row)) for row in rows] == [Outcome.COMPLETED]
    assert [deliver(works.run, _ref(row)) for row in rows] == [Outcome.REFUSED]
    assert works.now(run).state is JobState.FILLING
