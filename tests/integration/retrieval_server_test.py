"""The retrieval room as a process of its own: on milvus-lite, on FAISS, without either, and with Milvus dying."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
from g3_geography import Coordinates
from g3_kit import grpc_client
from g3_kit.errors import Conflict, Late, Mismatch, Missing, Rejected, TooLarge, Unavailable, Unmet
from g3_protos.geography.v1 import geography_pb2
from g3_protos.retrieval.v1 import retrieval_pb2 as pb
from g3_protos.retrieval.v1.retrieval_pb2_grpc import RetrievalServiceStub
from g3_protos.vector.v1.vector_pb2 import ImageVectors as VectorsMessage
from g3_protos.vector.v1.vector_pb2 import Vector
from g3_retrieval.references import ImageVectors, Reference, ReferenceVectors
from grpc_health.v1 import health_pb2, health_pb2_grpc

from tests.servers.milvus import MilvusLite, free_port, milvus_lite
from tests.servers.references import DIMENSION, MODEL, OTHER_MODEL, clustered, photo, query, sample, taken

SERVING, NOT_SERVING = health_pb2.HealthCheckResponse.SERVING, health_pb2.HealthCheckResponse.NOT_SERVING


def environment(**settings: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("G3_")}
    return {**kept, "OMP_NUM_THREADS": "1", **settings}


@contextmanager
def served(**settings: str) -> Iterator[grpc.Channel]:
    """A channel to a new process, which must drain and end with status 0 when told to."""
    port = free_port()
    process = subprocess.Popen(
        [sys.executable, "-m", "g3_retrieval"], env=environment(G3_RETRIEVAL_PORT=str(port), **settings)
    )
    try:
        with closing(grpc_client.channel(f"127.0.0.1:{port}")) as channel:
            wait_for(channel, SERVING)
            yield channel
    finally:
        process.send_signal(signal.SIGTERM)
        status = process.wait(60)
    assert status == 0


def wait_for(channel: grpc.Channel, status: int, within_s: float = 60.0) -> None:
    stub, ends = health_pb2_grpc.HealthStub(channel), time.monotonic() + within_s
    while True:
        try:
            if stub.Check(health_pb2.HealthCheckRequest(), timeout=5).status == status:
                return
        except Unavailable:
            pass
        assert time.monotonic() < ends, f"health is not {status} within {within_s} s"
        time.sleep(0.1)


@pytest.fixture(scope="module", params=["milvus", "faiss"])
def stub(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RetrievalServiceStub]:
    folder = tmp_path_factory.mktemp(request.param)
    if request.param == "faiss":
        with served(G3_RETRIEVAL_INDEX="faiss", G3_FAISS_PATH=str(folder), G3_DEVICE="cpu") as channel:
            yield RetrievalServiceStub(channel)
    else:
        with milvus_lite(folder) as uri, served(G3_MILVUS_URI=uri) as channel:
            yield RetrievalServiceStub(channel)


def message(vectors: ImageVectors) -> VectorsMessage:
    def one(name: str) -> Vector:
        values = getattr(vectors, name)
        return Vector(values=values.astype("<f4").tobytes(), dimension=len(values))

    return VectorsMessage(clip=one("clip"), text_aligned=one("text_aligned"), gps_aligned=one("gps_aligned"))


def item(reference: Reference, vectors: ImageVectors) -> pb.ReferenceVectors:
    where, place = reference.coordinates, reference.place
    return pb.ReferenceVectors(
        reference=pb.Reference(
            id=reference.id,
            coordinates=geography_pb2.Coordinates(latitude=where.latitude, longitude=where.longitude),
            place=geography_pb2.Place(
                city=place.city, state=place.state, country=place.country, country_code=place.country_code
            ),
            author=reference.author,
        ),
        vectors=message(vectors),
    )


def items(stored: ReferenceVectors) -> list[pb.ReferenceVectors]:
    return [item(reference, photo(stored, row)) for row, reference in enumerate(stored.references)]


def create(stub: RetrievalServiceStub, collection: str, stored: ReferenceVectors | None = None) -> None:
    stub.CreateCollection(pb.CreateCollectionRequest(collection=collection, dimension=DIMENSION, model=MODEL))
    if stored is not None:
        answer = stub.Upsert(pb.UpsertRequest(collection=collection, model=MODEL, references=items(stored)))
        assert (answer.written, dict(answer.errors)) == (len(stored), {})


def ask(collection: str, **asked: object) -> pb.SearchRequest:
    told = {"collection": collection, "model": MODEL, "vectors": message(query()), "similar": 5, **asked}
    return pb.SearchRequest(**told)  # type: ignore[arg-type]


def found_ids(matches: "list[pb.Match]") -> list[str]:
    return [match.reference.id for match in matches]


def test_many_photos_at_once_with_an_error_for_each_broken_one(stub: RetrievalServiceStub) -> None:
    stub.CreateCollection(pb.CreateCollectionRequest(collection="many", dimension=DIMENSION, model=MODEL), timeout=60)
    drawn = sample(30)
    references = [item(reference, photo(drawn, row)) for row, reference in enumerate(drawn.references)]
    stub.Upsert(pb.UpsertRequest(collection="many", model=MODEL, references=references), timeout=60)
    broken = VectorsMessage(clip=Vector(values=b"xx", dimension=DIMENSION))
    photos = [message(photo(drawn, 3)), broken, message(photo(drawn, 7))]
    asked = pb.SearchManyRequest(collection="many", model=MODEL, vectors=photos, similar=5)
    found = stub.SearchMany(asked, timeout=60)
    assert [result.WhichOneof("outcome") for result in found.results] == ["matches", "error", "matches"]
    for row, result in ((3, found.results[0]), (7, found.results[2])):
        alone = stub.Search(
            pb.SearchRequest(collection="many", model=MODEL, vectors=message(photo(drawn, row)), similar=5), timeout=60
        )
        assert list(result.matches.similar) == list(alone.similar)
        assert result.matches.similar[0].reference.id == drawn.references[row].id
    for changed, error in (
        ({"vectors": []}, Rejected),
        ({"vectors": photos[:1] * 257}, Rejected),
        ({"vectors": photos[:1] * 21, "similar": 1000}, TooLarge),
        ({"similar": 0}, Rejected),
        ({"model": OTHER_MODEL}, Mismatch),
        ({"collection": "nowhere"}, Missing),
    ):
        fields: dict[str, Any] = {"collection": "many", "model": MODEL, "vectors": photos, "similar": 5}
        with pytest.raises(error):
            stub.SearchMany(pb.SearchManyRequest(**fields | changed), timeout=60)


def test_the_life_of_a_collection(stub: RetrievalServiceStub) -> None:
    stored = sample(40)
    create(stub, "life_1", stored)
    create(stub, "life_2")
    with pytest.raises(Missing):
        stub.Describe(pb.DescribeRequest())
    assert stub.Publish(pb.PublishRequest(collection="life_2")).previous == ""
    assert stub.Publish(pb.PublishRequest(collection="life_1")).previous == "life_2"
    described = stub.Describe(pb.DescribeRequest()).collection
    assert (described.name, described.dimension, described.model) == ("life_1", DIMENSION, MODEL)
    assert (described.count, list(described.aliases)) == (40, ["references"])
    assert described.index in ("milvus/FLAT", "faiss/flat")

    own = message(photo(stored, 7))
    answer = stub.Search(ask("", vectors=own, similar=3, dissimilar=4, dissimilar_kind=pb.DISSIMILAR_FARTHEST))
    assert (answer.collection, answer.model) == ("life_1", MODEL)
    assert (len(answer.similar), len(answer.dissimilar)) == (3, 4)
    best = answer.similar[0]
    assert best.similarity == pytest.approx(1.0, abs=1e-6)
    assert best.reference == items(stored)[7].reference
    assert [m.similarity for m in answer.dissimilar] == sorted(m.similarity for m in answer.dissimilar)
    assert answer.dissimilar[-1].similarity < answer.similar[-1].similarity

    held = stub.Held(pb.HeldRequest(ids=["photo-00003", "nobody", "photo-00001"])).ids
    assert list(held) == ["photo-00003", "photo-00001"]
    with pytest.raises(Conflict):
        stub.Drop(pb.DropRequest(collection="life_1"))
    stub.Drop(pb.DropRequest(collection="life_2"))
    names = [c.name for c in stub.ListCollections(pb.ListCollectionsRequest()).collections]
    assert "life_1" in names
    assert "life_2" not in names


def test_a_listing_gives_everything_page_after_page(stub: RetrievalServiceStub) -> None:
    stored = sample(45)
    create(stub, "listed", stored)
    asked = pb.ListReferencesRequest(collection="listed", page_size=20, with_vectors=True)
    references: list[pb.Reference] = []
    vectors: list[VectorsMessage] = []
    sizes = []
    while True:
        page = stub.ListReferences(asked)
        assert (page.collection, page.model, len(page.vectors)) == ("listed", MODEL, len(page.references))
        references += page.references
        vectors += page.vectors
        sizes.append(len(page.references))
        asked.page_token = page.next_page_token
        if not page.next_page_token:
            break
    assert sizes == [20, 20, 5]
    assert references == [item.reference for item in items(stored)]
    for row, got in enumerate(vectors):
        own = photo(stored, row)
        for name in ("clip", "text_aligned", "gps_aligned"):
            block = getattr(got, name)
            assert block.dimension == DIMENSION
            assert np.frombuffer(block.values, "<f4") == pytest.approx(getattr(own, name), abs=1e-6)
    bare = stub.ListReferences(pb.ListReferencesRequest(collection="listed", filter=pb.Filter(country_codes=["NZ"])))
    assert [each.place.country_code for each in bare.references] == ["NZ"] * 9
    assert (list(bare.vectors), bare.next_page_token) == ([], "")
    with pytest.raises(Rejected):
        stub.ListReferences(pb.ListReferencesRequest(page_token="none of ours"))


def test_a_kind_of_index_is_asked_for_measured_and_published(stub: RetrievalServiceStub) -> None:
    stored = clustered(1_200, dimension=DIMENSION)
    wish = pb.CreateCollectionRequest(
        collection="graph", dimension=DIMENSION, model=MODEL, kind=pb.INDEX_KIND_HNSW_SQ, expected_references=1_200
    )
    made = stub.CreateCollection(wish).collection
    assert (made.kind, made.build_parameters["M"], made.search_parameters["ef"]) == (wish.kind, "32", "128")
    assert made.index in ("milvus/HNSW_SQ", "faiss/hnsw_sq")
    for start in range(0, 1_200, 600):
        some = taken(stored, slice(start, start + 600))
        assert stub.Upsert(pb.UpsertRequest(collection="graph", model=MODEL, references=items(some))).written == 600
    asked = pb.MeasureRecallRequest(collection="graph", sample=20, k=5, seed=7)
    measured = stub.MeasureRecall(asked, timeout=60)
    assert (measured.collection, measured.references, measured.sample, measured.k) == ("graph", 1_200, 20, 5)
    assert measured.similar.mean > 0.9
    assert 0.0 <= measured.similar.worst <= measured.similar.mean
    assert measured.farthest.mean == 1.0

    asked.collection = ""
    refused = stub.Publish.future(pb.PublishRequest(collection="graph", alias="gate", minimum_recall=1.1, recall=asked))
    assert isinstance(refused.exception(), Rejected)
    published = stub.Publish(pb.PublishRequest(collection="graph", alias="gate", minimum_recall=0.9, recall=asked))
    assert (published.previous, published.recall) == ("", measured)
    assert stub.Describe(pb.DescribeRequest(collection="gate")).collection.kind == pb.INDEX_KIND_HNSW_SQ
    found = stub.Search(ask("gate", dissimilar=3, dissimilar_kind=pb.DISSIMILAR_FARTHEST))
    assert (len(found.similar), len(found.dissimilar), found.farthest_sample) == (5, 3, measured.farthest_sample)

    wish.kind = pb.INDEX_KIND_FLAT
    with pytest.raises(Conflict):
        stub.CreateCollection(wish)
    wish.collection, wish.kind = "cagra", pb.INDEX_KIND_GPU_CAGRA
    call = stub.CreateCollection.future(wish)
    assert isinstance(call.exception(), Unmet)
    assert call.code() is grpc.StatusCode.FAILED_PRECONDITION
    wish.kind = 17  # type: ignore[assignment]
    with pytest.raises(Rejected):
        stub.CreateCollection(wish)


def test_a_collection_without_references_does_not_pass_the_gate(stub: RetrievalServiceStub) -> None:
    create(stub, "hollow")
    call = stub.Publish.future(pb.PublishRequest(collection="hollow", alias="never", minimum_recall=0.5))
    assert isinstance(call.exception(), Unmet)
    assert call.code() is grpc.StatusCode.FAILED_PRECONDITION
    with pytest.raises(Missing):
        stub.Describe(pb.DescribeRequest(collection="never"))


def test_a_measurement_ends_with_its_caller_and_goes_on_with_the_next(stub: RetrievalServiceStub) -> None:
    create(stub, "cut", sample(1_000))
    create(stub, "cut", sample(1_000, seed=1, prefix="more"))
    asked = pb.MeasureRecallRequest(collection="cut", sample=200)
    tries, measured = 0, None
    while measured is None:
        tries += 1
        assert tries < 200
        try:
            # The first caller waits for less than any machine takes, later ones for longer and longer.
            measured = stub.MeasureRecall(asked, timeout=0.01 * tries)
        except (Late, Conflict):
            # Late, or the call before has not noticed yet that nobody waits for it.
            time.sleep(0.1)
    assert tries > 1
    assert (measured.references, measured.sample) == (2_000, 200)
    assert measured.similar.mean == 1.0


def test_one_broken_reference_never_fails_its_neighbours(stub: RetrievalServiceStub) -> None:
    create(stub, "broken")

    def spoil(number: int, change: Callable[[pb.ReferenceVectors], object]) -> pb.ReferenceVectors:
        good = items(sample(12))[number]
        change(good)
        return good

    zeros = Vector(values=bytes(4 * DIMENSION), dimension=DIMENSION)
    nans = Vector(values=b"\x00\x00\xc0\x7f" * DIMENSION, dimension=DIMENSION)
    sent = [
        spoil(0, lambda one: None),
        spoil(1, lambda one: one.vectors.clip.CopyFrom(zeros)),
        spoil(2, lambda one: one.vectors.gps_aligned.CopyFrom(nans)),
        spoil(3, lambda one: one.vectors.CopyFrom(message(query(dimension=DIMENSION + 1)))),
        spoil(4, lambda one: one.vectors.ClearField("text_aligned")),
        spoil(5, lambda one: setattr(one.reference, "id", "")),
        spoil(6, lambda one: setattr(one.reference, "id", "é" * 101)),
        spoil(7, lambda one: setattr(one.reference.coordinates, "latitude", 90.5)),
        spoil(8, lambda one: one.reference.ClearField("coordinates")),
        spoil(9, lambda one: setattr(one.reference.place, "country_code", "fr")),
        spoil(10, lambda one: setattr(one.reference, "author", "a\0b")),
        spoil(11, lambda one: None),
    ]
    answer = stub.Upsert(pb.UpsertRequest(collection="broken", model=MODEL, references=sent))
    assert answer.written == 2
    codes = {number: error.code for number, error in answer.errors.items()}
    assert codes == {3: "mismatch", **dict.fromkeys((1, 2, 4, 5, 6, 7, 8, 9, 10), "rejected")}
    assert all(error.message for error in answer.errors.values())
    asked = pb.HeldRequest(collection="broken", ids=["photo-00000", "photo-00001", "photo-00011"])
    assert list(stub.Held(asked).ids) == ["photo-00000", "photo-00011"]


def test_another_model_is_refused_whole(stub: RetrievalServiceStub) -> None:
    create(stub, "model_a", sample(3))
    with pytest.raises(Mismatch):
        stub.Search(ask("model_a", model=OTHER_MODEL))
    with pytest.raises(Mismatch):
        stub.Search(ask("model_a", vectors=message(query(dimension=4))))
    with pytest.raises(Mismatch):
        stub.Upsert(pb.UpsertRequest(collection="model_a", model=OTHER_MODEL, references=items(sample(1))))
    with pytest.raises(Conflict):
        stub.CreateCollection(pb.CreateCollectionRequest(collection="model_a", dimension=DIMENSION, model=OTHER_MODEL))


def test_a_mismatch_travels_as_failed_precondition(stub: RetrievalServiceStub) -> None:
    create(stub, "model_b")
    call = stub.Search.future(ask("model_b", model=OTHER_MODEL))
    assert isinstance(call.exception(), Mismatch)
    assert call.code() is grpc.StatusCode.FAILED_PRECONDITION


def test_bad_requests_say_what_to_mend(stub: RetrievalServiceStub) -> None:
    create(stub, "bad", sample(3))
    box = geography_pb2.BoundingBox(south=10, north=-10)
    thousand_and_one = items(sample(1)) * 1_001
    rejected: list[Callable[[], object]] = [
        lambda: stub.CreateCollection(pb.CreateCollectionRequest(collection="1st", dimension=8, model=MODEL)),
        lambda: stub.CreateCollection(pb.CreateCollectionRequest(collection="x" * 101, dimension=8, model=MODEL)),
        lambda: stub.CreateCollection(pb.CreateCollectionRequest(collection="ok", dimension=0, model=MODEL)),
        lambda: stub.CreateCollection(pb.CreateCollectionRequest(collection="ok", dimension=5_000, model=MODEL)),
        lambda: stub.CreateCollection(pb.CreateCollectionRequest(collection="ok", dimension=8, model="not hex!")),
        lambda: stub.Publish(pb.PublishRequest(collection="bad", alias='x"')),
        lambda: stub.Search(ask("bad", similar=1_001)),
        lambda: stub.Search(ask("bad", dissimilar=1_001, dissimilar_kind=pb.DISSIMILAR_HARD)),
        lambda: stub.Search(ask("bad", retrieval_vector=17)),
        lambda: stub.Search(ask("bad", dissimilar_kind=17)),
        lambda: stub.Search(ask("bad", vectors=VectorsMessage())),
        lambda: stub.Search(ask("bad", filter=pb.Filter(country_codes=["FRA"]))),
        lambda: stub.Search(ask("bad", filter=pb.Filter(bounding_box=box))),
        lambda: stub.Search(ask("bad", filter=pb.Filter(excluded_ids=["x" * 201]))),
    ]
    for number, call in enumerate(rejected):
        with pytest.raises(Rejected) as refused:
            call()
        assert str(refused.value), number
    too_large: list[Callable[[], object]] = [
        lambda: stub.Upsert(pb.UpsertRequest(collection="bad", model=MODEL, references=thousand_and_one)),
        lambda: stub.Held(pb.HeldRequest(collection="bad", ids=["x"] * 10_001)),
        lambda: stub.Search(ask("bad", filter=pb.Filter(excluded_ids=["x"] * 10_001))),
    ]
    for call in too_large:
        with pytest.raises(TooLarge):
            call()
    for missing in (lambda: stub.Search(ask("nobody")), lambda: stub.Drop(pb.DropRequest(collection="nobody"))):
        with pytest.raises(Missing):
            missing()
    assert len(stub.Search(ask("bad")).similar) == 3


def test_a_swap_under_search_gives_one_version_or_the_other(stub: RetrievalServiceStub) -> None:
    versions = ["swap_0", "swap_1"]
    for number, collection in enumerate(versions):
        create(stub, collection, sample(20, seed=number, prefix=collection))
    stub.Publish(pb.PublishRequest(collection=versions[0], alias="swapped"))
    done = threading.Event()

    def search() -> list[tuple[str, set[str]]]:
        seen = []
        while not done.is_set():
            answer = stub.Search(ask("swapped", similar=20))
            assert len(answer.similar) == 20
            seen.append((answer.collection, {i.split("-")[0] for i in found_ids(list(answer.similar))}))
        return seen

    with ThreadPoolExecutor(4) as pool:
        searching = [pool.submit(search) for _ in range(4)]
        for turn in range(20):
            previous = stub.Publish(pb.PublishRequest(collection=versions[(turn + 1) % 2], alias="swapped")).previous
            assert previous == versions[turn % 2]
            # Published is published: whoever asks from now on gets the new one.
            assert stub.Search(ask("swapped")).collection == versions[(turn + 1) % 2]
        done.set()
        seen = [answer for searched in searching for answer in searched.result()]
    assert {collection for collection, _ in seen} <= set(versions)
    assert all(prefixes == {collection} for collection, prefixes in seen)


def test_a_batch_as_large_as_the_contract_allows_fits(stub: RetrievalServiceStub) -> None:
    width = 768
    stub.CreateCollection(pb.CreateCollectionRequest(collection="wide", dimension=width, model=MODEL))
    stored = sample(1_000, dimension=width)
    sent = pb.UpsertRequest(collection="wide", model=MODEL, references=items(stored))
    assert stub.Upsert(sent, timeout=120).written == 1_000
    found = stub.Search(ask("wide", vectors=message(photo(stored, 999)), similar=1), timeout=60)
    assert found_ids(list(found.similar)) == ["photo-00999"]


def test_places_come_back_with_the_precision_they_went_in(stub: RetrievalServiceStub) -> None:
    create(stub, "precise")
    told = Reference("p", Coordinates(0.1 + 0.2, -179.99999999999997), sample(1).references[0].place)
    stub.Upsert(pb.UpsertRequest(collection="precise", model=MODEL, references=[item(told, query())]))
    [only] = stub.Search(ask("precise")).similar
    where = only.reference.coordinates
    assert (where.latitude, where.longitude) == (told.coordinates.latitude, told.coordinates.longitude)


@pytest.mark.parametrize(
    ("settings", "lacking"),
    [
        ({}, "G3_MILVUS_URI"),
        ({"G3_RETRIEVAL_INDEX": "faiss"}, "G3_FAISS_PATH"),
        ({"G3_RETRIEVAL_INDEX": "pinecone"}, "G3_RETRIEVAL_INDEX"),
    ],
)
def test_it_says_what_it_lacks(settings: dict[str, str], lacking: str) -> None:
    command = [sys.executable, "-m", "g3_retrieval"]
    ended = subprocess.run(command, env=environment(**settings), capture_output=True, text=True, timeout=60)
    assert ended.returncode == 2
    assert lacking in ended.stderr
    assert "Traceback" not in ended.stderr


def test_without_a_milvus_behind_the_address_it_ends_with_one_clear_line() -> None:
    settings = environment(G3_MILVUS_URI=f"http://127.0.0.1:{free_port()}", G3_LOG_LEVEL="ERROR")
    command = [sys.executable, "-m", "g3_retrieval"]
    ended = subprocess.run(command, env=settings, capture_output=True, text=True, timeout=60)
    assert ended.returncode == 1
    assert "the vector store is away" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_health_tells_of_a_dead_milvus_and_of_its_return(tmp_path: Path) -> None:
    with MilvusLite(tmp_path) as milvus, served(G3_MILVUS_URI=milvus.uri) as channel:
        stub = RetrievalServiceStub(channel)
        create(stub, "lives", sample(30))
        stub.Publish(pb.PublishRequest(collection="lives"))
        milvus.kill()
        wait_for(channel, NOT_SERVING, 15)
        with pytest.raises(Unavailable):
            stub.Search(ask(""), timeout=10)
        milvus.start()
        wait_for(channel, SERVING, 30)
        # The restarted server has released the collection; nobody but the room does anything about it.
        assert len(stub.Search(ask(""), timeout=30).similar) == 5
        assert stub.Describe(pb.DescribeRequest()).collection.count == 30
