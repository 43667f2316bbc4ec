"""Rejects beyond those that are kept as rows: a CSV file in the blob store for each batch of them."""

import csv
import hashlib
import io
from collections.abc import Sequence

from g3_orchestrator.ports import Blobs
from g3_orchestrator.runs import Reject, RejectFile, Room

HEADINGS = ("row", "id", "code", "reason")


def kept_and_filed(rejects: Sequence[Reject], room: Room, blobs: Blobs) -> tuple[Sequence[Reject], RejectFile | None]:
    """The rejects that are kept as rows, and the file that holds the others; None when all are kept.

    The file is named by its content, so that a batch that is told twice is one file. Raises Unavailable.
    """
    ordered = sorted(rejects, key=lambda reject: reject.row)
    kept, others = ordered[: room.rows], ordered[room.rows :]
    if not others:
        return kept, None
    data = written(others)
    sha256 = hashlib.sha256(data).hexdigest()
    blobs.put(room.tenant_id, sha256, data)
    return kept, RejectFile(others[0].row, sha256, len(others))


def written(rejects: Sequence[Reject]) -> bytes:
    """Lines of CSV without headings: row, id, code, reason."""
    text = io.StringIO(newline="")
    csv.writer(text).writerows((reject.row, reject.reference_id, reject.code, reject.reason) for reject in rejects)
    return text.getvalue().encode()
