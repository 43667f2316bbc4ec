"""A process that writes to an index from several threads until it is killed, and says what was acknowledged.

    python tests/servers/index_writer.py faiss|milvus WHERE COLLECTION

Each line on standard output is the id of an acknowledged reference, printed after its upsert has returned.
"""

import sys
import threading
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from g3_kit.errors import Unavailable
from g3_retrieval.index import Index

from tests.servers.references import DIMENSION, MODEL, sample

THREADS = 4
BATCH = 20


def opened(kind: str, where: str) -> Index:
    """The index to write to."""
    if kind == "faiss":
        from g3_retrieval.faiss_index import FaissIndex

        return FaissIndex(Path(where), "cpu")
    from g3_retrieval.milvus_index import MilvusIndex

    return MilvusIndex(where)


def write(index: Index, collection: str, writer: int, out: threading.Lock) -> None:
    """Upsert batch after batch until the store is gone."""
    for batch in range(100_000):
        rows = sample(BATCH, seed=batch, prefix=f"w{writer}b{batch:05d}")
        try:
            index.upsert(collection, MODEL, rows)
        except Unavailable:
            return
        with out:
            print("\n".join(reference.id for reference in rows.references), flush=True)


def main() -> None:
    """Write from all threads."""
    kind, where, collection = sys.argv[1:4]
    index, out = opened(kind, where), threading.Lock()
    index.create(collection, DIMENSION, MODEL)
    writers = [threading.Thread(target=write, args=(index, collection, n, out)) for n in range(THREADS)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()


if __name__ == "__main__":
    main()
