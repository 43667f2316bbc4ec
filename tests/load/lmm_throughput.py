"""Requests a second that the generation worker gets out of a real vLLM, beside a bare concurrent client.

    python tests/load/lmm_throughput.py [--stages 16] [--rounds 5] [--calls 32] [--json]

Wanted: at least 0.9 of the bare client's. Both put the same kind of requests (four prompts a photo, five samples each,
the same form of an answer, photos and references never seen before) to the same server in one run, in turns, with as
many in flight. The worker is the real process, on the embedded broker and PostgreSQL, with a stage service over gRPC;
the bare client posts ready-made bodies, in the order in which they come. vLLM runs on the CPU with a tiny model and
shares the cores with whoever asks: what the worker costs more than the client it takes from the server.
"""

import argparse
import asyncio
import contextlib
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import httpx
import pgmq
from g3_dialogue import PromptOrder, rendered
from g3_generation.fakes import FakeStages
from g3_generation.forms import Form
from g3_generation.openai_sampler import OpenAISampler
from g3_generation.sampler import Picture, Question
from g3_generation.stages import Claim
from g3_kit import celery_app

sys.path.insert(0, str(Path(__file__).parent.parent.parent))

from tests.servers.lmm_stages import claim, corpus
from tests.servers.postgres import create_database, named, postgres
from tests.servers.scripted_lmm import Says, ScriptedLmm
from tests.servers.stage_servicer import stage_server
from tests.servers.tiny_llava import write
from tests.servers.vllm import API_KEY, MODEL, WHOLE_PROMPTS, Vllm

WANTED = 0.9
ANSWER_TOKENS = 64
_ROUND_S = 120.0


def bodies(asked: Claim, form: dict[str, Any]) -> list[dict[str, Any]]:
    """The requests of one stage, as the worker puts them."""
    return [
        {
            "model": MODEL,
            "messages": [{"role": "user", "content": [_part(part) for part in parts]}],
            "n": prompt.samples,
            "temperature": asked.temperature,
            "max_tokens": ANSWER_TOKENS,
            "seed": prompt.index,
        }
        | form
        for prompt in asked.prompts
        for parts in (rendered(prompt, Picture(asked.photo), asked.prompt_order),)
    ]


def _part(part: str | bytes) -> dict[str, object]:
    if isinstance(part, str):
        return {"type": "text", "text": part}
    return {"type": "image_url", "image_url": {"url": Picture(part).data_url}}


def prove_sameness(asked: Claim) -> None:
    """Raises RuntimeError unless the worker's sampler puts a prompt as `bodies` does."""
    prompt = asked.prompts[0]
    with (
        ScriptedLmm([Says("x")]) as lmm,
        contextlib.closing(OpenAISampler(lmm.url, MODEL, max_tokens=ANSWER_TOKENS, seeds=True)) as sampler,
    ):
        parts = rendered(prompt, asked.photo, asked.prompt_order)
        question = Question(parts, prompt.samples, asked.temperature, 10.0, seed=prompt.index)
        sampler.ask(question).result(10)
        if lmm.asked[0].body != bodies(asked, {})[0]:
            raise RuntimeError("the bare client would not ask what the worker asks")


def form_held(server: Vllm) -> Form:
    """The form that the worker will find the server to enforce."""
    with contextlib.closing(OpenAISampler(server.url, MODEL, api_key=API_KEY, probe=True)) as sampler:
        deadline = time.monotonic() + 60
        while sampler.form is None:
            if time.monotonic() > deadline:
                raise RuntimeError("no form of an answer was found within 60 s")
            time.sleep(0.1)
        return sampler.form


class Bare:
    """Posts with `calls` in flight."""

    def __init__(self, server: Vllm, calls: int, form: Form) -> None:
        self._url = f"{server.url}/chat/completions"
        self._calls = calls
        self._form = form.fields

    def rate(self, claims: Sequence[Claim]) -> float:
        """Requests a second from the first that goes out to the last that is answered."""
        ready = [body for asked in claims for body in bodies(asked, self._form)]
        began = time.monotonic()
        asyncio.run(self._post(ready))
        return len(ready) / (time.monotonic() - began)

    async def _post(self, ready: list[dict[str, Any]]) -> None:
        room = asyncio.Semaphore(self._calls)
        headers = {"Authorization": f"Bearer {API_KEY}"}
        limits = httpx.Limits(max_connections=self._calls)
        async with httpx.AsyncClient(headers=headers, limits=limits, timeout=_ROUND_S) as client:

            async def one(body: dict[str, Any]) -> None:
                async with room:
                    response = await client.post(self._url, json=body)
                if len(response.raise_for_status().json()["choices"]) != body["n"]:
                    raise RuntimeError("an answer lacks samples")

            await asyncio.gather(*(one(body) for body in ready))


