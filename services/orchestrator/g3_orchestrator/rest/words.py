"""What the schemas of the REST API are made of."""

from typing import Annotated, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

Word = TypeVar("Word")
# the words themselves are what a caller sends: strict models would want enum members
Worded = Annotated[Word, Field(strict=False)]

MAX_LABEL = 255


def _encodable(text: str) -> str:
    # JSON can spell half a character, which no database takes
    if any("\ud800" <= character <= "\udfff" for character in text):
        raise ValueError("it must be valid Unicode")
    return text


Text = Annotated[str, AfterValidator(_encodable)]


class Given(BaseModel):
    """What a caller sends: unknown fields and values of another type are refused."""

    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)


class Answered(BaseModel):
    """What the API answers."""

    model_config = ConfigDict(extra="forbid")


class Coordinates(Given):
    """A point in WGS 84 degrees."""

    latitude: float = Field(ge=-90, le=90, description="Degrees north.")
    longitude: float = Field(ge=-180, le=180, description="Degrees east; answers lie in [-180, 180).")
