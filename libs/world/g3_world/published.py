"""What the synthetic copies of published data sets share: names, authors, accidents, the placeholder, the notes.

The formats are those of the field (MP16-Pro, IM2GPS3K, YFCC4K); nothing of the originals is in them.
"""

import csv
import hashlib
import io
import json
from collections.abc import Iterable, Sequence
from pathlib import Path

from g3_kit.errors import Conflict, Rejected
from PIL import Image, ImageDraw

from g3_world.plan import ABOUT, Plan, claim, description, replacing
from g3_world.sampling import Spot

SMALLEST_PX = 192
"""Readers of MP16 take JPEGs of 5,120 bytes or less for placeholders; real photos of this world pass that from here."""

SIZE_PX = 224
PLACEHOLDER_BYTES = 5120


def share(plan: Plan, index: int, what: str) -> float:
    """An accident of one row, even over [0, 1), the same in every process."""
    return int(_digest(plan, index, what)[:13], 16) / 16**13


def hexadecimal(plan: Plan, index: int, digits: int) -> str:
    """`digits` (at most 40) that look like a checksum and name one row of one data set."""
    return _digest(plan, index, "name")[:digits]


def number(plan: Plan, index: int) -> str:
    """Digits that no other row of any other seed has: the seed, then eight for the row."""
    return f"{plan.seed}{index:08d}"


def flickr_author(plan: Plan, spot: Spot) -> str:
    """The invented photographer as Flickr writes one, `digits@N00`: never the same in two seeds."""
    own = plan.author(spot).rsplit("-", 1)[1]
    return f"{plan.seed}{spot.city_row:06d}{own}@N00"


def check(plan: Plan) -> None:
    """Raises `Rejected` for a plan that these formats cannot hold."""
    plan.check()
    if plan.size < SMALLEST_PX:
        raise Rejected(
            f"size must be at least {SMALLEST_PX} pixels here: smaller JPEGs are as small as the "
            f"{PLACEHOLDER_BYTES} bytes that readers of these data sets take for placeholders",
            field="size",
        )
    if plan.count >= 10**8:
        raise Rejected("count must be less than 100,000,000", field="count")


def begin(plan: Plan, folder: Path, kind: str, notes: Sequence[str], extra: dict[str, object]) -> None:
    """Claims the folder and writes its README; published formats do not grow (`Conflict` for another count)."""
    stated = plan.stated() | {"format": kind, "count": plan.count} | extra
    if description(folder) is None and any(folder.glob("*.csv")):
        raise Conflict(f"{folder} holds a table that did not come from here: choose an empty folder")
    claim(folder, json.loads(json.dumps(stated)))
    with replacing(folder / "README.txt") as part:
        lines = [ABOUT, f"The format is that of {kind}; no photo, name or row of the original is here.", "", *notes]
        part.write_text("\n".join(lines) + "\n", encoding="utf-8")


def placeholder() -> bytes:
    """The one picture that stands for photos that are gone: a JPEG of at most 5,120 bytes."""
    image = Image.new("RGB", (400, 300), (235, 235, 237))
    draw = ImageDraw.Draw(image)
    draw.rectangle((24, 24, 375, 275), outline=(190, 190, 194))
    draw.text((80, 144), "This synthetic photo is no longer available.", fill=(96, 96, 100))
    buffer = io.BytesIO()
    image.save(buffer, format="JPEG", quality=40)
    return buffer.getvalue()


def write_table(path: Path, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> Path:
    """Writes a CSV that appears whole or not at all."""
    with replacing(path) as part, part.open("w", encoding="utf-8", newline="") as lines:
        writer = csv.writer(lines)
        writer.writerow(columns)
        writer.writerows(rows)
    return path


def _digest(plan: Plan, index: int, what: str) -> str:
    return hashlib.blake2b(f"{plan.seed} {index} {what}".encode(), digest_size=20).hexdigest()
