"""The error tree: every error has a code of its own and one way to travel."""

import grpc
import pytest
from g3_kit import errors
from g3_kit.errors import BY_CODE, G3Error

TABLE = {
    "internal": ("INTERNAL", 500),
    "rejected": ("INVALID_ARGUMENT", 422),
    "too_large": ("INVALID_ARGUMENT", 413),
    "not_yet": ("UNIMPLEMENTED", 422),
    "mismatch": ("FAILED_PRECONDITION", 409),
    "unmet": ("FAILED_PRECONDITION", 409),
    "unauthenticated": ("UNAUTHENTICATED", 401),
    "forbidden": ("PERMISSION_DENIED", 403),
    "missing": ("NOT_FOUND", 404),
    "conflict": ("ABORTED", 409),
    "unavailable": ("UNAVAILABLE", 503),
    "exhausted": ("RESOURCE_EXHAUSTED", 429),
    "late": ("DEADLINE_EXCEEDED", 504),
}


def all_errors() -> list[type[G3Error]]:
    return [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, G3Error)]


def test_codes_are_unique_and_complete() -> None:
    codes = [kind.code for kind in all_errors()]
    assert sorted(codes) == sorted(set(codes)) == sorted(TABLE) == sorted(BY_CODE)


@pytest.mark.parametrize("kind", all_errors(), ids=lambda kind: kind.__name__)
def test_each_error_travels_as_the_table_says(kind: type[G3Error]) -> None:
    assert (kind.grpc_status, kind.http_status) == TABLE[kind.code]
    assert kind.grpc_status in grpc.StatusCode.__members__
    assert BY_CODE[kind.code] is kind


@pytest.mark.parametrize("kind", all_errors(), ids=lambda kind: kind.__name__)
def test_the_drawn_tree_is_the_real_one(kind: type[G3Error]) -> None:
    drawing = next(line for line in (errors.__doc__ or "").splitlines() if kind.__name__ in line.split()[-100:])
    if kind is not G3Error:
        assert kind.grpc_status in drawing.split()
        assert str(kind.http_status) in drawing.split()


def test_what_can_be_tried_again_is_unavailable() -> None:
    assert {kind.code for kind in all_errors() if issubclass(kind, errors.Unavailable)} == {
        "unavailable",
        "exhausted",
        "late",
    }


def test_an_error_keeps_what_it_was_told() -> None:
    error = errors.Exhausted("the queue is full", field="photo", retry_after_s=2.5)
    assert (str(error), error.message, error.field, error.retry_after_s) == (
        "the queue is full",
        "the queue is full",
        "photo",
        2.5,
    )
