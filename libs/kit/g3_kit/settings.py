"""Settings of a room: environment variables with the prefix G3_, validated once at start.

pydantic-settings reads and checks them; this module adds what an operator sees: one clear line for each setting at
fault, and a dump at start in which nothing secret is left.
"""

import re
import sys
from typing import Literal, TypeVar

from pydantic import SecretStr, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict, SettingsError

_QUERY = re.compile(r"[?#]")
_PAST_USER = re.compile(r"[/?#@]")
# libpq's key-value form, which a database setting may be given in.
_PASSWORD = re.compile(r"(\bpassword\s*=\s*)(?:'(?:[^'\\]|\\.)*'?|\S+)", re.IGNORECASE)


class RoomSettings(BaseSettings):
    """What every room can be told. Rooms subclass it; field `x` is read from `G3_X`."""

    model_config = SettingsConfigDict(env_prefix="G3_", extra="ignore", frozen=True)

    host: str = "127.0.0.1"
    """Address the room's listeners bind to; `0.0.0.0` in a container."""
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    log_format: Literal["json", "text"] = "json"
    metrics_port: int = 0
    """Port of the Prometheus listener; 0 means none."""


Settings = TypeVar("Settings", bound=RoomSettings)


def load(cls: type[Settings]) -> Settings:
    """Read `cls` from the environment; on a bad or missing setting say which, one line each, and exit with status 2."""
    try:
        return cls()
    except ValidationError as error:
        prefix = str(cls.model_config.get("env_prefix", ""))
        for fault in error.errors(include_input=False, include_url=False):
            reason = "is required" if fault["type"] == "missing" else fault["msg"].removeprefix("Value error, ")
            # A check of several settings together has no place of its own; its message names them.
            name = prefix + "_".join(str(part) for part in fault["loc"]).upper() + ": " if fault["loc"] else ""
            sys.stderr.write(f"{name}{reason}{_about(cls, fault['loc'])}\n")
        raise SystemExit(2) from None
    except SettingsError as error:
        # A list or an object that is not JSON; pydantic-settings says which field, and the value only in its cause.
        sys.stderr.write(f"{_of_source(cls, error)}\n")
        raise SystemExit(2) from None


def _of_source(cls: type[RoomSettings], error: SettingsError) -> str:
    named = re.search(r'field "(\w+)"', str(error))
    if named is None:
        return f"the environment cannot be read: {error}"
    return f"{str(cls.model_config.get('env_prefix', '')) + named[1].upper()}: is not valid JSON"


def _about(cls: type[RoomSettings], location: tuple[int | str, ...]) -> str:
    field = cls.model_fields.get(str(location[0])) if location else None
    return f" ({field.description})" if field is not None and field.description else ""


def redacted(settings: RoomSettings) -> dict[str, object]:
    """Every setting by name, secrets and passwords inside URLs replaced by `***`."""
    return {name: _redacted(value) for name, value in settings.model_dump(mode="python").items()}


def _redacted(value: object) -> object:
    if isinstance(value, SecretStr):
        return "***" if value.get_secret_value() else ""
    if isinstance(value, str):
        return redacted_url(value) if "://" in value else _PASSWORD.sub(r"\1***", value)
    return value if isinstance(value, bool | int | float | str | None) else str(value)


def redacted_url(url: str) -> str:
    """`url` with its password, its query values and its fragment replaced by `***`.

    It is cut by hand and from the right: a password that someone forgot to percent-encode may hold any of `/?#@`, and
    what a URL parser makes of that would show a part of it.
    """
    scheme, _, rest = url.partition("://")
    user, at, place = rest.rpartition("@")
    name, colon, _ = user.partition(":")
    shown = f"{name}:***@" if colon and not _PAST_USER.search(name) else "***@" if at else ""
    cut = _QUERY.search(place)
    where = place[: cut.start()] if cut else place
    pairs = place[cut.end() :].partition("#")[0].split("&") if cut and cut[0] == "?" else []
    query = "&".join(f"{pair.partition('=')[0]}=***" if "=" in pair else "***" for pair in pairs)
    return f"{scheme}://{shown}{where}" + (f"?{query}" if query else "#***" if cut else "")
