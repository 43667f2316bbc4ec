"""Reading coordinates out of what an LMM said. What cannot be read is dropped with a reason, never guessed.

Tried in this order, and of several finds the last, where the conclusion stands:

1. JSON anywhere in the text: an object with a latitude and a longitude, a GeoJSON point.
2. `latitude …` and `longitude …` in prose, in either order.
3. Angles with hemispheres: `48.8584 N, 2.2945 E`, `N 48.8584 E 2.2945`, `33°51'35" S 151°12'40" E`.
4. A pair after `latitude, longitude`, in brackets, or that is the whole text: latitude first.

Signs, integers, exponents, the Unicode minus and degree signs are fine. Every number that comes out stands in the text.
"""

import json
import math
import re
from collections.abc import Iterator
from enum import Enum
from typing import Any, NamedTuple

MAX_CHARACTERS = 16 * 1024
# JSON is looked for at so many brackets, from the end: enough for any answer, and no more work for a hostile one.
_MAX_STARTS = 200

# A capital E needs a sign behind it to be an exponent: "48.8E2.3" names a hemisphere.
_NUMBER = r"[+-]?(?:\d{1,9}(?:\.\d{0,20})?|\.\d{1,20})(?:e[+-]?\d{1,3}|E[+-]\d{1,3})?"
# No digit, dot or letter may touch the number: "v1.5.2" and "12.345.678" are no coordinates.
_DEGREES = rf"(?<![\w.])({_NUMBER})(?!\d|\.\d|[A-DF-MO-RT-VX-Za-z])"
_MINUTES = r"""(?:\s?(\d{1,2}(?:\.\d{1,9})?)\s?'(?:\s?(\d{1,2}(?:\.\d{1,9})?)\s?(?:"|''))?)?"""
_ANGLE = rf"{_DEGREES}(?:\s?(?:°{_MINUTES}|(?i:degrees?|deg\.?)(?!\w)))?"
_HEMISPHERE = r"(?:\s?(?:([NSEW])(?!\w)|(?i:(north|south|east|west))(?!\w)))"
# Between a name and its number: quotes, a colon, "is about" …, but no other number and no sentence's end.
_LINK = r"[^\d+\-.\n]{0,24}?"
_NAMED = re.compile(
    rf"(?<![A-Za-z])(?i:(lat)(?:itude)?|(lon)(?:g(?:itude)?)?|(lng))(?![A-Za-z])\.?{_LINK}{_ANGLE}{_HEMISPHERE}?"
)
_LETTERED = re.compile(rf"(?<!\w)([NSEW])\s?{_ANGLE}|{_ANGLE}{_HEMISPHERE}")
_PAIR = rf"{_DEGREES}\s?°?\s?[,;]\s?{_DEGREES}\s?°?"
_BRACKETED = re.compile(rf"[(\[]\s?{_PAIR}\s?[)\]]")
_HEADED = re.compile(rf"(?i:\blat(?:itude)?\W{{1,6}}(?:and )?(?:lon(?:g(?:itude)?)?|lng)\b){_LINK}{_PAIR}")
_ALONE = re.compile(rf"\W{{0,8}}?{_DEGREES}\s?°?\s?[,;\s]\s?{_DEGREES}\s?°?\W{{0,8}}")
_JSON_ANGLE = re.compile(rf"\s?{_ANGLE}{_HEMISPHERE}?\s?")
_REFUSAL = re.compile(
    r"(?i)\b(?:i(?:'m| am) (?:sorry|unable|not able)|i (?:can't|cannot|can not|won't|will not)|"
    r"(?:unable|not possible|impossible) to (?:determine|identify|tell|locate|provide|say|answer)|"
    r"(?:can't|cannot|could not|couldn't) (?:determine|identify|locate|help|assist|provide|be determined)|as an ai)\b"
)
_PLAIN = str.maketrans(
    {
        **dict.fromkeys("\u2212\u2010\u2011\u2012\u2013\u2014\ufe63\uff0d", "-"),
        **dict.fromkeys("\u2032\u2019\u02b9", "'"),
        **dict.fromkeys("\u2033\u201d\u201c\u02ba", '"'),
        **dict.fromkeys("\u00ba\u02da", "°"),
    }
)
_LATITUDE_KEYS = frozenset({"latitude", "lat"})
_LONGITUDE_KEYS = frozenset({"longitude", "lon", "long", "lng"})


class Point(NamedTuple):
    """A place on Earth as it was stated: `latitude` in [-90, 90], `longitude` in [-180, 180], WGS 84 degrees."""

    latitude: float
    longitude: float


class Unread(Enum):
    """Why a text gives no point."""

    UNPARSABLE = "unparsable"
    """No pair of coordinates could be read from it."""
    OUT_OF_RANGE = "out_of_range"
    """Its numbers are no place on Earth."""
    REFUSED = "refused"
    """The LMM declined to answer."""


