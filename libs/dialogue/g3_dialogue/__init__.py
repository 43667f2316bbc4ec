"""What is put to the LMM, the form its answer must have, and how an answer is read.

::

    rendered       the parts of one prompt: text and the photo, in the order shown
    PATTERN        the form of an answer as a regular expression, JSON_SCHEMA as a schema
    read           the point that a text states, or why it gives none
"""

from g3_dialogue.answers import Point, Unread, read
from g3_dialogue.form import JSON_SCHEMA, PATTERN
from g3_dialogue.prompts import Contrast, Prompt, PromptOrder, Reference, rendered

__all__ = [
    "JSON_SCHEMA",
    "PATTERN",
    "Contrast",
    "Point",
    "Prompt",
    "PromptOrder",
    "Reference",
    "Unread",
    "read",
    "rendered",
]