class Worker:
    """Rings stages that the worker process claims, asks and completes."""

    def __init__(self, stack: contextlib.ExitStack, server: Vllm, server_url: str, log: Path, calls: int) -> None:
        create_database(server_url, "bell")
        dsn = named(server_url, "bell")
        pgmq.install_pgmq_from_sql(dsn=dsn)
        url = dsn.replace("postgresql://", "pgmq://", 1)
        celery_app.declare(url)
        self._stages = FakeStages()
        serving = stage_server(self._stages)
        serving.start()
        stack.callback(serving.stop, 0)
        self._bell = celery_app.Bell(url)
        stack.callback(self._bell.close)
        self._rung = 0
        environment = {name: value for name, value in os.environ.items() if not name.startswith("G3_")} | {
            "G3_BROKER_URL": url,
            "G3_STAGES_TARGET": f"127.0.0.1:{serving.port}",
            "G3_LMM_URL": server.url,
            "G3_LMM_MODEL": MODEL,
            "G3_LMM_API_KEY": API_KEY,
            "G3_LMM_MAX_TOKENS": str(ANSWER_TOKENS),
            "G3_LMM_CALLS": str(calls),
            "G3_LOG_LEVEL": "WARNING",
        }
        with log.open("wb") as out:
            process = subprocess.Popen([sys.executable, "-m", "g3_generation"], env=environment, stderr=out, stdout=out)
        stack.callback(_end, process)
        self._process = process

    def rate(self, claims: Sequence[Claim]) -> float:
        """Requests a second from the first bell to the last stage completed."""
        jobs = [f"job-{self._rung + number}" for number in range(len(claims))]
        self._rung += len(claims)
        for job, asked in zip(jobs, claims, strict=True):
            self._stages.put(job, asked)
        began = time.monotonic()
        for job in jobs:
            self._bell.ring("generate", {"job_id": job, "stage": "generate", "attempt": 1})
        while (left := [job for job in jobs if self._stages.state(job) != "done"]) and self._process.poll() is None:
            if time.monotonic() - began > _ROUND_S:
                states = {job: (self._stages.state(job), self._stages.reason(job)) for job in left}
                raise RuntimeError(f"not completed within {_ROUND_S:g} s: {states}")
            time.sleep(0.01)
        if self._process.poll() is not None:
            raise RuntimeError(f"the worker ended with status {self._process.returncode}")
        return sum(len(asked.prompts) for asked in claims) / (time.monotonic() - began)


def _end(process: "subprocess.Popen[bytes]") -> None:
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(timeout=40)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def measure(stages: int, rounds: int, calls: int) -> dict[str, list[float]]:
    """The rates of either side by round."""
    with tempfile.TemporaryDirectory(prefix="g3-load-") as name, contextlib.ExitStack() as stack:
        folder = Path(name)
        model = write(folder / "model", corpus=[*corpus()])
        prove_sameness(claim(0, PromptOrder.IMAGE_FIRST))
        server = stack.enter_context(Vllm(folder, model, flags=WHOLE_PROMPTS))
        database = stack.enter_context(postgres(folder / "postgres"))
        sides: dict[str, Bare | Worker] = {
            "bare client": Bare(server, calls, form_held(server)),
            "worker": Worker(stack, server, database, folder / "worker.log", calls),
        }
        rates: dict[str, list[float]] = {side: [] for side in sides}
        seed = 1
        # The first round of each is not counted: connections, grammars and the worker's proofs are made in it.
        for round_ in range(rounds + 1):
            for side in sides if round_ % 2 else reversed(sides):
                claims = [claim(seed + number, PromptOrder.IMAGE_FIRST) for number in range(stages)]
                seed += stages
                rate = sides[side].rate(claims)
                if round_:
                    rates[side].append(round(rate, 2))
        return rates


def main() -> int:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--stages", type=int, default=16, help="photos of one round, four requests each")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--calls", type=int, default=32, help="calls in flight")
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    rates = measure(asked.stages, asked.rounds, asked.calls)
    medians = {side: statistics.median(rates[side]) for side in rates}
    ratio = medians["worker"] / medians["bare client"]
    met = ratio >= WANTED
    if asked.json:
        print(json.dumps({"rates": rates, "ratio": round(ratio, 3), "wanted": WANTED, "met": met}))
        return 0 if met else 1
    for side in rates:
        print(f"  {side:12} {medians[side]:6.2f} requests/s  rounds {rates[side]}")
    print(f"  ratio {ratio:.3f}; wanted at least {WANTED}: {'met' if met else 'missed'}")
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main())