class _Contradictory(Exception):
    """A latitude was called east or west, or a longitude north or south: no other reading is to be trusted."""


def read(text: str) -> Point | Unread:
    """The point that the text states, or why it gives none. Never raises; reads the first 16 Ki characters."""
    plain = text[:MAX_CHARACTERS].translate(_PLAIN)
    plain = re.sub(r"[^\S\n]+", " ", re.sub(r"\s*\n\s*", "\n", plain))
    try:
        for way in (_from_json, _from_names, _from_letters, _from_pair):
            point = way(plain)
            if point is not None:
                return _gated(*point)
    except _Contradictory:
        return Unread.UNPARSABLE
    return Unread.REFUSED if _REFUSAL.search(plain) else Unread.UNPARSABLE


def _gated(latitude: float, longitude: float) -> Point | Unread:
    """A longitude past 180 is not wrapped: who says 200 did not mean -160."""
    if abs(latitude) <= 90 and abs(longitude) <= 180:
        return Point(latitude, longitude)
    return Unread.OUT_OF_RANGE


def _from_json(text: str) -> Point | None:
    decoder = json.JSONDecoder()
    starts = [match.start() for match in re.finditer(r"[{\[]", text)][-_MAX_STARTS:]
    found, end = None, 0
    for start in starts:
        if start < end:
            # Inside a document that was read as a whole.
            continue
        try:
            document, end = decoder.raw_decode(text, start)
        except (ValueError, RecursionError):
            continue
        for point in _points(document, 8):
            found = point
    return found


def _points(document: Any, depth: int) -> Iterator[Point]:
    if isinstance(document, dict):
        latitude = _valued(document, _LATITUDE_KEYS, "NS")
        longitude = _valued(document, _LONGITUDE_KEYS, "EW")
        if latitude is not None and longitude is not None:
            yield Point(latitude, longitude)
        position = document.get("coordinates")
        if document.get("type") == "Point" and isinstance(position, list) and len(position) in (2, 3):
            # RFC 7946: longitude first.
            longitude, latitude = _number(position[0], "EW"), _number(position[1], "NS")
            if latitude is not None and longitude is not None:
                yield Point(latitude, longitude)
    if depth and isinstance(document, dict | list):
        for part in document.values() if isinstance(document, dict) else document:
            yield from _points(part, depth - 1)


def _valued(document: dict[str, Any], keys: frozenset[str], hemispheres: str) -> float | None:
    for key, value in document.items():
        if key.strip().lower() in keys:
            return _number(value, hemispheres)
    return None


def _number(value: object, hemispheres: str) -> float | None:
    if isinstance(value, bool):
        return None
    if isinstance(value, int | float):
        # JSON's NaN and integers beyond any float are numbers, and no place: let the gate say so.
        return float(value) if math.isfinite(value) and abs(value) < 1e9 else 1e9
    match = _JSON_ANGLE.fullmatch(value) if isinstance(value, str) else None
    return _angle(match.groups(), hemispheres) if match else None


def _from_names(text: str) -> Point | None:
    found: Point | None = None
    latitude = longitude = None
    sound = True
    for match in _NAMED.finditer(text):
        angle = _angle(match.groups()[3:], "NS" if match[1] else "EW")
        sound = sound and angle is not None
        if match[1]:
            latitude = angle
        else:
            longitude = angle
        if latitude is not None and longitude is not None:
            found, latitude, longitude = Point(latitude, longitude), None, None
    if found is None and not sound:
        raise _Contradictory
    return found


def _from_letters(text: str) -> Point | None:
    found: Point | None = None
    latitude = longitude = None
    for match in _LETTERED.finditer(text):
        before, *groups = match.groups()
        parts = (*groups[:3], before, None) if before else tuple(groups[3:])
        if (parts[3] or parts[4] or "")[:1].upper() in ("N", "S"):
            latitude = _angle(parts, "NS")
        else:
            longitude = _angle(parts, "EW")
        if latitude is not None and longitude is not None:
            found, latitude, longitude = Point(latitude, longitude), None, None
    return found


def _from_pair(text: str) -> Point | None:
    pairs = [*_HEADED.finditer(text)] or [*_BRACKETED.finditer(text)]
    match = pairs[-1] if pairs else _ALONE.fullmatch(text)
    return Point(float(match[1]), float(match[2])) if match else None


def _angle(groups: tuple[str | None, ...], hemispheres: str) -> float | None:
    """Degrees from (degrees, minutes, seconds, letter, word); None when the parts contradict each other."""
    degrees, minutes, seconds, letter, word = groups
    if degrees is None:
        return None
    value = abs(float(degrees)) + float(minutes or 0) / 60 + float(seconds or 0) / 3600
    negative = degrees.startswith("-")
    side = (letter or word or "")[:1].upper()
    if side and (side not in hemispheres or (negative and side in "NE")):
        return None
    return -value if negative or side in tuple("SW") else value
