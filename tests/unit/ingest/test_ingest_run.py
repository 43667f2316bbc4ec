"""The run, with the fakes: what lands, what is skipped, what is refused, how it ends."""

import hashlib
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest
from g3_geography import Coordinates
from g3_ingest.embedder import PhotoVectors
from g3_ingest.fakes import FakeEmbedder, FakeReferences
from g3_ingest.ingest import Ingest, Patience, Progress
from g3_ingest.references import Reference
from g3_ingest.sources import Entry, Listing, Reject
from g3_kit.errors import Exhausted, G3Error, Mismatch, Unavailable
from g3_photo import clean

from tests.servers.photos import jpeg

QUICK = Patience(total_s=0.5, every_s=0.01)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("photos")
    for number in range(10):
        (made / f"{number}.jpg").write_bytes(jpeg(number, (64, 48)))
    return made


def listing(folder: Path, count: int = 10) -> Listing:
    entries = [Entry(f"{n}.jpg", folder / f"{n}.jpg", Coordinates(10.0 + n, 20.0)) for n in range(count)]
    return Listing(entries)


def default_name(embedder: FakeEmbedder) -> str:
    return f"references_{embedder.model().fingerprint[:12]}"


def test_photos_land_with_vectors_places_and_an_alias(folder: Path) -> None:
    embedder, references, seen = FakeEmbedder(), FakeReferences(), list[Progress]()
    ingest = Ingest(embedder, references, batch=4, on_progress=seen.append)
    report = ingest.run(listing(folder), alias="references")
    name = default_name(embedder)
    assert (report.collection, report.found, report.written, report.held, report.rejected) == (name, 10, 10, 0, 0)
    assert report.published
    assert (report.interrupted, report.failure, report.trained) == (False, "", False)
    assert references.aliases == {"references": name}
    assert [len(call) for call in embedder.calls] == [4, 4, 2]
    stored = references.stored[name]["3.jpg"]
    assert stored.coordinates == Coordinates(13.0, 20.0)
    assert stored.place.country
    photo = clean((folder / "3.jpg").read_bytes()).jpeg
    assert stored.vectors == embedder.embed([photo], embedder.model().fingerprint)[0]
    assert [progress.done for progress in seen] == [0, 4, 8, 10]
    assert {progress.total for progress in seen} == {10}


def test_a_second_run_does_only_what_is_left(folder: Path) -> None:
    embedder, references = FakeEmbedder(), FakeReferences()
    Ingest(embedder, references).run(listing(folder, 6), alias="references")
    embedder.calls.clear()
    report = Ingest(embedder, references).run(listing(folder), alias="references")
    assert (report.held, report.written) == (6, 4)
    assert [len(call) for call in embedder.calls] == [4]
    again = Ingest(embedder, references).run(listing(folder), alias="references")
    assert (again.held, again.written, again.published) == (10, 0, True)
    assert len(embedder.calls) == 1


def test_a_batch_is_never_more_than_the_embedder_takes(folder: Path) -> None:
    embedder = FakeEmbedder(max_items=3)
    assert Ingest(embedder, FakeReferences(), batch=100).run(listing(folder)).written == 10
    assert [len(call) for call in embedder.calls] == [3, 3, 3, 1]


def test_refusals_of_every_step_are_listed_and_the_rest_lands(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "broken.jpg").write_bytes(b"no photo")
    offered = listing(folder, 4)
    offered.entries.insert(1, Entry("broken.jpg", tmp_path / "broken.jpg", Coordinates(1, 2)))
    offered.entries.insert(2, Entry("absent.jpg", tmp_path / "absent.jpg", Coordinates(1, 2)))
    offered.rejects.append(Reject("row 9", "rejected", "out of range"))
    unseen = hashlib.sha256(clean((folder / "2.jpg").read_bytes()).jpeg).hexdigest()
    embedder, references = FakeEmbedder(refused={unseen}), FakeReferences()
    references.refused = {"3.jpg"}
    report = Ingest(embedder, references, batch=2).run(offered, alias="references")
    assert (report.found, report.written, report.rejected) == (7, 2, 5)
    codes = {reject.id: reject.code for reject in report.rejects}
    assert codes == {
        "row 9": "rejected",
        "broken.jpg": "rejected",
        "absent.jpg": "missing",
        "2.jpg": "rejected",
        "3.jpg": "rejected",
    }
    assert sorted(references.stored[report.collection]) == ["0.jpg", "1.jpg"]
    assert report.published


