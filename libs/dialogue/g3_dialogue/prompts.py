"""One prompt, and its rendering in either order."""

from dataclasses import dataclass
from enum import Enum

from g3_dialogue import image_first, paper
from g3_dialogue.references import Contrast, Reference

__all__ = ["Contrast", "Prompt", "PromptOrder", "Reference", "rendered"]


class PromptOrder(Enum):
    """The order of the parts of a prompt."""

    PAPER = "paper"
    """Text first, photo last, as the reference implementation."""
    IMAGE_FIRST = "image_first"
    """Photo first, coordinates last."""


@dataclass(frozen=True)
class Prompt:
    """One of the K prompts: its index, how many samples are wanted, its references (most telling first).

    `contrast` says what the references in `dissimilar` are.
    """

    index: int
    samples: int
    similar: tuple[Reference, ...] = ()
    dissimilar: tuple[Reference, ...] = ()
    contrast: Contrast = Contrast.FARTHEST

    @property
    def length(self) -> int:
        """How many references it shows: of prompts that are prefixes of one another the shortest has the fewest."""
        return len(self.similar) + len(self.dissimilar)


def rendered(prompt: Prompt, photo: bytes, order: PromptOrder = PromptOrder.PAPER) -> tuple[str | bytes, ...]:
    """The parts of one prompt in the order shown: text is str, the photo its JPEG bytes."""
    if order is PromptOrder.IMAGE_FIRST:
        return (photo, image_first.text(prompt.similar, prompt.dissimilar, prompt.contrast))
    return (paper.text(prompt.similar, prompt.dissimilar), photo)
