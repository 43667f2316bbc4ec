"""Filters as Milvus expressions, in the subset that milvus-lite and a Milvus core understand alike.

Filter templates would spare the escaping, and milvus-lite and Milvus 2.3 do not have them.
"""

from collections.abc import Sequence

from g3_geography import BoundingBox

from g3_retrieval.references import Filter

_ESCAPES = str.maketrans({"\\": "\\\\", '"': '\\"', "\n": "\\n", "\r": "\\r", "\t": "\\t"})


def literal(text: str) -> str:
    """`text` as a string literal: the one place where foreign text enters an expression.

    Everything else stands as it is: milvus-lite has no \\u escapes, and both take raw UTF-8.
    """
    return f'"{text.translate(_ESCAPES)}"'


def one_of(field: str, texts: Sequence[str]) -> str:
    """`field` equals one of `texts`."""
    return f"{field} in [{', '.join(literal(text) for text in texts)}]"


def expression(wanted: Filter) -> str:
    """The whole filter; "" when everything passes."""
    parts = []
    if wanted.country_codes:
        parts.append(one_of("country_code", wanted.country_codes))
    if wanted.bounding_box is not None:
        parts.append(_inside(wanted.bounding_box))
    if wanted.excluded_ids:
        parts.append(f"not ({one_of('id', wanted.excluded_ids)})")
    if wanted.excluded_authors:
        parts.append(f"not ({one_of('author', wanted.excluded_authors)})")
    return " and ".join(parts)


def _inside(box: BoundingBox) -> str:
    eastwards, westwards = f"longitude >= {_number(box.west)}", f"longitude <= {_number(box.east)}"
    between = f"({eastwards} or {westwards})" if box.crosses_antimeridian else f"({eastwards} and {westwards})"
    if 180.0 in (box.west, box.east):
        # -180 and 180 name one meridian, and references always carry the first name.
        between = f"({between} or longitude == -180.0)"
    return f"latitude >= {_number(box.south)} and latitude <= {_number(box.north)} and {between}"


def _number(degrees: float) -> str:
    # Never an exponent; twenty decimals keep every bit that matters.
    return f"{degrees:.20f}"
