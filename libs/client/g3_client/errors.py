"""The error tree of the client. A name says what the caller can do.

::

    G3ClientError
    ├── Misconfigured         say where the server is
    ├── UnusablePhoto         the photo cannot be read on this side
    ├── ConnectionFailed      no answer came, also after trying again
    ├── TimedOut              the time given is over; the job goes on at the server
    ├── Unintelligible        the answer is not one of this API
    └── Problem               the server refused; `status`, `code`, `detail` and `errors` say why
        ├── Rejected          mend the input                        422, 400, 415
        │   ├── TooLarge      send less                             413
        │   ├── NotYet        a later release implements it         422
        │   └── Mismatch      vectors of another model              409
        ├── Unauthenticated   send a key                            401
        ├── Forbidden         the key may not do this               403
        ├── Missing           no such thing                         404
        ├── Conflict          the thing has moved on                409
        └── Unavailable       try again later                       5xx
            ├── Exhausted     try again after `retry_after_s`       429
            └── Late          the server's deadline passed          504
"""

from collections.abc import Sequence
from dataclasses import dataclass


class G3ClientError(Exception):
    """The root: everything this package raises by itself."""


class Misconfigured(G3ClientError):
    """Nobody said where the server is, or what was said is not an address."""


class UnusablePhoto(G3ClientError):
    """The photo's file cannot be read, or is empty."""


class ConnectionFailed(G3ClientError):
    """No answer came, also after trying again."""


class TimedOut(G3ClientError):
    """The time given is over. A job that was submitted goes on at the server: `job_id` names it."""

    def __init__(self, message: str, *, job_id: str = "") -> None:
        """`job_id` is empty when no job was reached."""
        super().__init__(message)
        self.job_id = job_id


class Unintelligible(G3ClientError):
    """The answer is not one of this API: another server, or a proxy in between."""


@dataclass(frozen=True)
class FieldError:
    """What is wrong with one field of the request."""

    field: str
    detail: str


class Problem(G3ClientError):
    """The server refused, with RFC 9457 problem details."""

    def __init__(
        self,
        detail: str,
        *,
        status: int,
        code: str,
        errors: Sequence[FieldError] = (),
        retry_after_s: float | None = None,
    ) -> None:
        """`code` is stable and machine-readable; `retry_after_s` is the wait in seconds the server asks for."""
        super().__init__(detail)
        self.detail = detail
        self.status = status
        self.code = code
        self.errors = tuple(errors)
        self.retry_after_s = retry_after_s

    def __str__(self) -> str:
        """The detail, the fields at fault and the code."""
        # the server repeats the detail for a single field at fault
        fields = "".join(f"; {e.field}: {e.detail}" if e.detail != self.detail else f"; {e.field}" for e in self.errors)
        return f"{self.detail.rstrip('.')}{fields} ({self.status} {self.code})"


class Rejected(Problem):
    """The input is wrong and will stay wrong: mend it."""


class TooLarge(Rejected):
    """The input is over a stated size."""


class NotYet(Rejected):
    """The contract has this field already, the server's release does not implement it."""


class Mismatch(Rejected):
    """Vectors, model or collection come from different fingerprints."""


class Unauthenticated(Problem):
    """No key, or no known key."""


class Forbidden(Problem):
    """The key is known and may not do this."""


class Missing(Problem):
    """There is no such thing, or not for this tenant."""


class Conflict(Problem):
    """The thing has moved on: read it again before acting."""


class Unavailable(Problem):
    """The server or something behind it is away: the same call may succeed later."""


class Exhausted(Unavailable):
    """A quota, queue or limit is full."""


class Late(Unavailable):
    """The server's deadline passed before the answer."""


_BY_CODE: dict[str, type[Problem]] = {
    "rejected": Rejected,
    "malformed": Rejected,
    "unsupported_media_type": Rejected,
    "method_not_allowed": Rejected,
    "too_large": TooLarge,
    "not_yet": NotYet,
    "mismatch": Mismatch,
    "unauthenticated": Unauthenticated,
    "forbidden": Forbidden,
    "missing": Missing,
    "conflict": Conflict,
    "unavailable": Unavailable,
    "internal": Unavailable,
    "exhausted": Exhausted,
    "late": Late,
}

# for answers of a proxy, which knows no codes
_BY_STATUS: dict[int, type[Problem]] = {
    400: Rejected,
    401: Unauthenticated,
    403: Forbidden,
    404: Missing,
    405: Rejected,
    409: Conflict,
    413: TooLarge,
    415: Rejected,
    422: Rejected,
    429: Exhausted,
    504: Late,
}


def kind_of(status: int, code: str) -> type[Problem]:
    """The class for a problem: by its code, else by its status."""
    if kind := _BY_CODE.get(code):
        return kind
    return _BY_STATUS.get(status) or (Unavailable if status >= 500 else Problem)
