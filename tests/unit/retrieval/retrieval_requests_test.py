"""What callers may ask: limits, conversion of messages, settings, and the pulse of the index."""

import itertools
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from g3_kit.errors import Mismatch, Missing, Rejected, TooLarge
from g3_kit.settings import load
from g3_protos.geography.v1.geography_pb2 import BoundingBox, Coordinates, Place
from g3_protos.retrieval.v1 import retrieval_pb2 as pb
from g3_protos.vector.v1 import vector_pb2
from g3_retrieval import convert
from g3_retrieval.faiss_index import FaissIndex
from g3_retrieval.pulse import Pulse
from g3_retrieval.references import Dissimilar, Filter, RetrievalVector, Search
from g3_retrieval.service import MAX_EXCLUDED, MAX_FOUND, MAX_HELD, MAX_UPSERTED, Retrieval
from g3_retrieval.settings import RetrievalSettings

from tests.servers.references import DIMENSION, MODEL, OTHER_MODEL, query, sample


@pytest.fixture
def retrieval(tmp_path: Path) -> Iterator[Retrieval]:
    with closing(FaissIndex(tmp_path, "cpu")) as index:
        made = Retrieval(index)
        made.create("v1", DIMENSION, MODEL)
        yield made


SEARCH = Search("v1", MODEL, query(), similar=3)


def test_the_default_alias_is_references(retrieval: Retrieval) -> None:
    with pytest.raises(Missing):
        retrieval.describe("")
    assert retrieval.publish("v1", "") == ("", None)
    assert retrieval.describe("").aliases == ("references",)
    assert list(retrieval.held("", ["a"])) == []


def test_a_batch_of_nothing_writes_nothing(retrieval: Retrieval) -> None:
    assert retrieval.upsert("v1", MODEL, sample(0)) == 0
    assert retrieval.upsert("v1", MODEL, sample(4)) == 4


def test_limits_are_kept_to_the_last_one(retrieval: Retrieval) -> None:
    retrieval.check_upsert("v1", MODEL, MAX_UPSERTED)
    with pytest.raises(TooLarge):
        retrieval.check_upsert("v1", MODEL, MAX_UPSERTED + 1)
    retrieval.held("v1", ["a"] * MAX_HELD)
    with pytest.raises(TooLarge):
        retrieval.held("v1", ["a"] * (MAX_HELD + 1))
    with pytest.raises(Rejected):
        retrieval.held("v1", ["a" * 201])
    retrieval.search(replace(SEARCH, similar=MAX_FOUND, dissimilar=MAX_FOUND))
    for field in ("similar", "dissimilar"):
        with pytest.raises(Rejected) as refused:
            retrieval.search(replace(SEARCH, **{field: MAX_FOUND + 1}))  # type: ignore[arg-type]
        assert refused.value.field == field
    for field in ("excluded_ids", "excluded_authors"):
        retrieval.search(replace(SEARCH, filter=Filter(**{field: ("a",) * MAX_EXCLUDED})))  # type: ignore[arg-type]
        with pytest.raises(TooLarge):
            retrieval.search(replace(SEARCH, filter=Filter(**{field: ("a",) * (MAX_EXCLUDED + 1)})))  # type: ignore[arg-type]


def test_bad_names_widths_and_models_reach_no_index(retrieval: Retrieval) -> None:
    for ask in (
        lambda: retrieval.create("a-b", 8, MODEL),
        lambda: retrieval.create("ab", 0, MODEL),
        lambda: retrieval.create("ab", 4097, MODEL),
        lambda: retrieval.create("ab", 8, "no fingerprint"),
        lambda: retrieval.check_upsert("a-b", MODEL, 1),
        lambda: retrieval.publish("v1", "a-b"),
        lambda: retrieval.drop("a-b"),
        lambda: retrieval.describe("a-b"),
        lambda: retrieval.held("a-b", []),
        lambda: retrieval.search(replace(SEARCH, collection="a-b")),
        lambda: retrieval.search(replace(SEARCH, model="")),
    ):
        with pytest.raises(Rejected):
            ask()
    with pytest.raises(Mismatch):
        retrieval.check_upsert("v1", OTHER_MODEL, 1)


def vector(width: int = 8, size: int | None = None) -> vector_pb2.Vector:
    values = np.eye(1, width, dtype="<f4")[0].tobytes()
    return vector_pb2.Vector(values=values[:size], dimension=width)


