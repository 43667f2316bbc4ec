"""Fixtures of the contract of `Index`: one index of each technology, servers shared, collections of a test's own."""

from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
from g3_retrieval.faiss_index import FaissIndex
from g3_retrieval.index import Index
from g3_retrieval.milvus_index import MilvusIndex
from g3_retrieval.milvus_schema import MilvusOptions
from g3_retrieval.references import ReferenceVectors

from tests.servers import references as sampled
from tests.servers.references import DIMENSION, MODEL, new_name

FILLED = 300
SAMPLED = 400
"""References, about, that `farthest` is searched among on Milvus where the index is approximate."""


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """A core takes half a minute for each kind of index: two of its four are built with every change."""
    for item in items:
        if "milvus-core-IVF_FLAT" in item.name or "milvus-core-IVF_SQ8" in item.name:
            item.add_marker(pytest.mark.slow)


@pytest.fixture(
    scope="module",
    params=["faiss", "milvus-lite", pytest.param("milvus-core", marks=pytest.mark.needs("milvus-core"))],
)
def technology(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def opened(technology: str, request: pytest.FixtureRequest) -> Callable[[Path], Index]:
    """From a folder, for FAISS, to a new object on what it holds; on Milvus every object is on the shared server."""
    if technology == "faiss":
        return lambda folder: FaissIndex(folder, "cpu")
    core = technology == "milvus-core"
    uri = str(request.getfixturevalue("milvus_core_uri" if core else "milvus_lite_uri"))
    options = MilvusOptions(consistency="Strong" if core else "Session", sample_rows=SAMPLED)
    return lambda _: MilvusIndex(uri, options=options)


@pytest.fixture(scope="module")
def index(opened: Callable[[Path], Index], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Index]:
    with closing(opened(tmp_path_factory.mktemp("index"))) as made:
        yield made


@pytest.fixture(scope="module")
def references() -> ReferenceVectors:
    """Rows 10 to 19 repeat the vectors of row 0 to 9 under other ids: ties."""
    drawn = sampled.sample(FILLED)
    for name in ("clip", "text_aligned", "gps_aligned"):
        getattr(drawn, name)[10:20] = getattr(drawn, name)[:10]
    return drawn


@pytest.fixture(scope="module")
def filled(index: Index, references: ReferenceVectors) -> str:
    """A version with the references, for tests that only read."""
    name = new_name()
    index.create(name, DIMENSION, MODEL)
    assert index.upsert(name, MODEL, references) == FILLED
    return name


@pytest.fixture
def collection(index: Index) -> Iterator[str]:
    """An empty version of a test's own."""
    name = new_name()
    index.create(name, DIMENSION, MODEL)
    yield name
    # Servers are shared: a core slows down with every loaded collection.
    described = {each.name: each for each in index.collections()}
    if name in described and not described[name].aliases:
        index.drop(name)
