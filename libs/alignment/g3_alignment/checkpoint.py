"""Checkpoints: one safetensors file with weights, configuration and fingerprint. No pickle of ours, no download."""

import hashlib
import json
import os
import shlex
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Any

import torch
from g3_kit.errors import Missing, Rejected
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor
from torch.overrides import TorchFunctionMode

from g3_alignment.configuration import AlignmentConfiguration
from g3_alignment.fingerprint import GPS_PART, Fingerprint, digest, fingerprint_of, joined, of_tensors
from g3_alignment.model import AlignmentModel, GpsModel
from g3_alignment.precision import STORED, loaded, stored, weight_names

FORMAT = "g3-alignment"
FORMAT_VERSION = 1
_BLOCK_BYTES = 1 << 20
_PYTORCH_SUFFIXES = {".pth", ".pt", ".bin", ".ckpt"}


@dataclass(frozen=True)
class Description:
    """What a checkpoint's header states; `parameters` counts all weights. Only loading verifies the fingerprint.

    `dtype`: how the file stores weights, "float32" or "float16". A loaded model has float32 weights either way.
    `trained`: whether the weights are said to have been trained; `initialise` and the towers alone do not make it so.
    """

    configuration: AlignmentConfiguration
    fingerprint: Fingerprint
    parameters: int
    dtype: str
    trained: bool


def initialise(configuration: AlignmentConfiguration, seed: int) -> AlignmentModel:
    """An untrained model on the CPU, in eval mode: the same seed gives the same weights under the same torch."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return AlignmentModel(configuration).eval()


def unfilled(configuration: AlignmentConfiguration) -> AlignmentModel:
    """A model on the CPU whose weights are yet to be read: what they are until then is undefined."""
    with torch.random.fork_rng(devices=[]), _Unfilled():
        return AlignmentModel(configuration)


def save(model: AlignmentModel, path: str | os.PathLike[str], *, dtype: str = "float32") -> Fingerprint:
    """Writes the model to `path`: a reader sees the old file or the whole new one. Returns the file's fingerprint.

    `dtype` "float16" stores parameters in half the bytes, rounded; buffers (the Fourier frequencies among them) keep
    theirs. The fingerprint is of the weights as `load` will give them, so it differs from that of a model with more
    digits, and load and save give it again. Raises Rejected for another dtype and for weights that it cannot hold.
    """
    path = Path(path)
    tensors = stored(model, dtype)
    fingerprint = of_tensors(model.configuration, loaded(tensors, weight_names(model), dtype))
    statement = {
        "version": FORMAT_VERSION,
        "dtype": dtype,
        "trained": model.trained,
        "configuration": asdict(model.configuration),
        "fingerprint": asdict(fingerprint),
    }
    # one entry: safetensors writes several in a random order, and equal models should be equal files
    metadata = {FORMAT: json.dumps(statement, sort_keys=True)}
    path.parent.mkdir(parents=True, exist_ok=True)
    with NamedTemporaryFile(dir=path.parent, prefix=f".{path.name}.", delete=False) as draft:
        try:
            save_file(tensors, draft.name, metadata=metadata)
            os.fsync(draft.fileno())
            Path(draft.name).chmod(0o644)
            Path(draft.name).replace(path)
        except BaseException:
            Path(draft.name).unlink(missing_ok=True)
            raise
    return fingerprint


def describe(path: str | os.PathLike[str]) -> Description:
    """Reads the header only. Raises Missing for no such file, Rejected for a file that is no checkpoint of ours."""
    with _Checkpoint(path) as checkpoint:
        shapes = [checkpoint.file.get_slice(name).get_shape() for name in checkpoint.names]
        parameters = sum(int(torch.Size(shape).numel()) for shape in shapes)
        return Description(
            checkpoint.configuration, checkpoint.fingerprint, parameters, checkpoint.dtype, checkpoint.trained
        )


def load(path: str | os.PathLike[str], device: str | torch.device = "cpu", sha256: str | None = None) -> AlignmentModel:
    """The model of a checkpoint, in eval mode, its fingerprint recomputed and compared.

    `sha256` pins the file (hex). Raises Missing for no such file; Rejected for another SHA-256, a truncated file,
    weights that do not fit the configuration, or weights that are not those that the fingerprint was taken of.
    """
    if sha256 is not None:
        verify_sha256(path, sha256)
    with _Checkpoint(path) as checkpoint:
        model = unfilled(checkpoint.configuration)
        checkpoint.fill(model, checkpoint.names)
        model.trained = checkpoint.trained
        if fingerprint_of(model) != checkpoint.fingerprint:
            raise _tampered(path)
    return model.eval().to(device)


def load_gps(path: str | os.PathLike[str], device: str | torch.device = "cpu", sha256: str | None = None) -> GpsModel:
    """The GPS part of a checkpoint, in eval mode, without building or reading the towers.

    Its `fingerprint` is the whole model's, checked to follow from the GPS weights read. Raises as `load`.
    """
    if sha256 is not None:
        verify_sha256(path, sha256)
    with _Checkpoint(path) as checkpoint:
        with torch.random.fork_rng(devices=[]), _Unfilled():
            model = GpsModel(checkpoint.configuration.gps, checkpoint.configuration.dimension)
        checkpoint.fill(model, [name for name in checkpoint.names if name.startswith(GPS_PART)])
        stated = checkpoint.fingerprint
        if joined(checkpoint.configuration, digest(model.state_dict()), stated.rest) != stated:
            raise _tampered(path)
    model.fingerprint = stated.full
    return model.eval().to(device)


def verify_sha256(path: str | os.PathLike[str], sha256: str) -> None:
    """Raises Rejected unless the file's SHA-256 is `sha256` (hex, either case); Missing for no such file."""
    found = hashlib.sha256()
    try:
        with Path(path).open("rb") as file:
            while block := file.read(_BLOCK_BYTES):
                found.update(block)
    except FileNotFoundError:
        raise _absent(path) from None
    if found.hexdigest() != sha256.lower():
        raise Rejected(f"{Path(path).name} has another SHA-256 than the one asked for.", field="checkpoint")


