"""Generate the committed stubs: `python protos/generate.py`; `--check` fails when they are stale.

The check generates into a temporary folder and compares byte for byte, so it never touches the tree.
"""

import argparse
import filecmp
import os
import sys
import tempfile
from pathlib import Path

import grpc_tools
from grpc_tools import protoc

HERE = Path(__file__).resolve().parent
SUFFIXES = ("_pb2.py", "_pb2.pyi", "_pb2_grpc.py", "_pb2_grpc.pyi")


def generate(out: Path) -> None:
    """Write the stubs of every .proto below this folder into `out`, keeping the package layout."""
    # protoc finds the plugins of mypy-protobuf by PATH; they lie beside the interpreter.
    os.environ["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    sources = sorted(str(path.relative_to(HERE)) for path in HERE.rglob("*.proto"))
    well_known = str(Path(grpc_tools.__file__).parent / "_proto")
    arguments = ["protoc", f"-I{HERE}", f"-I{well_known}"]
    arguments += [f"--{kind}_out={out}" for kind in ("python", "mypy", "grpc_python", "mypy_grpc")]
    if protoc.main([*arguments, *sources]) != 0:
        raise SystemExit("protoc failed: see the messages above")


def stale(fresh: Path) -> list[str]:
    """Names of stubs that differ between `fresh` and the tree, are missing, or have no .proto any more."""
    made = {str(path.relative_to(fresh)) for path in fresh.rglob("*") if path.name.endswith(SUFFIXES)}
    held = {str(path.relative_to(HERE)) for path in HERE.rglob("*") if path.name.endswith(SUFFIXES)}
    differing = {name for name in made & held if not filecmp.cmp(fresh / name, HERE / name, shallow=False)}
    return sorted(differing | (made ^ held))


def main() -> None:
    """Generate, or check."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="fail when a committed stub is stale")
    if not parser.parse_args().check:
        generate(HERE)
        return
    with tempfile.TemporaryDirectory() as folder:
        generate(Path(folder))
        names = stale(Path(folder))
    if names:
        sys.exit("stale stubs, run `make protos`:\n" + "\n".join(f"  {name}" for name in names))


if __name__ == "__main__":
    main()
