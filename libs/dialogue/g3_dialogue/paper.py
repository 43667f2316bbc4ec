"""The words of the order `paper`: G3 (NeurIPS 2024), section 3.2, in the reference's structure.

A persona and the task, then the coordinates of similar and of dissimilar references, then the form of the answer;
the photo comes last. The wording is our own. The keys of the answer are described in words: a template with example
numbers is echoed as the answer.
"""

from decimal import Decimal

from g3_dialogue.references import Reference

_TASK = (
    "You are an expert in photo geolocation. Study the photo that follows this text and work out where on Earth it "
    "was taken. Landscape, vegetation, light, buildings, roads, vehicles, signs and writing all count. Commit to one "
    "point even when you are unsure: a best guess is always wanted and a refusal never is."
)
_SIMILAR = (
    "For orientation, these are the coordinates (latitude, longitude) of known photos that look like this one, the "
    "most alike first: {points}."
)
_DISSIMILAR = "And these are the coordinates (latitude, longitude) of known photos that look unlike this one: {points}."
_FORM = (
    'Answer with a single JSON object and nothing else. It has two keys: "latitude", whose value is the latitude of '
    'the place in decimal degrees, negative south of the equator, and "longitude", whose value is the longitude in '
    "decimal degrees, negative west of Greenwich. Both values are numbers, not strings, with as many decimals as you "
    "can justify."
)
SENTENCES = (_TASK, *(sentence.partition("{points}")[0] for sentence in (_SIMILAR, _DISSIMILAR)), _FORM)
"""All that is said besides coordinates, as far as it never changes."""


def text(similar: tuple[Reference, ...], dissimilar: tuple[Reference, ...]) -> str:
    """The text of one prompt. A kind of reference of which there are none is not mentioned at all."""
    paragraphs = [_TASK]
    if similar:
        paragraphs.append(_SIMILAR.format(points=_points(similar)))
    if dissimilar:
        paragraphs.append(_DISSIMILAR.format(points=_points(dissimilar)))
    paragraphs.append(_FORM)
    return "\n\n".join(paragraphs)


def _points(references: tuple[Reference, ...]) -> str:
    return ", ".join(f"({_degrees(point.latitude)}, {_degrees(point.longitude)})" for point in references)


def _degrees(value: float) -> str:
    """Every decimal that the double carries and no exponent: 1e-05 would be read as 1."""
    return format(Decimal(repr(value)), "f")
