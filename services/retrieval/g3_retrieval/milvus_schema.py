"""How references lie in Milvus: one row each, one vector of width 3d, unknown texts as ""."""

from dataclasses import dataclass
from typing import Any, Literal

from g3_geography import Coordinates, Place
from pymilvus import DataType, MilvusClient

from g3_retrieval.references import MAX_TEXT_BYTES, Match, Reference, Version, similarity

_TEXTS = ("city", "state", "country", "country_code", "author")
FIELDS = ["latitude", "longitude", *_TEXTS]
"""What a search brings back beside id and product."""
_MIN_EF = 128


@dataclass(frozen=True, slots=True)
class MilvusOptions:
    """How a Milvus is used."""

    index: Literal["FLAT", "HNSW"] = "FLAT"
    """Of collections made from now on. FLAT is exact; HNSW is for millions, and cannot answer `farthest`."""
    hnsw_m: int = 32
    hnsw_ef_construction: int = 256
    consistency: Literal["Strong", "Session", "Bounded", "Eventually"] = "Session"
    """Of searches. Session sees what this process wrote; Strong also waits for what others wrote (0.4 s on a core)."""
    deadline_s: float = 10.0
    """Of one search or catalogue call."""
    write_deadline_s: float = 60.0
    """Of one upsert, creation or load: a core that has been killed takes half a minute to load."""


def schema(version: Version) -> Any:
    """The fields of a collection. None is nullable: milvus-lite and Milvus 2.3 know no such thing."""
    made = MilvusClient.create_schema(auto_id=False, enable_dynamic_field=False)
    made.add_field("id", DataType.VARCHAR, is_primary=True, max_length=MAX_TEXT_BYTES)
    made.add_field("vector", DataType.FLOAT_VECTOR, dim=3 * version.dimension)
    made.add_field("latitude", DataType.DOUBLE)
    made.add_field("longitude", DataType.DOUBLE)
    for text in _TEXTS:
        made.add_field(text, DataType.VARCHAR, max_length=MAX_TEXT_BYTES)
    return made


def index_params(options: MilvusOptions) -> Any:
    """The index over the vectors: inner product, which on unit vectors is the cosine."""
    params = MilvusClient.prepare_index_params()
    built = {"M": options.hnsw_m, "efConstruction": options.hnsw_ef_construction} if options.index == "HNSW" else {}
    params.add_index("vector", index_type=options.index, metric_type="IP", params=built)
    return params


def search_params(index_type: str, limit: int) -> dict[str, Any]:
    """What a search for `limit` rows tells the index."""
    if index_type == "HNSW":
        return {"metric_type": "IP", "params": {"ef": max(_MIN_EF, limit)}}
    return {"metric_type": "IP"}


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
