"""The documents of results and their evidence, typed; see `models`."""

from enum import StrEnum
from typing import Annotated, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field


class OpenWord(StrEnum):
    """An enum whose unknown members are made on sight, so that a newer server's word is not an error."""

    @classmethod
    def _missing_(cls, value: object) -> Self | None:
        if not isinstance(value, str):
            return None
        member = str.__new__(cls, value)
        member._name_ = value.upper()
        member._value_ = value
        return member


class Origin(OpenWord):
    """Where a candidate came from."""

    LMM = "lmm"
    RETRIEVED = "retrieved"
    GALLERY = "gallery"


def none_as_empty(value: object) -> object:
    return () if value is None else value


def none_as_text(value: object) -> object:
    return "" if value is None else value


def none_as_nowhere(value: object) -> object:
    return {} if value is None else value


Text = Annotated[str, BeforeValidator(none_as_text)]


class Document(BaseModel):
    """A document as read: immutable, new fields kept."""

    model_config = ConfigDict(extra="allow", frozen=True)


class Coordinates(Document):
    """A point in WGS 84 degrees."""

    latitude: float = Field(ge=-90, le=90)
    longitude: float = Field(ge=-180, le=180)


class Place(Document):
    """A named place; an unknown part is the empty string."""

    city: Text = ""
    state: Text = ""
    country: Text = ""
    country_code: Text = ""

    def __str__(self) -> str:
        """The names that are known, from small to large."""
        names: list[str] = []
        for name in (self.city, self.state, self.country or self.country_code):
            if name and name not in names:
                names.append(name)
        return ", ".join(names)


Somewhere = Annotated[Place, BeforeValidator(none_as_nowhere)]


class Source(Document):
    """One voice for a candidate: an answer of the LMM, a reference, or a point of the gallery."""

    origin: Origin
    prompt: int = 0
    sample: int = 0
    reference_id: Text = ""


class Candidate(Document):
    """A place the photo may be. `similarity` is the image-GPS cosine in [-1, 1], not a probability.

    `sources` are all the proposals that were taken for this place; origin, prompt, sample and reference_id are the
    first one's. `probability` is its share of the consensus model. `in_place` counts from 1; 0: none that is listed.
    """

    coordinates: Coordinates
    origin: Origin = Origin.LMM
    similarity: float | None = None
    rank: int = 0
    place: Somewhere = Place()
    prompt: int | None = None
    sample: int | None = None
    reference_id: Text = ""
    sources: Annotated[tuple[Source, ...], BeforeValidator(none_as_empty)] = ()
    probability: float | None = None
    in_place: int = 0


class LikelyPlace(Document):
    """A distinct place: `candidates` (a number) that lie together, at most `radius_km` from their medoid."""

    coordinates: Coordinates
    place: Somewhere = Place()
    probability: float | None = None
    radius_km: float = 0.0
    candidates: int = 0


class Within(Document):
    """The calibrated probability that the answer lies less than `km` from the truth."""

    km: int
    probability: float


class LmmAnswer(Document):
    """What the LMM said; `candidate` is the rank of the one that it stands behind, 0 when it was dropped."""

    prompt: int
    sample: int
    text: Text = ""
    model: Text = ""
    candidate: int = 0
    prompt_tokens: int = 0
    answer_tokens: int = 0


class Tokens(Document):
    """What the LMM was given and gave, as its endpoint counts."""

    prompt: int = 0
    answer: int = 0


class Reference(Document):
    """A photo of the collection and where it was taken."""

    id: str
    coordinates: Coordinates
    place: Somewhere = Place()
    author: Text = ""


class Match(Document):
    """A retrieved reference. `similarity` is the mean cosine over the compared vectors."""

    reference: Reference
    similarity: float


class Dropped(Document):
    """An answer that did not become a candidate, and why."""

    prompt: int = 0
    sample: int = 0
    reason: str
    text: Text = ""


class Release(Document):
    """What answered: fingerprints of the model and its GPS part, the collection version, and what else judged."""

    model: Text = ""
    gps: Text = ""
    collection: Text = ""
    choice: Text = ""
    gallery: Text = ""
    lmm: Annotated[tuple[str, ...], BeforeValidator(none_as_empty)] = ()


class Result(Document):
    """Where the photo was taken, and on what evidence. `similarity` is a cosine, not a probability.

    `confidence` and `radius_km` (within it lies the truth for `coverage` of all photos) are calibrated; a server whose
    choice model does not fit its alignment model states none. `abstained`: less sure than was asked for.
    """

    coordinates: Coordinates
    place: Somewhere = Place()
    similarity: float | None = None
    places: Annotated[tuple[LikelyPlace, ...], BeforeValidator(none_as_empty)] = ()
    confidence: Annotated[tuple[Within, ...], BeforeValidator(none_as_empty)] = ()
    radius_km: float | None = None
    coverage: float | None = None
    abstained: bool = False
    candidates: Annotated[tuple[Candidate, ...], BeforeValidator(none_as_empty)] = ()
    references: Annotated[tuple[Match, ...], BeforeValidator(none_as_empty)] = ()
    answers: Annotated[tuple[LmmAnswer, ...], BeforeValidator(none_as_empty)] = ()
    dropped: Annotated[tuple[Dropped, ...], BeforeValidator(none_as_empty)] = ()
    tokens: Tokens | None = None
    release: Release | None = None
