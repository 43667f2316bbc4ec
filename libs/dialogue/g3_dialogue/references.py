"""The references that a prompt shows."""

from dataclasses import dataclass
from enum import Enum


class Contrast(Enum):
    """What the dissimilar references of a prompt are."""

    FARTHEST = "farthest"
    """Photos that look least like the one in question."""
    HARD = "hard"
    """Photos that look nearly as alike as the similar ones, taken far away from them."""


@dataclass(frozen=True)
class Reference:
    """A reference photo: its coordinates in WGS 84 degrees and the name of its place, "" when it is not known."""

    latitude: float
    longitude: float
    place: str = ""