def image(**changes: vector_pb2.Vector) -> vector_pb2.ImageVectors:
    three = {"clip": vector(), "text_aligned": vector(), "gps_aligned": vector()} | changes
    return vector_pb2.ImageVectors(**three)


@pytest.mark.parametrize("size", [0, 31, 28])
def test_bytes_that_do_not_hold_the_width_are_refused(size: int) -> None:
    with pytest.raises(Rejected) as refused:
        convert.vectors_of(image(text_aligned=vector(size=size)))
    assert refused.value.field == "text_aligned"
    with pytest.raises(Rejected):
        convert.vectors_of(image(clip=vector_pb2.Vector()))


def test_a_search_travels_whole() -> None:
    message = pb.SearchRequest(
        model=MODEL,
        vectors=image(),
        retrieval_vector=pb.RETRIEVAL_VECTOR_CLIP_GPS,
        similar=4,
        dissimilar=2,
        dissimilar_kind=pb.DISSIMILAR_HARD,
        filter=pb.Filter(
            country_codes=["FR"],
            bounding_box=BoundingBox(south=-1, west=2, north=3, east=4),
            excluded_ids=["a"],
            excluded_authors=["b"],
        ),
    )
    search = convert.search_of(message)
    assert (search.collection, search.model, search.similar, search.dissimilar) == ("references", MODEL, 4, 2)
    assert (search.retrieval_vector, search.dissimilar_kind) == (RetrievalVector.CLIP_GPS, Dissimilar.HARD)
    box = search.filter.bounding_box
    assert box is not None
    assert (box.south, box.west, box.north, box.east) == (-1, 2, 3, 4)
    assert search.filter == Filter(("FR",), box, ("a",), ("b",))
    plain = convert.search_of(pb.SearchRequest(collection="v1", model=MODEL, vectors=image()))
    assert (plain.filter, plain.retrieval_vector, plain.dissimilar_kind) == (
        Filter(),
        RetrievalVector.ALL,
        Dissimilar.NONE,
    )


@pytest.mark.parametrize("field", ["retrieval_vector", "dissimilar_kind"])
def test_values_of_a_later_contract_are_refused(field: str) -> None:
    message = pb.SearchRequest(model=MODEL, vectors=image())
    message.MergeFromString(bytes([{"retrieval_vector": 4, "dissimilar_kind": 7}[field] << 3, 99]))
    with pytest.raises(Rejected) as refused:
        convert.search_of(message)
    assert refused.value.field == field


def test_a_reference_needs_coordinates_in_range() -> None:
    with pytest.raises(Rejected) as refused:
        convert.reference_of(pb.Reference(id="a"))
    assert refused.value.field == "coordinates"
    with pytest.raises(Rejected):
        convert.reference_of(pb.Reference(id="a", coordinates=Coordinates(latitude=91)))
    told = pb.Reference(
        id="a",
        coordinates=Coordinates(latitude=1, longitude=190),
        place=Place(city="b", state="c", country="d", country_code="FR"),
        author="e",
    )
    reference = convert.reference_of(told)
    assert (reference.coordinates.longitude, reference.place.country_code, reference.author) == (-170, "FR", "e")


def test_settings_name_what_is_lacking(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("G3_MILVUS_URI", "G3_FAISS_PATH", "G3_RETRIEVAL_INDEX"):
        monkeypatch.delenv(name, raising=False)
    for index, lacking in (("milvus", "G3_MILVUS_URI"), ("faiss", "G3_FAISS_PATH")):
        monkeypatch.setenv("G3_RETRIEVAL_INDEX", index)
        with pytest.raises(SystemExit) as left:
            load(RetrievalSettings)
        assert left.value.code == 2
        assert lacking in capsys.readouterr().err
    monkeypatch.setenv("G3_FAISS_PATH", "somewhere")
    assert load(RetrievalSettings).retrieval_port == 7102


def test_the_pulse_remembers_the_last_answer() -> None:
    asked = itertools.count()
    with closing(Pulse(lambda: "away" if next(asked) == 0 else None, every_s=0.01)) as pulse:
        ends = time.monotonic() + 10
        while pulse.problem() is not None:
            assert time.monotonic() < ends
            time.sleep(0.01)
    before = next(asked)
    time.sleep(0.05)
    assert next(asked) == before + 1
