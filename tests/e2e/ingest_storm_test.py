"""kill -9 of ingest worker, retrieval service and Milvus in the middle of a run: it ends with exactly what it read.

The short form is part of every test run, on both brokers; the long one (200,000 references, each process several
times) is slow.
"""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.servers.ingest_storm import Storm, storm, write_vectors
from tests.servers.stack import LocalStack

# Short enough that a kill costs seconds, long enough for a renewal on a machine that is busy with other things.
FAST = {"G3_LEASE_S": "8", "G3_RING_AGAIN_S": "3"}


@pytest.fixture(scope="module")
def calm() -> Iterator[LocalStack]:
    """A stack of its own, not below pytest's folder, which every new pytest closes to PostgreSQL's user."""
    with tempfile.TemporaryDirectory(prefix="g3-storm-") as folder:
        Path(folder).chmod(0o755)
        with LocalStack(Path(folder), FAST) as stack:
            yield stack


def judge(found: Storm, rows: int, repeated: int) -> None:
    """The promises: the right count, no id twice, every reject told, nothing published half."""
    assert found.run.succeeded, found.run.failure
    total, publication = found.run.total, found.run.publication
    assert (total.read, total.written, total.rejected) == (rows, rows - repeated, repeated)
    assert publication is not None
    assert (publication.counted, publication.published) == (rows - repeated, True)
    assert len(found.ids) == len(set(found.ids)) == rows - repeated
    assert {shard.state for shard in found.run.shards} == {"done"}


def test_a_run_survives_one_kill_of_each(stack: LocalStack, tmp_path: Path) -> None:
    rows, repeated = 6_000, 50
    source = write_vectors(tmp_path / "source", rows, repeated=repeated)
    kills = [(0.1, "ingest"), (0.35, "retrieval"), (0.6, "milvus")]
    found = storm(stack, source, collection="short_storm", kills=kills, shards=6, within_s=150)
    assert [name.partition(" ")[0] for name in found.killed] == ["ingest", "retrieval", "milvus"]
    judge(found, rows, repeated)


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_two_hundred_thousand_references_survive_a_storm(calm: LocalStack, tmp_path: Path) -> None:
    rows, repeated = 200_000, 100
    source = write_vectors(tmp_path / "source", rows, repeated=repeated)
    kills = [(0.05 + 0.1 * number, ("ingest", "retrieval", "milvus")[number % 3]) for number in range(9)]
    found = storm(calm, source, collection="long_storm", kills=kills, shards=20, within_s=3000)
    judge(found, rows, repeated)
    early = max(size for read, size in found.memory if read <= 20_000)
    late = max(size for read, size in found.memory if read >= 0.9 * rows)
    print(
        f"\n{rows} references in {found.seconds:.0f} s, {rows / found.seconds:.0f} a second; killed {found.killed}; "
        f"ingest worker at most {early:.0f} MiB up to 20,000 rows and {late:.0f} MiB over the last tenth"
    )
    assert late <= 1.3 * early
