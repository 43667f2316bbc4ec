"""GET /v1/jobs/{id} with a million jobs stored, and submissions a second, on the real API process.

    python tests/load/job_read.py [--jobs 1000000] [--with-result 20000] [--folder /tmp/…]

Jobs with a result carry 40 candidates, 30 references and 20 answers of the LMM; those are the ones that are read. The
others ended without one, so that the database fits on a small disk. Pages are of jobs with a result. Exits 1 when the
95th percentile of one reader is not below 10 ms.
"""

import argparse
import contextlib
import hashlib
import json
import os
import random
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from uuid import UUID

import httpx
import numpy as np
import psycopg
from g3_geography import Coordinates, Place
from g3_orchestrator import keys, parameters
from g3_orchestrator.model import (
    Answer,
    Candidate,
    LikelyPlace,
    Match,
    NewJob,
    PhotoRef,
    Release,
    Result,
    Retrieval,
    Source,
)
from g3_orchestrator.states import Origin, StageName
from g3_orchestrator.store.postgres import PostgresStore
from psycopg import sql

sys.path.insert(0, str(Path(__file__).parent.parent.parent))

from tests.servers import photos
from tests.servers.postgres import fresh_database, postgres

WANTED_MS = 10.0
_TABLES = ("jobs", "stages", "events", "results", "retrievals", "answers")
_PLACE = Place("Paris", "Île-de-France", "France", "FR")


def fill(url: str, store: PostgresStore, tenant_id: UUID, jobs: int, with_result: int) -> None:
    """Stores one ended job of each kind through the store and multiplies its rows inside the database."""
    new = NewJob(PhotoRef("0" * 64, 640, 480, 100_000), parameters.DEFAULT, request_hash=bytes(32))
    cancelled, _ = store.create_job(tenant_id, new)
    store.cancel_job(tenant_id, cancelled.job_id)
    succeeded, _ = store.create_job(tenant_id, new)
    _succeed(store, succeeded.job_id)
    with psycopg.connect(url, autocommit=True) as connection:
        # the copies keep every reference; checking each of them would only take time
        connection.execute("SET session_replication_role = replica")
        for template, kind, count in ((cancelled, "plain", jobs - with_result), (succeeded, "result", with_result)):
            for table in _TABLES:
                _multiply(connection, table, template.job_id, kind, count)
        connection.execute("VACUUM ANALYZE")


def _succeed(store: PostgresStore, job_id: UUID) -> None:
    release = Release("model-1", "gps-1", "references_v1")
    spots = [Coordinates(40 + n / 7, n / 3) for n in range(40)]
    found = tuple(Match(f"photo {n}", spot, _PLACE, f"author {n}", 0.9 - n / 100) for n, spot in enumerate(spots[:30]))
    candidates = tuple(
        Candidate(spot, Origin.LMM, 0.5, n + 1, _PLACE, n % 4, n % 5, sources=(Source(Origin.LMM, n % 4, n % 5),))
        for n, spot in enumerate(spots)
    )
    places = tuple(LikelyPlace(spot, _PLACE, 0.1, 5.0, 4) for spot in spots[:10])
    text = '{"latitude": 48.858370, "longitude": 2.294481}'
    with store.locked(job_id, StageName.RETRIEVE) as work:
        work.lease("load", 30)
        work.keep(Retrieval(found, found, bytes(3072), release))
        work.finish()
        work.begin(StageName.GENERATE, budget_s=None, degraded=())
    with store.locked(job_id, StageName.GENERATE) as work:
        work.lease("load", 30)
        work.record([Answer(prompt, sample, text, "an-lmm", 900, 30) for prompt in range(4) for sample in range(5)])
        work.finish()
        work.begin(StageName.VERIFY, budget_s=None, degraded=())
    with store.locked(job_id, StageName.VERIFY) as work:
        work.lease("load", 30)
        work.finish()
        work.succeed(Result(spots[0], _PLACE, 0.5, candidates, found, (), release, places))


def _multiply(
    connection: psycopg.Connection[tuple[object, ...]], table: str, job_id: UUID, kind: str, count: int
) -> None:
    """Copies of the rows of one job under ids that anybody can compute: md5 of kind and number."""
    rows = connection.execute(
        "SELECT column_name FROM information_schema.columns WHERE table_name = %s AND is_generated = 'NEVER'", (table,)
    ).fetchall()
    columns = [str(row[0]) for row in rows]
    identity = sql.SQL("md5({} || n)::uuid").format(sql.Literal(kind))
    special: dict[str, sql.Composable] = {
        "job_id": identity,
        "result_of": sql.SQL("CASE WHEN result_of IS NULL THEN NULL ELSE {} END").format(identity),
        "created_at": sql.SQL("created_at - n * interval '1 second'"),
    }
    statement = sql.SQL("INSERT INTO {t} ({c}) SELECT {v} FROM {t}, generate_series(1, {n}) AS n WHERE job_id = {j}")
    connection.execute(
        statement.format(
            t=sql.Identifier(table),
            c=sql.SQL(", ").join(map(sql.Identifier, columns)),
            v=sql.SQL(", ").join(special.get(name, sql.Identifier(name)) for name in columns),
            n=sql.Literal(count),
            j=sql.Literal(job_id),
        )
    )


