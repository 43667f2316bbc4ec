"""The error tree as gRPC status, and back, with the details of google.rpc (AIP-193)."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import grpc
from google.protobuf import any_pb2, duration_pb2
from google.rpc import code_pb2, error_details_pb2, status_pb2
from grpc_status import rpc_status

from g3_kit.errors import (
    BY_CODE,
    Conflict,
    Exhausted,
    Forbidden,
    G3Error,
    Late,
    Mismatch,
    Missing,
    NotYet,
    Rejected,
    TooLarge,
    Unauthenticated,
    Unavailable,
)

DOMAIN = "g3"
# A status travels in HTTP/2 headers, of which a peer takes 8 KiB: the text goes three times, once percent-encoded.
_MESSAGE_BYTES = 1000
# gRPC has one code for a quota and for a message over its size limit, but only the first is worth another try.
_OVER_SIZE = re.compile(r"(Received|Sent) message larger than max \((\d+) vs\.? (\d+)\)")
# For peers that are not ours and send no ErrorInfo. A call that its caller cancelled raises FutureCancelledError and
# never comes here: CANCELLED is what grpc's server answers to a call that reached it while it was shutting down.
_BY_STATUS: dict[grpc.StatusCode, type[G3Error]] = {
    grpc.StatusCode.INVALID_ARGUMENT: Rejected,
    grpc.StatusCode.OUT_OF_RANGE: Rejected,
    grpc.StatusCode.FAILED_PRECONDITION: Mismatch,
    grpc.StatusCode.UNIMPLEMENTED: NotYet,
    grpc.StatusCode.UNAUTHENTICATED: Unauthenticated,
    grpc.StatusCode.PERMISSION_DENIED: Forbidden,
    grpc.StatusCode.NOT_FOUND: Missing,
    grpc.StatusCode.ABORTED: Conflict,
    grpc.StatusCode.ALREADY_EXISTS: Conflict,
    grpc.StatusCode.UNAVAILABLE: Unavailable,
    grpc.StatusCode.CANCELLED: Unavailable,
    grpc.StatusCode.RESOURCE_EXHAUSTED: Exhausted,
    grpc.StatusCode.DEADLINE_EXCEEDED: Late,
}


def status_of(error: G3Error) -> grpc.Status:
    """The gRPC status of `error`: its message, ErrorInfo(reason=code), and RetryInfo or BadRequest where they apply."""
    message = _short(error.message)
    details = [_packed(error_details_pb2.ErrorInfo(reason=error.code, domain=DOMAIN))]
    if error.retry_after_s is not None:
        wait = duration_pb2.Duration()
        wait.FromNanoseconds(int(error.retry_after_s * 1e9))
        details.append(_packed(error_details_pb2.RetryInfo(retry_delay=wait)))
    if error.field:
        violation = error_details_pb2.BadRequest.FieldViolation(field=_short(error.field), description=message)
        details.append(_packed(error_details_pb2.BadRequest(field_violations=[violation])))
    code = code_pb2.Code.Value(error.grpc_status)
    status: grpc.Status = rpc_status.to_status(status_pb2.Status(code=code, message=message, details=details))
    return status


def _short(text: str) -> str:
    # Lone surrogates have no UTF-8, and a message may quote what a caller sent.
    content = text.encode("utf-8", "replace")
    if len(content) <= _MESSAGE_BYTES:
        return content.decode()
    return content[: _MESSAGE_BYTES - 3].decode("utf-8", "ignore") + "…"


def _packed(message: object) -> any_pb2.Any:
    packed = any_pb2.Any()
    packed.Pack(message)  # type: ignore[arg-type]
    return packed


def error_of(failure: grpc.RpcError) -> G3Error:
    """The error of the tree that `failure` stands for; an unknown status is a plain `G3Error`."""
    # What grpc raises is an RpcError and a Call at once, which its type stubs cannot say.
    call: Any = failure
    if not isinstance(call, grpc.Call):
        return G3Error(str(failure))
    over = _OVER_SIZE.search(call.details() or "")
    if over is not None:
        return TooLarge(f"the message has {over[2]} bytes, the limit is {over[3]}")
    kind: type[G3Error] = _BY_STATUS.get(call.code(), G3Error)
    field, retry_after_s = "", None
    status = rpc_status.from_call(call)
    for detail in status.details if status is not None else ():
        info, retry = error_details_pb2.ErrorInfo(), error_details_pb2.RetryInfo()
        request = error_details_pb2.BadRequest()
        if detail.Unpack(info) and info.domain == DOMAIN:
            kind = BY_CODE.get(info.reason, kind)
        elif detail.Unpack(retry):
            retry_after_s = retry.retry_delay.ToNanoseconds() / 1e9
        elif detail.Unpack(request) and request.field_violations:
            field = request.field_violations[0].field
    return kind(call.details() or str(call.code()), field=field, retry_after_s=retry_after_s)


@contextmanager
def translated() -> Iterator[None]:
    """Raise the error of the tree for any grpc.RpcError inside the block (streams are read in one)."""
    try:
        yield
    except grpc.RpcError as failure:
        raise error_of(failure) from failure
