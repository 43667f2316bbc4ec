"""The port of structured outputs: a form that answers are held to, token by token."""

from dataclasses import dataclass
from enum import Enum
from typing import Protocol

import numpy as np
from numpy.typing import NDArray


class Kind(Enum):
    """How a form is written."""

    REGEX = "regex"
    """A regular expression that the whole answer matches."""
    JSON_SCHEMA = "json_schema"
    """A JSON schema, itself as JSON."""


@dataclass(frozen=True)
class Form:
    """What an answer must look like."""

    kind: Kind
    text: str


class Hold(Protocol):
    """The state of one answer on its way through a form."""

    def allowed(self) -> NDArray[np.bool_]:
        """bool [v]: which tokens may come next."""
        ...

    def take(self, token: int) -> None:
        """Goes on by a token that was allowed."""
        ...

    @property
    def complete(self) -> bool:
        """Whether the form is fulfilled and nothing can be added."""
        ...


class Forms(Protocol):
    """Compiles forms."""

    def holds(self, form: Form, n: int) -> list[Hold]:
        """Fresh states for n answers. Raises Rejected when the form cannot be enforced."""
        ...
