"""Commands that other distributions add: entry points of the group `g3.commands`.

An entry point names a function (it becomes one command) or a `typer.Typer` (a group of commands).
"""

from collections.abc import Set as AbstractSet
from importlib.metadata import EntryPoint, entry_points

import typer

from g3_client.command import show

GROUP = "g3.commands"

# what loading somebody's module may fail with
_BREAKS = (ImportError, AttributeError, SyntaxError, TypeError, ValueError, LookupError, OSError, RuntimeError)


def add(app: typer.Typer, asked: str, taken: AbstractSet[str]) -> None:
    """Adds the plug-in that offers command `asked`, or all of them when none does (for the help).

    A plug-in that cannot be loaded, or wants a name in `taken`, costs a line of warning and nothing else.
    """
    found = sorted(entry_points(group=GROUP), key=lambda point: point.name)
    for point in [p for p in found if p.name == asked] or found:
        _add(app, point, taken)


def _add(app: typer.Typer, point: EntryPoint, taken: AbstractSet[str]) -> None:
    if point.name in taken:
        _warn(point, "its name is taken")
        return
    try:
        command = point.load()
    except _BREAKS as error:
        _warn(point, f"{type(error).__name__}: {error}")
        return
    if isinstance(command, typer.Typer):
        app.add_typer(command, name=point.name)
    elif callable(command):
        app.command(point.name)(command)
    else:
        _warn(point, f"{point.value} is no command")


def _warn(point: EntryPoint, why: str) -> None:
    giver = f" of {point.dist.name}" if point.dist else ""
    show.error(f"command {point.name!r}{giver} is left out: {why}", kind="warning")
