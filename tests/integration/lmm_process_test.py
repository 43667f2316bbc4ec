"""`python -m g3_world.lmm` as a process: it says when it is ready, and at SIGTERM answers what it has taken."""

import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx

from tests.servers.lmm import NAME, chat, texts
from tests.servers.milvus import free_port
from tests.servers.tiny_llava import write

READY_S = 90.0


def environment(folder: Path, port: int) -> dict[str, str]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("G3_")}
    return clean | {"G3_LMM_FOLDER": str(folder), "G3_LMM_SERVED_NAME": NAME, "G3_LMM_PORT": str(port)}


def test_what_was_taken_is_answered_after_sigterm(tmp_path: Path) -> None:
    port = free_port()
    process = subprocess.Popen([sys.executable, "-m", "g3_world.lmm"], env=environment(write(tmp_path), port))
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60) as http, ThreadPoolExecutor() as pool:
            ready(http, process)
            # Some seconds of work.
            body = chat(max_tokens=2000, n=2, structured_outputs={"regex": "[ab]{1000}"})
            taken = pool.submit(lambda: http.post("/v1/chat/completions", json=body))
            while 'vllm:num_requests_running{engine="0",model_name="tiny"} 1.0' not in http.get("/metrics").text:
                time.sleep(0.02)
            process.send_signal(signal.SIGTERM)
            assert [len(text) for text in texts(taken.result())] == [1000, 1000]
        assert process.wait(30) == 0
    finally:
        process.kill()
        process.wait()


def ready(http: httpx.Client, process: "subprocess.Popen[bytes]") -> None:
    ends = time.monotonic() + READY_S
    while True:
        assert process.poll() is None, "it ended before it was ready"
        assert time.monotonic() < ends, f"not ready within {READY_S:.0f} s"
        try:
            if http.get("/health").status_code == 200:
                return
        except httpx.TransportError:
            time.sleep(0.1)
