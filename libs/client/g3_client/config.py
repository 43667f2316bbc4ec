"""Where the server is and with which key: the environment first, then the file that `g3 up` writes."""

import ipaddress
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from g3_client.errors import Misconfigured

NOTHING_CONFIGURED = (
    "No G3 server is configured: start one with `g3 up`, or set G3_URL (and G3_API_KEY) to that of a running one."
)


@dataclass(frozen=True)
class Connection:
    """A server and the key for it; the key is kept out of the representation."""

    url: str
    api_key: str = field(default="", repr=False)
    targets: Mapping[str, str] = field(default_factory=dict)
    """gRPC addresses (`host:port`) of rooms on this machine, by room; only `g3 up` knows them."""

    def __post_init__(self) -> None:
        """Raises Misconfigured when `url` is no http(s) address or the key cannot go into a header."""
        parts = urlsplit(self.url)
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise Misconfigured(f"{self.url!r} is not an http(s) address.")
        if not (self.api_key.isascii() and self.api_key.isprintable()):
            raise Misconfigured("The API key has characters that no key has.")

    @property
    def loopback(self) -> bool:
        """Whether the server is on this machine, where no proxy stands in between."""
        host = urlsplit(self.url).hostname or ""
        try:
            return ipaddress.ip_address(host).is_loopback
        except ValueError:
            return host == "localhost"


def path(environment: Mapping[str, str] = os.environ) -> Path:
    """The file of the connection: `$G3_HOME/client.json`, else `client.json` in `g3` of the user's configuration."""
    if home := environment.get("G3_HOME"):
        return Path(home).expanduser() / "client.json"
    return Path(environment.get("XDG_CONFIG_HOME") or "~/.config").expanduser() / "g3" / "client.json"


def write(connection: Connection, file: Path | None = None) -> Path:
    """Writes the connection for later commands, readable by its owner only; returns the file's path."""
    file = file or path()
    file.parent.mkdir(parents=True, exist_ok=True)
    fresh = file.with_suffix(f".{os.getpid()}")
    # created private: there is no moment at which others can read the key
    with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as handle:
        kept = {"url": connection.url, "api_key": connection.api_key, "targets": dict(connection.targets)}
        json.dump(kept, handle)
    fresh.replace(file)
    return file


def find(url: str = "", api_key: str = "", environment: Mapping[str, str] = os.environ) -> Connection:
    """The connection: what is given, else G3_URL and G3_API_KEY, else the file.

    The file's key belongs to the file's server and is never sent to another one.
    Raises Misconfigured when no server is named anywhere or the file is damaged.
    """
    url = url or environment.get("G3_URL", "")
    api_key = api_key or environment.get("G3_API_KEY", "")
    if url and api_key:
        return Connection(url.rstrip("/"), api_key)
    try:
        kept = _read(path(environment))
    except Misconfigured:
        if not url:
            raise
        kept = None
    if not url:
        if kept is None:
            raise Misconfigured(NOTHING_CONFIGURED)
        return Connection(kept.url, api_key or kept.api_key)
    if kept is not None and kept.url == url.rstrip("/"):
        return kept
    return Connection(url.rstrip("/"), api_key)


def target(room: str, environment: Mapping[str, str] = os.environ) -> str:
    """The gRPC address of a room of the stack on this machine, from the file; empty when there is none.

    Raises Misconfigured when the file is damaged.
    """
    kept = _read(path(environment))
    return kept.targets.get(room, "") if kept is not None else ""


def _read(file: Path) -> Connection | None:
    try:
        document = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise Misconfigured(f"{file} cannot be read ({type(error).__name__}): remove it or run `g3 up`.") from error
    if not isinstance(document, dict) or not isinstance(document.get("url"), str):
        raise Misconfigured(f"{file} has no url: remove it or run `g3 up`.")
    targets = document.get("targets")
    known = {str(room): str(place) for room, place in targets.items()} if isinstance(targets, dict) else {}
    return Connection(document["url"].rstrip("/"), str(document.get("api_key") or ""), known)
