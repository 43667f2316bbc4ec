"""Request headers that carry more than a string."""

import pytest
from g3_kit.errors import Rejected
from g3_orchestrator.rest import headers


@pytest.mark.parametrize(
    ("prefer", "wait_s"),
    [
        (None, 0),
        ("", 0),
        ("wait=10", 10),
        ("Wait = 5", 5),
        ('respond-async, wait="7"; foo', 7),
        ("wait=600", 60),
        ("wait=0", 0),
        ("wait=-1", 0),
        ("wait=ten", 0),
        ("wait=9999999999", 0),
        ("wait", 0),
    ],
)
def test_prefer_wait_is_read_as_rfc_7240_has_it_and_capped(prefer: str | None, wait_s: int) -> None:
    assert headers.wait_s(prefer) == wait_s


def test_an_idempotency_key_is_printable_and_short() -> None:
    assert headers.idempotency_key(None) == ""
    assert headers.idempotency_key("k" * 255) == "k" * 255
    assert headers.idempotency_key("order 7/3") == "order 7/3"
    for wrong in ("", "k" * 256, " padded", "caf\xe9", "a\x00b"):
        with pytest.raises(Rejected):
            headers.idempotency_key(wrong)


def test_the_last_event_is_a_number() -> None:
    assert headers.last_event_id(None) == headers.last_event_id("") == 0
    assert headers.last_event_id("12") == 12
    for wrong in ("-1", "x", "1.5", "²", "9" * 19):
        with pytest.raises(Rejected):
            headers.last_event_id(wrong)
