"""The formula of memory against what FAISS really writes, and the command that prints it."""

import os
import subprocess
import sys

import faiss
import numpy as np
import pytest
from g3_retrieval.faiss_approximate import FaissApproximate, plan
from g3_retrieval.kinds import SAMPLE_ROWS, IndexKind, Wish
from g3_retrieval.memory import memory

ROWS, DIMENSION = 4_000, 32


@pytest.fixture(scope="module")
def exact() -> faiss.IndexFlatIP:
    flat = faiss.IndexFlatIP(3 * DIMENSION)
    rows = np.random.default_rng(0).normal(size=(ROWS, 3 * DIMENSION)).astype(np.float32)
    flat.add(rows / np.linalg.norm(rows, axis=1, keepdims=True))
    return flat


def size(index: faiss.Index) -> int:
    return int(faiss.serialize_index(index).nbytes)


def test_exact_rows_are_four_bytes_a_component(exact: faiss.IndexFlatIP) -> None:
    assert size(exact) == pytest.approx(memory(IndexKind.FLAT, ROWS, DIMENSION, "faiss").index, rel=0.01)


@pytest.mark.parametrize("kind", [IndexKind.HNSW, IndexKind.HNSW_SQ, IndexKind.IVF_FLAT, IndexKind.IVF_SQ8])
def test_an_index_is_as_large_as_the_formula_says(exact: faiss.IndexFlatIP, kind: IndexKind) -> None:
    built = FaissApproximate(exact, plan(Wish(kind, ROWS), 3 * DIMENSION))
    stated = memory(kind, ROWS, DIMENSION, "faiss")
    assert size(built._index) == pytest.approx(stated.index, rel=0.03)
    assert stated.exact == memory(IndexKind.FLAT, ROWS, DIMENSION, "faiss").index


def test_milvus_keeps_a_sample_beside_an_approximate_index_and_its_refinement_within() -> None:
    exact, graph = (memory(kind, 4_100_000, 768) for kind in (IndexKind.FLAT, IndexKind.HNSW_SQ))
    assert exact.index == 4_100_000 * 4 * 2_304
    assert (exact.exact, graph.exact) == (0, SAMPLE_ROWS * 4 * 2_304)
    # An 8-bit vector, a 16-bit one, and some 280 bytes of links.
    assert 3 * 2_304 + 270 < graph.index / 4_100_000 < 3 * 2_304 + 290
    few = memory(IndexKind.HNSW_SQ, 50_000, 768)
    assert few.exact == 50_000 * 4 * 2_304


def test_the_command_prints_every_kind_and_refuses_nonsense() -> None:
    def said(*arguments: str) -> "subprocess.CompletedProcess[str]":
        command = [sys.executable, "-m", "g3_retrieval", "memory", *arguments]
        return subprocess.run(command, capture_output=True, text=True, env=os.environ, timeout=60, check=False)

    table = said("--rows", "4100000")
    assert table.returncode == 0
    for kind in IndexKind:
        assert (f"\n{kind} " in table.stdout) is (kind is not IndexKind.AUTO)
    assert "HNSW_SQ          29.47" in table.stdout
    assert "GPU_CAGRA" not in said("--rows", "10", "--technology", "faiss").stdout
    for wrong in ([], ["--rows", "0"], ["--rows", "x"], ["--rows", "5", "--dimension", "-1"]):
        assert said(*wrong).returncode == 2
