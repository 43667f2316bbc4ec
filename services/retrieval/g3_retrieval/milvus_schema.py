"""How references lie in Milvus: one row each, one vector of width 3d, unknown texts as ""."""

from dataclasses import dataclass
from typing import Any, Literal

from g3_geography import Coordinates, Place
from pymilvus import DataType, MilvusClient

from g3_retrieval.kinds import SAMPLE_ROWS
from g3_retrieval.references import MAX_TEXT_BYTES, Match, Reference, similarity

_TEXTS = ("city", "state", "country", "country_code", "author")
FIELDS = ["latitude", "longitude", *_TEXTS]
"""What a search brings back beside id and product."""


@dataclass(frozen=True, slots=True)
class MilvusOptions:
    """How a Milvus is used."""

    consistency: Literal["Strong", "Session", "Bounded", "Eventually"] = "Session"
    """Of searches. Session sees what this process wrote; Strong also waits for what others wrote (0.4 s on a core)."""
    deadline_s: float = 10.0
    """Of one search or catalogue call."""
    write_deadline_s: float = 60.0
    """Of one upsert, creation or load: a core that has been killed takes half a minute to load."""
    build_deadline_s: float = 300.0
    """Of waiting for an index to be built."""
    sample_rows: int = SAMPLE_ROWS
    """References that `farthest` is searched among where the index is approximate, about."""


def schema(width: int, *, ranked: bool = False) -> Any:
    """The fields of a collection of vectors of `width`; `ranked` with `kinds.rank` of each id.

    None is nullable: milvus-lite and Milvus 2.3 know no such thing.
    """
    made = MilvusClient.create_schema(auto_id=False, enable_dynamic_field=False)
    made.add_field("id", DataType.VARCHAR, is_primary=True, max_length=MAX_TEXT_BYTES)
    made.add_field("vector", DataType.FLOAT_VECTOR, dim=width)
    made.add_field("latitude", DataType.DOUBLE)
    made.add_field("longitude", DataType.DOUBLE)
    for text in _TEXTS:
        made.add_field(text, DataType.VARCHAR, max_length=MAX_TEXT_BYTES)
    if ranked:
        made.add_field("rank", DataType.INT64)
    return made


def columns(reference: Reference) -> dict[str, Any]:
    """A reference as the fields of its row, but for id and vector."""
    place = reference.place
    return {
        "latitude": reference.coordinates.latitude,
        "longitude": reference.coordinates.longitude,
        "city": place.city,
        "state": place.state,
        "country": place.country,
        "country_code": place.country_code,
        "author": reference.author,
    }


def match(hit: Any) -> Match:
    """A row that a search found."""
    return Match(reference(str(hit["id"]), hit["entity"]), similarity(hit["distance"]))


def reference(identity: str, row: Any) -> Reference:
    """A reference from the fields of its row."""
    place = Place(row["city"], row["state"], row["country"], row["country_code"])
    return Reference(identity, Coordinates(row["latitude"], row["longitude"]), place, row["author"])