def test_nothing_is_published_when_told_not_to_or_when_nothing_landed(folder: Path, tmp_path: Path) -> None:
    references = FakeReferences()
    assert not Ingest(FakeEmbedder(), references).run(listing(folder), alias="references", publish=False).published
    report = Ingest(FakeEmbedder("other"), references).run(
        Listing([Entry("a", tmp_path / "a", Coordinates(1, 2))]), alias="references"
    )
    assert (report.written, report.rejected, report.published) == (0, 1, False)
    assert references.aliases == {}


def test_the_alias_moves_to_a_new_models_collection(folder: Path) -> None:
    references = FakeReferences()
    first = Ingest(FakeEmbedder("one"), references).run(listing(folder), alias="references")
    second = Ingest(FakeEmbedder("two"), references).run(listing(folder), alias="references")
    assert first.collection != second.collection
    assert references.aliases == {"references": second.collection}


def test_a_collection_of_another_model_is_refused(folder: Path) -> None:
    references = FakeReferences()
    Ingest(FakeEmbedder("one"), references).run(listing(folder), collection="mine")
    with pytest.raises(Mismatch) as caught:
        Ingest(FakeEmbedder("two"), references).run(listing(folder), collection="mine")
    for part in ("mine", FakeEmbedder("one").model().fingerprint[:12], FakeEmbedder("two").model().fingerprint[:12]):
        assert part in caught.value.message


def test_a_full_or_absent_service_is_waited_for(folder: Path) -> None:
    embedder = FakeEmbedder(errors=[Exhausted("full", retry_after_s=0.01), None, Unavailable("away")])
    references = FakeReferences()
    references.errors = [Unavailable("away"), Unavailable("away")]
    report = Ingest(embedder, references, batch=4, patience=QUICK).run(listing(folder), alias="references")
    assert (report.written, report.failure) == (10, "")


@pytest.mark.parametrize("error", [Unavailable("the service is away"), Mismatch("another model is served")])
def test_a_lasting_failure_ends_the_run_with_what_is_done(folder: Path, error: G3Error) -> None:
    embedder, references = FakeEmbedder(errors=[None, *[error] * 999]), FakeReferences()
    report = Ingest(embedder, references, batch=4, patience=QUICK).run(listing(folder), alias="references")
    assert (report.written, report.failure) == (4, error.message)
    assert not report.published
    assert references.aliases == {}
    assert len(references.stored[report.collection]) == 4


class StepsAside(FakeEmbedder):
    """Says when the second batch is asked for, and holds it until it may go on."""

    def __init__(self) -> None:
        super().__init__()
        self.go_on = threading.Event()

    def embed(self, photos: Sequence[bytes], model: str) -> list[PhotoVectors | G3Error]:
        if len(self.calls) == 1:
            assert self.go_on.wait(30)
        return super().embed(photos, model)


def test_steps_of_successive_batches_run_side_by_side(folder: Path) -> None:
    """The first batch is written while the second is embedded: done one after the other, this would never end."""
    embedder = StepsAside()

    class Waking(FakeReferences):
        def upsert(self, collection: str, model: str, references: Sequence[Reference]) -> Mapping[int, G3Error]:
            embedder.go_on.set()
            return super().upsert(collection, model, references)

    assert Ingest(embedder, Waking(), batch=5).run(listing(folder)).written == 10


def test_ctrl_c_ends_with_what_is_done_and_nothing_is_published(folder: Path) -> None:
    embedder, references = FakeEmbedder(), FakeReferences()

    def interrupt(progress: Progress) -> None:
        if 0 < progress.done < 10 and not interrupted:
            interrupted.append(progress)
            raise KeyboardInterrupt

    interrupted: list[Progress] = []
    report = Ingest(embedder, references, batch=2, on_progress=interrupt).run(listing(folder), alias="references")
    assert report.interrupted
    assert not report.published
    assert references.aliases == {}
    assert 2 <= report.written == len(references.stored[report.collection])
    resumed = Ingest(embedder, references).run(listing(folder), alias="references")
    assert (resumed.held, resumed.written, resumed.published) == (report.written, 10 - report.written, True)


def test_an_empty_listing_writes_nothing() -> None:
    report = Ingest(FakeEmbedder(), FakeReferences()).run(Listing(), alias="references")
    assert (report.found, report.written, report.published) == (0, 0, False)
