"""Where in a request a fault lies."""

from collections.abc import Iterator
from contextlib import contextmanager

from g3_kit.errors import Rejected


@contextmanager
def inside(path: str) -> Iterator[None]:
    """What is Rejected inside names its field from `path` on: callers know a field by its place in the request."""
    try:
        yield
    except Rejected as error:
        raise type(error)(error.message, field=f"{path}.{error.field}" if error.field else path) from None
