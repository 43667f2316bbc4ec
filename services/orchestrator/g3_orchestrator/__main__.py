"""`python -m g3_orchestrator api | coordinator | relay | migrate | key create --tenant NAME`."""

import argparse
import sys
from collections.abc import Callable
from contextlib import ExitStack

from g3_kit import logs, process
from g3_kit.errors import G3Error
from g3_kit.health import Health
from g3_kit.settings import RoomSettings, load, redacted

from g3_orchestrator.settings import AllSettings, ApiSettings, CoordinatorSettings, RelaySettings, StoreSettings

_ROOM = "orchestrator"


def main(arguments: list[str] | None = None) -> None:
    """Runs a command. Exit status 2: a setting or an argument is missing or wrong; 1: it cannot start."""
    parser = _parser()
    asked = parser.parse_args(arguments)
    if asked.command is None:
        load(AllSettings)
        parser.error("say which command to run")
    _COMMANDS[asked.command](asked)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m g3_orchestrator", description="Jobs, stages and results.")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND")
    commands.add_parser("api", help="REST, the public gRPC service and the internal stage service")
    commands.add_parser("coordinator", help="work on the queue `coordinate`: retrieve and verify")
    commands.add_parser("relay", help="send the outbox to the broker and sweep overdue stages")
    commands.add_parser("migrate", help="bring the database's schema up to date")
    key = commands.add_parser("key", help="API keys").add_subparsers(dest="action", metavar="ACTION", required=True)
    create = key.add_parser("create", help="make a key and show it, once")
    create.add_argument("--tenant", required=True, help="name of the tenant, made if there is none")
    create.add_argument("--label", default="", help="what the key is for")
    return parser


# Each command imports what it needs: migrating and making keys take no time for servers and gazetteers.


def _api(_: argparse.Namespace) -> None:
    from g3_orchestrator import app

    settings, health = load(ApiSettings), Health()
    process.run(_ROOM, settings, health, lambda stack: app.start_api(settings, health, stack))


def _relay(_: argparse.Namespace) -> None:
    from g3_orchestrator import app

    settings, health = load(RelaySettings), Health()
    process.run(_ROOM, settings, health, lambda stack: app.start_relay(settings, health, stack))


def _coordinator(_: argparse.Namespace) -> None:
    from g3_orchestrator import app

    settings = load(CoordinatorSettings)
    logs.configure(_ROOM, settings.log_level, settings.log_format)
    log = logs.get(_ROOM)
    log.info("starting", settings=redacted(settings))
    # Celery has signal handlers of its own.
    _once(settings, lambda: app.run_coordinator(settings, Health()))
    log.info("stopped")


def _migrate(_: argparse.Namespace) -> None:
    from g3_orchestrator.migrations import migrate

    settings = load(StoreSettings)
    _once(settings, lambda: migrate(settings.database_url))


def _key(asked: argparse.Namespace) -> None:
    from g3_orchestrator import keys
    from g3_orchestrator.store.postgres import PostgresStore

    settings = load(StoreSettings)

    def create() -> None:
        with ExitStack() as stack:
            store = stack.enter_context(PostgresStore(settings.database_url, pool_size=1))
            sys.stdout.write(keys.create(store, asked.tenant, asked.label) + "\n")

    _once(settings, create)


def _once(settings: RoomSettings, act: Callable[[], None]) -> None:
    logs.configure(_ROOM, settings.log_level, settings.log_format)
    try:
        act()
    except G3Error as error:
        sys.stderr.write(f"{_ROOM}: {error.message}\n")
        raise SystemExit(1) from None


_COMMANDS: dict[str, Callable[[argparse.Namespace], None]] = {
    "api": _api,
    "coordinator": _coordinator,
    "relay": _relay,
    "migrate": _migrate,
    "key": _key,
}

if __name__ == "__main__":
    main()