@contextlib.contextmanager
def api(url: str, folder: Path) -> Iterator[str]:
    """The real process; yields its URL once it is ready."""
    with contextlib.ExitStack() as stack:
        spare = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(3)]
        ports = [listener.getsockname()[1] for listener in spare]
    settings = {
        "G3_DATABASE_URL": url,
        "G3_BLOB_URL": (folder / "blobs").as_uri(),
        **dict(zip(("G3_API_PORT", "G3_JOBS_PORT", "G3_STAGES_PORT"), map(str, ports), strict=True)),
        "G3_LOG_LEVEL": "WARNING",
    }
    process = subprocess.Popen([sys.executable, "-m", "g3_orchestrator", "api"], env=os.environ | settings)
    try:
        address = f"http://127.0.0.1:{ports[0]}"
        for _ in range(600):
            with contextlib.suppress(httpx.TransportError):
                if httpx.get(f"{address}/readyz", trust_env=False).status_code == 200:
                    break
            time.sleep(0.1)
        yield address
    finally:
        process.terminate()
        process.wait(timeout=40)


def timed(calls: int, at_once: int, call: Callable[[int], httpx.Response]) -> tuple[list[float], float]:
    """Milliseconds of each call, sorted, and calls a second."""

    def one(number: int) -> float:
        began = time.perf_counter()
        call(number).raise_for_status()
        return (time.perf_counter() - began) * 1000

    with ThreadPoolExecutor(at_once) as pool:
        list(pool.map(one, range(at_once * 5)))
        began = time.perf_counter()
        took = sorted(pool.map(one, range(calls)))
        return took, calls / (time.perf_counter() - began)


def measure(address: str, key: str, with_result: int) -> dict[str, dict[str, float]]:
    """The figures of each way of calling."""
    ids = [md5_id("result", random.Random(seed).randint(1, with_result)) for seed in range(4000)]
    pictures = [photos.jpeg(seed, (640, 480)) for seed in range(50)]
    limits = httpx.Limits(max_connections=32, max_keepalive_connections=32)
    figures = {}
    done = {"state": "succeeded"}
    with httpx.Client(
        base_url=address, headers={"Authorization": f"Bearer {key}"}, limits=limits, trust_env=False, timeout=60
    ) as client:
        ways: dict[str, tuple[int, int, Callable[[int], httpx.Response]]] = {
            "read, 1 caller": (2000, 1, lambda n: client.get(f"/v1/jobs/{ids[n]}")),
            "read, 8 callers": (2000, 8, lambda n: client.get(f"/v1/jobs/{ids[-n]}")),
            "page of 50": (200, 1, lambda _: client.get("/v1/jobs", params=done)),
            "page of 50, whole": (
                50,
                1,
                lambda _: client.get("/v1/jobs", params=done | {"view": "full"}),
            ),
            "submit 640x480, 8 callers": (
                400,
                8,
                lambda n: client.post("/v1/jobs", files={"photo": ("a.jpg", pictures[n % 50])}, data={"label": str(n)}),
            ),
        }
        for name, (calls, at_once, call) in ways.items():
            took, rate = timed(calls, at_once, call)
            p50, p95, p99 = np.percentile(took, [50, 95, 99])
            figures[name] = {
                "p50_ms": round(float(p50), 2),
                "p95_ms": round(float(p95), 2),
                "p99_ms": round(float(p99), 2),
                "per_s": round(rate, 1),
            }
    return figures


def md5_id(kind: str, number: int) -> UUID:
    """The id that `_multiply` gave to a copy."""
    return UUID(hashlib.md5(f"{kind}{number}".encode(), usedforsecurity=False).hexdigest())


def main() -> int:
    """Fills, measures, prints."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--jobs", type=int, default=1_000_000)
    parser.add_argument("--with-result", type=int, default=20_000)
    parser.add_argument("--folder", type=Path, default=None, help="where the database lies meanwhile")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=asked.folder) as name, contextlib.ExitStack() as stack:
        folder = Path(name)
        url = stack.enter_context(fresh_database(stack.enter_context(postgres(folder / "postgres"))))
        began = time.monotonic()
        with PostgresStore(url) as store:
            key = keys.create(store, "load")
            tenant_id = keys.Keys(store).authenticate(f"Bearer {key}").tenant_id
            fill(url, store, tenant_id, asked.jobs, asked.with_result)
        print(f"{asked.jobs} jobs stored in {time.monotonic() - began:.0f} s", flush=True)
        figures = measure(stack.enter_context(api(url, folder)), key, asked.with_result)
    print(json.dumps(figures, indent=2))
    return 0 if figures["read, 1 caller"]["p95_ms"] < WANTED_MS else 1


if __name__ == "__main__":
    sys.exit(main())