class _Checkpoint:
    """An open safetensors file, its header judged."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self._name = Path(path).name
        try:
            self.file = _opened(path)
        except FileNotFoundError:
            raise _absent(path) from None
        except (SafetensorError, OSError):
            raise Rejected(_unread(Path(path)), field="checkpoint") from None
        statement = self._statement()
        self.configuration = AlignmentConfiguration.from_json(json.dumps(statement.get("configuration")))
        try:
            self.fingerprint = Fingerprint(**statement["fingerprint"])
        except (KeyError, TypeError):
            raise Rejected(f"{self._name} states no fingerprint: save it again.", field="checkpoint") from None
        self.dtype = self._dtype(statement.get("dtype", "float32"))
        self.trained = statement.get("trained") is True
        self.names: list[str] = sorted(self.file.keys())

    def _statement(self) -> dict[str, Any]:
        try:
            statement = json.loads((self.file.metadata() or {})[FORMAT])
            version = statement["version"]
        except (KeyError, ValueError, TypeError):
            raise Rejected(
                f"{self._name} is no alignment checkpoint: make one with init.", field="checkpoint"
            ) from None
        if version != FORMAT_VERSION:
            raise Rejected(
                f"{self._name} is of another version of the format: version {FORMAT_VERSION} is read.",
                field="checkpoint",
            )
        return dict(statement)

    def _dtype(self, stated: object) -> str:
        if not isinstance(stated, str) or stated not in STORED:
            raise Rejected(f"{self._name} states a dtype of weights that is not read here.", field="checkpoint")
        return stated

    def __enter__(self) -> "_Checkpoint":
        return self

    def __exit__(self, *_: object) -> None:
        # dropping the handle unmaps the file; safe_open can only be closed as a context
        self.file = None

    def fill(self, model: AlignmentModel | GpsModel, names: list[str]) -> None:
        """Copies the named weights into the model. Raises Rejected unless they are exactly the model's own."""
        read: dict[str, Tensor] = {name: self.file.get_tensor(name) for name in names}
        tensors = loaded(read, weight_names(model), self.dtype)
        require_fit(self._name, model.state_dict(), tensors)
        model.load_state_dict(tensors)


def require_fit(
    name: str, expected: Mapping[str, Tensor], found: Mapping[str, Tensor], *, same_dtype: bool = True
) -> None:
    """Raises Rejected, naming the first faults, unless names, shapes (and dtypes) agree. `name` is the file's."""
    faults = [f"{key} is missing" for key in expected if key not in found]
    faults += [f"{key} is unknown" for key in found if key not in expected]
    for key in expected.keys() & found.keys():
        if expected[key].shape != found[key].shape:
            faults.append(f"{key} is {list(found[key].shape)} and not {list(expected[key].shape)}")
        elif same_dtype and expected[key].dtype != found[key].dtype:
            faults.append(f"{key} is {found[key].dtype} and not {expected[key].dtype}")
    if faults:
        more = f", and {len(faults) - 3} more" if len(faults) > 3 else ""
        raise Rejected(f"{name} does not fit the model: {', '.join(sorted(faults)[:3])}{more}.", field="checkpoint")


def _unread(path: Path) -> str:
    """What to say of a file that is no safetensors: for one of PyTorch's, what makes a checkpoint of it."""
    if path.suffix not in _PYTORCH_SUFFIXES:
        return f"{path.name} is cut short or no safetensors file."
    given, made = shlex.quote(str(path)), shlex.quote(str(path.with_suffix(".safetensors")))
    return (
        f"{path.name} is a PyTorch file, which is not loaded as it is. If it is the published G3 checkpoint, run "
        f"`python -m g3_alignment convert --published {given} --out {made}` and load what that writes."
    )


def _opened(path: str | os.PathLike[str]) -> Any:
    return safe_open(os.fspath(path), framework="pt")


class _Unfilled(TorchFunctionMode):
    """Building a model whose weights are read next: skips drawing random ones, seconds for a large tower."""

    _DRAWS = (Tensor.normal_, Tensor.uniform_)

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func in self._DRAWS:
            return args[0]
        return func(*args, **(kwargs or {}))


def _absent(path: str | os.PathLike[str]) -> Missing:
    return Missing(f"There is no checkpoint {Path(path).name}.", field="checkpoint")


def _tampered(path: str | os.PathLike[str]) -> Rejected:
    return Rejected(
        f"{Path(path).name} holds other weights than its fingerprint states: fetch or make it again.",
        field="checkpoint",
    )
