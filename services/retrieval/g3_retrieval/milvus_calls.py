"""Milvus's failures as errors of the tree."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import grpc
from g3_kit import logs
from g3_kit.errors import Late, Missing, Unavailable
from pymilvus.exceptions import ConnectError, ConnectionNotExistException, MilvusException, MilvusUnavailableException

NOT_FOUND = 100
NOT_LOADED = (101, 102, 103)
"""Not loaded, and two degrees of not fully loaded (`merr` of Milvus)."""
NO_INDEX = 700
NO_ALIAS = (100, 1600)
"""milvus-lite and Milvus differ."""
# Not ready, unavailable, out of memory, over a limit, internal, rate-limited, refused for a while; replica, node,
# segment and channel trouble of a core that starts or moves things: all of them pass.
_PASSING = {1, 2, 3, 4, 5, 7, 8, 9, 14, 200, 201, 300, 301, 400, 401, 500, 501, 502, 503, 504, 600, 601, 901, 902, 904}
# What a core says of anything it has no code for; most of that is the caller's input.
_UNEXPECTED = 65535
_CHANNEL_GONE = "channel not available"

_log = logs.get("g3_retrieval.milvus")


@contextmanager
def translated(name: str = "") -> Iterator[None]:
    """Inside, what pymilvus raises becomes `Missing` (of `name`), `Unavailable` or `Late`; a refused input stays.

    The caller is told what to do, the log what Milvus said.
    """
    try:
        yield
    except (ConnectError, MilvusUnavailableException, ConnectionNotExistException, grpc.FutureTimeoutError) as error:
        raise _unavailable(error) from error
    except grpc.RpcError as error:
        # What grpc raises is a Call too, which its stubs cannot say.
        call: Any = error
        raise _by_status(call.code() if isinstance(call, grpc.Call) else None, error) from error
    except MilvusException as error:
        if isinstance(error.code, grpc.StatusCode):
            raise _by_status(error.code, error) from error
        if error.code == NOT_FOUND:
            raise Missing(f"there is no collection {name!r}", field="collection") from error
        if error.code in NOT_LOADED:
            raise Unavailable(f"the collection {name!r} is being loaded", retry_after_s=2.0) from error
        if error.code in _PASSING or gone_under_the_call(error):
            raise _unavailable(error) from error
        raise


def gone_under_the_call(error: MilvusException) -> bool:
    """Whether the collection was dropped or moved while a core searched it: a text is all that 2.3 has for that."""
    return error.code == _UNEXPECTED and _CHANNEL_GONE in str(error.message)


def _by_status(status: grpc.StatusCode | None, error: Exception) -> Unavailable:
    if status is grpc.StatusCode.DEADLINE_EXCEEDED:
        return Late("the vector store did not answer in time")
    return _unavailable(error)


def _unavailable(error: Exception) -> Unavailable:
    _log.warning("milvus call failed", reason=str(error))
    return Unavailable("the vector store is away", retry_after_s=1.0)
