"""How a command of the room ends: errors as one line on standard error, and a status."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NoReturn

import typer
from g3_client.errors import ConnectionFailed, G3ClientError, Problem, TimedOut
from g3_kit.errors import Conflict, G3Error, Missing, Rejected

FAILED, USAGE, INTERRUPTED = 1, 2, 130
AGAIN = "Run it again with the same --out to go on."


@contextmanager
def told() -> Iterator[None]:
    """Status 2 when the input or the command must be mended, 130 after Ctrl-C, 1 for what may go well later."""
    try:
        yield
    except KeyboardInterrupt:
        fail("stopped: run it again with the same --out to go on", INTERRUPTED)
    except (Rejected, Missing, Conflict) as error:
        fail(error.message, USAGE)
    except G3Error as error:
        fail(f"{error.message} {AGAIN}", FAILED)
    except Problem as error:
        fail(f"{error} {AGAIN}", USAGE if error.status < 500 else FAILED)
    except (ConnectionFailed, TimedOut) as error:
        fail(f"{error} {AGAIN}", FAILED)
    except G3ClientError as error:
        fail(str(error), USAGE)


def fail(message: str, status: int) -> NoReturn:
    """Ends the command."""
    sys.stderr.write(f"g3-eval: {message}\n")
    raise typer.Exit(status)
