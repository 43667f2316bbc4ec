"""The words of the order `image_first`: the photo, then this text.

The text is a fixed instruction, the form of the answer, then one line a rank: a similar reference and, after a bar, its
contrast. Nothing follows the last line, so the prompts of one photo are prefixes of one another: a server with a prefix
cache computes the photo and the instruction once (vLLM caches whole blocks of 16 tokens, keyed by the photo's hash).
"""

from itertools import zip_longest

from g3_dialogue.references import Contrast, Reference

TASK = (
    "You are an expert in photo geolocation. Study the photo above and work out where on Earth it was taken. "
    "Landscape, vegetation, light, buildings, roads, vehicles, signs and writing all count. Commit to one point even "
    "when you are unsure: a best guess is always wanted and a refusal never is."
)
FORM = (
    'Answer with a single JSON object and nothing else. It has two keys, in this order: "latitude", whose value is the '
    'latitude of the place in decimal degrees, negative south of the equator, and "longitude", whose value is the '
    "longitude in decimal degrees, negative west of Greenwich. Both values are numbers with four decimals."
)
KNOWN = (
    "Lines may follow, the most telling first. Each begins with the place of a known photo that looks like this one: "
    "latitude, longitude and name."
)
CONTRASTS = {
    Contrast.FARTHEST: "After a bar it goes on with the place of a known photo that looks unlike it.",
    Contrast.HARD: (
        "After a bar it goes on with a far-off place where a known photo looks nearly as alike: looks alone can "
        "deceive, so weigh the one against the other."
    ),
}
OPENING = {contrast: "\n\n".join((TASK, FORM, f"{KNOWN} {sentence}")) for contrast, sentence in CONTRASTS.items()}
"""All that stands before the first line."""

BAR = " | "
_MAX_NAME = 80


def text(similar: tuple[Reference, ...], dissimilar: tuple[Reference, ...], contrast: Contrast) -> str:
    """The text of one prompt. References as many as there are: the shorter kind ends first."""
    return OPENING[contrast] + "".join(line(*pair) for pair in zip_longest(similar, dissimilar))


def line(alike: Reference | None, unlike: Reference | None) -> str:
    """One rank, with the line break before it."""
    return "\n" + shown(alike) + (BAR + shown(unlike) if unlike else "")


def shown(reference: Reference | None) -> str:
    """`48.8584, 2.2945 (Paris, Île-de-France, France)`: four decimals are 11 m, and tokens cost time."""
    if reference is None:
        return ""
    name = _plain(reference.place)
    return f"{_degrees(reference.latitude)}, {_degrees(reference.longitude)}" + (f" ({name})" if name else "")


def _degrees(value: float) -> str:
    # Without a sign for a zero that was a little below it.
    return f"{round(value, 4) + 0.0:.4f}"


def _plain(name: str) -> str:
    """A name comes from the data of a collection: it stays one short phrase inside its brackets."""
    kept = "".join(" " if not character.isprintable() or character in "()|" else character for character in name)
    return " ".join(kept.split())[:_MAX_NAME].rstrip(" ,")
