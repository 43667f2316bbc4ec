"""Request headers that carry more than a string."""

import re

from g3_kit.errors import Rejected

MAX_WAIT_S = 60
_WAIT = re.compile(r"wait\s*=\s*\"?(\d{1,6})\"?", re.IGNORECASE)
_PRINTABLE = re.compile(r"[\x21-\x7e](?:[\x20-\x7e]{0,253}[\x21-\x7e])?")


def wait_s(prefer: str | None) -> int:
    """Seconds that `Prefer: wait=N` (RFC 7240 §4.3) asks to wait, at most 60; 0 without one or with one unreadable."""
    for preference in (prefer or "").split(","):
        if found := _WAIT.fullmatch(preference.partition(";")[0].strip()):
            return min(int(found.group(1)), MAX_WAIT_S)
    return 0


def idempotency_key(value: str | None) -> str:
    """The key, or "" when none was sent. Raises Rejected unless it is 1 to 255 printable ASCII characters."""
    if value is None:
        return ""
    if not _PRINTABLE.fullmatch(value):
        raise Rejected("It must have 1 to 255 printable ASCII characters.", field="Idempotency-Key")
    return value


def last_event_id(value: str | None) -> int:
    """The event that the caller saw last; 0 without one. Raises Rejected when it is no event id."""
    if value is None or value == "":
        return 0
    if not value.isascii() or not value.isdigit() or len(value) > 18:
        raise Rejected("It must be the id of an event of this job.", field="Last-Event-ID")
    return int(value)
