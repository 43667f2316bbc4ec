"""Which column of a file of predictions is which, by the usual headings, in either case."""

from dataclasses import dataclass

from g3_kit.errors import Rejected

ID = ("img_id", "image_id", "id", "file", "filename", "file_name", "path", "photo", "image", "img", "name")
_LATITUDE = ("latitude", "lat")
_LONGITUDE = ("longitude", "long", "lon", "lng")
_TRUE = ("gt_{}", "true_{}", "{}_true", "{}_gt", "truth_{}", "ground_truth_{}", "target_{}", "actual_{}")
_SAID = ("predicted_{}", "pred_{}", "{}_pred", "{}_predicted", "prediction_{}", "estimated_{}", "guess_{}")
DISTANCE = ("great_circle_distance", "gcd", "geodesic_distance", "distance_km", "distance", "gc_distance")


@dataclass(frozen=True, slots=True)
class Columns:
    """Headings (lower case) of a file; "" for a column that it lacks."""

    id: str
    true: tuple[str, str]
    """Latitude and longitude of the truth; both "" when the file states none."""
    said: tuple[str, str]
    """Latitude and longitude of the prediction; both "" when the file is a table of truths."""
    distance: str


def columns(file: str, headings: list[str]) -> Columns:
    """The columns of a file of predictions; plain `lat` and `lon` are the truth beside predictions, else predictions.

    Raises Rejected for a column that is missing, or that several headings claim.
    """
    where = {name: number for number, name in reversed(list(enumerate(headings)))}
    id_ = next((name for name in ID if name in where), "")
    if not id_:
        raise Rejected(f"{file} has no column of ids: head it img_id.", field="predictions")
    true, said = _pair(file, where, _TRUE), _pair(file, where, _SAID)
    plain = _pair(file, where, ("{}",))
    if not said[0]:
        said, plain = plain, ("", "")
    if not true[0]:
        true = plain
    if not said[0]:
        raise Rejected(
            f"{file} has no predictions: head their columns predicted_lat and predicted_long.", field="predictions"
        )
    return Columns(id_, true, said, next((name for name in DISTANCE if name in where), ""))


def truth_columns(file: str, headings: list[str]) -> Columns:
    """The columns of a table of truths. Raises Rejected."""
    where = {name: number for number, name in enumerate(headings)}
    id_ = next((name for name in ID if name in where), "")
    true = _pair(file, where, _TRUE)
    true = true if true[0] else _pair(file, where, ("{}",))
    if not (id_ and true[0]):
        raise Rejected(f"{file} states no truth: it needs columns img_id, lat and lon.", field="truth")
    return Columns(id_, true, ("", ""), "")


def _pair(file: str, where: dict[str, int], forms: tuple[str, ...]) -> tuple[str, str]:
    latitude = _one(file, where, [form.format(word) for form in forms for word in _LATITUDE])
    longitude = _one(file, where, [form.format(word) for form in forms for word in _LONGITUDE])
    if bool(latitude) != bool(longitude):
        there, lacking = latitude or longitude, "longitude" if latitude else "latitude"
        raise Rejected(f"{file} has a column {there} and none of its {lacking}.", field="predictions")
    return latitude, longitude


def _one(file: str, where: dict[str, int], names: list[str]) -> str:
    found = [name for name in dict.fromkeys(names) if name in where]
    if len(found) > 1:
        raise Rejected(f"{file} has columns {' and '.join(found)}: leave one of them.", field="predictions")
    return found[0] if found else ""
