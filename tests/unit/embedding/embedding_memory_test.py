"""What a pass freed serves the next one: counted in page faults, which no other process's work changes."""

import platform
import subprocess
import sys

import pytest

_PASSES = """
import resource, sys, threading
from g3_embedding.memory import keep_between_passes

kept = sys.argv[1] == "kept" and keep_between_passes()
assert kept == (sys.argv[1] == "kept")

def one_pass():  # as activations do: pieces of 15 to 25 MiB that live together and go together
    held = [bytearray(b"x") * (mebibytes * 2**20) for mebibytes in (15, 20, 25, 20, 15)]

def passes():
    for _ in range(3):
        one_pass()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    one_pass()
    print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)

thread = threading.Thread(target=passes)
thread.start()
thread.join()
"""


def faults(memory: str) -> int:
    done = subprocess.run([sys.executable, "-c", _PASSES, memory], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return int(done.stdout)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc's malloc is told")
def test_a_thread_s_passes_touch_no_new_page() -> None:
    pages = 95 * 2**20 // 4096
    assert faults("given back") > pages // 2  # or there is nothing to mend
    assert faults("kept") < pages // 100
