"""One contract for ingest's ports: in memory, and the same over real gRPC."""

from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass

import pytest
from g3_geography import Coordinates, Place
from g3_ingest.embedder import Embedder, PhotoVectors
from g3_ingest.fakes import FakeEmbedder, FakeReferences
from g3_ingest.grpc_embedder import GrpcEmbedder
from g3_ingest.grpc_references import GrpcReferences
from g3_ingest.references import Collection, Reference, References
from g3_kit import grpc_client
from g3_kit.errors import Conflict, Exhausted, Mismatch, Missing, Rejected

from tests.servers.ingest_servicers import ingest_server
from tests.servers.photos import jpeg

PHOTOS = [jpeg(seed, (32, 32)) for seed in range(3)]


@dataclass
class Ports:
    """The ports under test and the fakes behind them."""

    embedder: Embedder
    references: References
    fake_embedder: FakeEmbedder
    fake_references: FakeReferences


@pytest.fixture(params=["fake", "grpc"])
def ports(request: pytest.FixtureRequest) -> Iterator[Ports]:
    embedder, references = FakeEmbedder(), FakeReferences()
    if request.param == "fake":
        yield Ports(embedder, references, embedder, references)
        return
    serving = ingest_server(embedder, references)
    serving.start()
    try:
        with closing(grpc_client.channel(f"127.0.0.1:{serving.port}")) as channel:
            yield Ports(GrpcEmbedder(channel), GrpcReferences(channel), embedder, references)
    finally:
        serving.stop(0)


def reference(ports: Ports, id_: str, photo: bytes = PHOTOS[0]) -> Reference:
    (vectors,) = ports.embedder.embed([photo], ports.embedder.model().fingerprint)
    assert isinstance(vectors, PhotoVectors)
    place = Place("Paris", "Île-de-France", "France", "FR")
    return Reference(id_, Coordinates(48.8566, -180.0), place, "Ann", vectors)


def test_the_model_describes_itself(ports: Ports) -> None:
    assert ports.embedder.model() == FakeEmbedder().model()


def test_photos_become_vectors_in_order(ports: Ports) -> None:
    fingerprint = ports.embedder.model().fingerprint
    together = ports.embedder.embed(PHOTOS, fingerprint)
    assert together == [ports.embedder.embed([photo], fingerprint)[0] for photo in PHOTOS]
    for vectors in together:
        assert isinstance(vectors, PhotoVectors)
        assert len(vectors.clip) == len(vectors.text_aligned) == len(vectors.gps_aligned) == 4 * vectors.dimension


def test_a_bad_photo_is_an_error_of_its_item(ports: Ports) -> None:
    import hashlib

    ports.fake_embedder.refused = {hashlib.sha256(PHOTOS[1]).hexdigest()}
    good, bad, other = ports.embedder.embed(PHOTOS, ports.embedder.model().fingerprint)
    assert isinstance(bad, Rejected)
    assert bad.message
    assert isinstance(good, PhotoVectors)
    assert isinstance(other, PhotoVectors)


def test_refusals_of_the_embedder(ports: Ports) -> None:
    with pytest.raises(Mismatch):
        ports.embedder.embed(PHOTOS, "f" * 64)
    ports.fake_embedder.errors = [Exhausted("full", retry_after_s=3)]
    with pytest.raises(Exhausted) as caught:
        ports.embedder.embed(PHOTOS, ports.embedder.model().fingerprint)
    assert caught.value.retry_after_s == 3


def test_a_collection_is_made_once_for_one_model(ports: Ports) -> None:
    made = ports.references.create("mine", 4, "a" * 64)
    assert made == Collection("mine", 4, "a" * 64, 0, ())
    assert ports.references.create("mine", 4, "a" * 64) == made
    with pytest.raises(Conflict):
        ports.references.create("mine", 4, "b" * 64)
    with pytest.raises(Conflict):
        ports.references.create("mine", 5, "a" * 64)


def test_references_are_stored_whole_and_replaced_by_id(ports: Ports) -> None:
    model = ports.embedder.model()
    ports.references.create("mine", model.dimension, model.fingerprint)
    first, second = reference(ports, "a/b.jpg"), reference(ports, "c", PHOTOS[1])
    assert ports.references.upsert("mine", model.fingerprint, [first, second]) == {}
    changed = reference(ports, "c", PHOTOS[2])
    assert ports.references.upsert("mine", model.fingerprint, [changed]) == {}
    assert ports.fake_references.stored["mine"] == {"a/b.jpg": first, "c": changed}
    assert ports.references.describe("mine").count == 2
    assert ports.references.held("mine", ["c", "x", "a/b.jpg"]) == {"a/b.jpg", "c"}
    assert ports.references.held("mine", []) == set()


def test_refusals_of_references(ports: Ports) -> None:
    model = ports.embedder.model()
    ports.references.create("mine", model.dimension, model.fingerprint)
    ports.fake_references.refused = {"bad"}
    given = [reference(ports, "good"), reference(ports, "bad")]
    errors = ports.references.upsert("mine", model.fingerprint, given)
    assert {index: type(error) for index, error in errors.items()} == {1: Rejected}
    with pytest.raises(Mismatch):
        ports.references.upsert("mine", "f" * 64, given)
    for call in (
        lambda: ports.references.upsert("absent", model.fingerprint, given),
        lambda: ports.references.held("absent", ["a"]),
        lambda: ports.references.describe("absent"),
        lambda: ports.references.publish("absent", "references"),
    ):
        with pytest.raises(Missing):
            call()


def test_an_alias_names_a_version(ports: Ports) -> None:
    ports.references.create("one", 4, "a" * 64)
    ports.references.create("two", 4, "a" * 64)
    assert ports.references.publish("one", "references") == ""
    assert ports.references.describe("references").name == "one"
    assert ports.references.publish("two", "references") == "one"
    assert ports.references.describe("two").aliases == ("references",)
    assert ports.references.describe("one").aliases == ()
