"""The error tree of G3. A name says what the caller must do.

::

    G3Error
    ├── Rejected            mend the input                    INVALID_ARGUMENT     422
    │   ├── TooLarge        send less                         INVALID_ARGUMENT     413
    │   ├── NotYet          a later release implements it     UNIMPLEMENTED        422
    │   ├── Mismatch        vectors of another model          FAILED_PRECONDITION  409
    │   └── Unmet           meet the condition it names       FAILED_PRECONDITION  409
    ├── Unauthenticated     send a key                        UNAUTHENTICATED      401
    ├── Forbidden           the key may not do this           PERMISSION_DENIED    403
    ├── Missing             no such thing                     NOT_FOUND            404
    ├── Conflict            the thing has moved on            ABORTED              409
    └── Unavailable         try again later                   UNAVAILABLE          503
        ├── Exhausted       try again after retry_after_s     RESOURCE_EXHAUSTED   429
        └── Late            the deadline passed               DEADLINE_EXCEEDED    504

`g3_kit.grpc_status` maps it to gRPC status and back; the orchestrator's API maps it to RFC 9457 problem details.
The message of an error is written for the caller: it never carries a stack, a path or a secret.
"""

from typing import ClassVar


class G3Error(Exception):
    """The root. `code` is stable and machine-readable; `grpc_status` and `http_status` say how it travels."""

    code: ClassVar[str] = "internal"
    grpc_status: ClassVar[str] = "INTERNAL"
    http_status: ClassVar[int] = 500

    def __init__(self, message: str, *, field: str = "", retry_after_s: float | None = None) -> None:
        """`field` names the request field at fault; `retry_after_s` is the wait in seconds to suggest."""
        super().__init__(message)
        self.message = message
        self.field = field
        self.retry_after_s = retry_after_s


class Rejected(G3Error):
    """The input is wrong and will stay wrong: mend it."""

    code = "rejected"
    grpc_status = "INVALID_ARGUMENT"
    http_status = 422


class TooLarge(Rejected):
    """The input is over a stated size."""

    code = "too_large"
    http_status = 413


class NotYet(Rejected):
    """The contract has this field already, this release does not implement it."""

    code = "not_yet"
    grpc_status = "UNIMPLEMENTED"


class Mismatch(Rejected):
    """Vectors, model or collection come from different fingerprints and must not be compared."""

    code = "mismatch"
    grpc_status = "FAILED_PRECONDITION"
    http_status = 409


class Unmet(Rejected):
    """A condition of the call does not hold: too little recall to publish, a server that cannot build that index."""

    code = "unmet"
    grpc_status = "FAILED_PRECONDITION"
    http_status = 409


class Unauthenticated(G3Error):
    """No key, or no known key."""

    code = "unauthenticated"
    grpc_status = "UNAUTHENTICATED"
    http_status = 401


class Forbidden(G3Error):
    """The key is known and may not do this."""

    code = "forbidden"
    grpc_status = "PERMISSION_DENIED"
    http_status = 403


class Missing(G3Error):
    """There is no such thing, or not for this tenant."""

    code = "missing"
    grpc_status = "NOT_FOUND"
    http_status = 404


class Conflict(G3Error):
    """The thing has moved on: read it again before acting. A refused stage write is one of these."""

    code = "conflict"
    grpc_status = "ABORTED"
    http_status = 409


class Unavailable(G3Error):
    """A dependency is away: the same call may succeed later."""

    code = "unavailable"
    grpc_status = "UNAVAILABLE"
    http_status = 503


class Exhausted(Unavailable):
    """A bounded queue, quota or limit is full: wait `retry_after_s` and call again."""

    code = "exhausted"
    grpc_status = "RESOURCE_EXHAUSTED"
    http_status = 429


class Late(Unavailable):
    """The deadline passed before the answer."""

    code = "late"
    grpc_status = "DEADLINE_EXCEEDED"
    http_status = 504


def _leaves(root: type[G3Error]) -> list[type[G3Error]]:
    return [root, *(leaf for child in root.__subclasses__() for leaf in _leaves(child))]


BY_CODE: dict[str, type[G3Error]] = {error.code: error for error in _leaves(G3Error)}
"""Every error of the tree by its stable code."""
