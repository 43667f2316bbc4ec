"""kill -9 of whatever keeps the rows, while four threads write: nothing that was acknowledged may be missing."""

import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack, closing
from pathlib import Path

import pytest
from g3_geography import BoundingBox
from g3_kit.errors import Conflict, Unavailable
from g3_retrieval.faiss_index import FaissIndex
from g3_retrieval.faiss_segments import SNAPSHOT_AFTER
from g3_retrieval.index import Index
from g3_retrieval.milvus_index import MilvusIndex
from g3_retrieval.references import Filter, Search

from tests.servers.milvus import MilvusCore, MilvusLite, MilvusProcess
from tests.servers.references import DIMENSION, MODEL, photo, query, sample

WRITER = Path(__file__).parent.parent / "servers" / "index_writer.py"
ROWS_BEFORE_THE_KILL = 600


def killed_while_writing(kind: str, where: str, kill: Callable[[subprocess.Popen[str]], None]) -> list[str]:
    """What the writer was told is safe, up to the kill."""
    command = [sys.executable, str(WRITER), kind, where, "versions"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as writer:
        assert writer.stdout is not None
        acknowledged = []
        for line in writer.stdout:
            acknowledged.append(line.strip())
            if len(acknowledged) == ROWS_BEFORE_THE_KILL:
                kill(writer)
        writer.wait(60)
    assert len(acknowledged) >= ROWS_BEFORE_THE_KILL
    # A line that the kill cut in half was never acknowledged as a whole.
    return [i for i in acknowledged if len(i) == len("w0b00000-00000")]


def well_again(index: Index, within_s: float = 15.0) -> None:
    """A gRPC channel that was refused waits a moment before it tries again."""
    ends = time.monotonic() + within_s
    while (problem := index.problem()) is not None:
        assert time.monotonic() < ends, problem
        time.sleep(0.1)


def assert_all_there(index: Index, acknowledged: list[str]) -> None:
    for start in range(0, len(acknowledged), 5_000):
        asked = acknowledged[start : start + 5_000]
        assert list(index.held("versions", asked)) == asked
    described = index.describe("versions")
    assert described.count >= len(acknowledged)
    found = index.search(Search("versions", MODEL, query(), similar=1_000)).similar
    assert len(found) == min(1_000, described.count)
    # Searchable, not only listed: the vectors of the last batch of a writer find themselves.
    last = acknowledged[-1]
    prefix, _, row = last.partition("-")
    own = photo(sample(20, seed=int(prefix[3:]), prefix=prefix), int(row))
    everywhere = Filter(bounding_box=BoundingBox(-90, -180, 90, 180))
    best = index.search(Search("versions", MODEL, own, similar=20, filter=everywhere)).similar
    assert best[0].similarity == pytest.approx(1.0, abs=1e-6)
    assert last in [match.reference.id for match in best if match.similarity == best[0].similarity]


@pytest.mark.parametrize(
    "server", [MilvusLite, pytest.param(MilvusCore, marks=pytest.mark.needs("milvus-core"))], ids=["lite", "core"]
)
def test_milvus_killed_under_writers_loses_nothing_acknowledged(
    tmp_path: Path, server: Callable[[Path], MilvusProcess]
) -> None:
    with ExitStack() as stack:
        running = stack.enter_context(server(tmp_path))
        # This index lives through the death of its server, as the service does.
        index = stack.enter_context(closing(MilvusIndex(running.uri)))
        index.create("versions", DIMENSION, MODEL)
        index.publish("versions", "survivors")
        acknowledged = killed_while_writing("milvus", running.uri, lambda _: running.kill())
        with pytest.raises(Unavailable):
            index.search(Search("survivors", MODEL, query(), similar=1))
        assert index.problem() is not None
        running.start()
        well_again(index)
        assert_all_there(index, acknowledged)
        assert index.search(Search("survivors", MODEL, query(), similar=1)).collection == "versions"
        index.upsert("versions", MODEL, sample(10, prefix="after"))
        assert list(index.held("versions", ["after-00009"])) == ["after-00009"]


def test_faiss_killed_under_writers_loses_nothing_acknowledged(tmp_path: Path) -> None:
    acknowledged = killed_while_writing("faiss", str(tmp_path), lambda writer: writer.kill())
    with closing(FaissIndex(tmp_path, "cpu")) as index:
        assert_all_there(index, acknowledged)


def test_faiss_opened_again_is_as_it_was_also_after_many_small_writes(tmp_path: Path) -> None:
    search = Search("live", MODEL, query(), similar=500)
    with closing(FaissIndex(tmp_path, "cpu")) as index:
        index.create("v1", DIMENSION, MODEL)
        for turn in range(SNAPSHOT_AFTER + 5):
            # Ten ids in all are written over and over.
            index.upsert("v1", MODEL, sample(3, seed=turn, prefix=f"{turn % 10}"))
        index.publish("v1", "live")
        index.create("dropped", DIMENSION, MODEL)
        index.drop("dropped")
        before, described = index.search(search), index.collections()
    for _ in range(2):
        with closing(FaissIndex(tmp_path, "cpu")) as index:
            assert index.collections() == described
            assert index.search(search) == before
    assert len(list(tmp_path.glob("v1/*.npz"))) == 1


def test_faiss_ignores_what_was_not_written_whole(tmp_path: Path) -> None:
    with closing(FaissIndex(tmp_path, "cpu")) as index:
        index.create("v1", DIMENSION, MODEL)
        index.upsert("v1", MODEL, sample(3))
        (tmp_path / "v1" / "segment-000000000002.npz.partial").write_bytes(b"PK half")
        (tmp_path / "v2").mkdir()
    with closing(FaissIndex(tmp_path, "cpu")) as index:
        assert [(c.name, c.count) for c in index.collections()] == [("v1", 3)]
        index.upsert("v1", MODEL, sample(4))
        assert index.create("v2", DIMENSION, MODEL).count == 0
    with closing(FaissIndex(tmp_path, "cpu")) as index:
        assert index.describe("v1").count == 4


def test_a_faiss_folder_has_one_owner(tmp_path: Path) -> None:
    with closing(FaissIndex(tmp_path, "cpu")), pytest.raises(Conflict):
        FaissIndex(tmp_path, "cpu")


def test_milvus_that_is_not_there_is_unavailable() -> None:
    with pytest.raises(Unavailable):
        MilvusIndex("http://127.0.0.1:1")
