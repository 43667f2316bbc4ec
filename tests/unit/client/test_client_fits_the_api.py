"""The client's documents beside those that the REST API declares: every field of the API is known here."""

from typing import Any

import pytest
from g3_client import ingests, models
from g3_orchestrator.rest import ingest_schemas, result_schemas, schemas
from pydantic import BaseModel

ANSWERED = [
    "Candidate",
    "Coordinates",
    "Dropped",
    "LikelyPlace",
    "LmmAnswer",
    "Source",
    "Tokens",
    "Within",
    "Failure",
    "Job",
    "JobEvent",
    "JobPage",
    "Match",
    "Place",
    "Readiness",
    "Reference",
    "Release",
    "Result",
    "StageTiming",
]
INGESTS = ["Ingest", "IngestPage", "IngestPlan", "IngestSpec", "Publication", "Shard", "Tally"]
SENT = ["AbstainBelow", "BoundingBox", "Circle", "Hints", "Parameters"]


def _fields(module: object, name: str) -> set[str]:
    model = getattr(module, name)
    assert issubclass(model, BaseModel)
    return set(model.model_fields)


def _home(name: str) -> object:
    return schemas if hasattr(schemas, name) else result_schemas


@pytest.mark.parametrize("name", ANSWERED + SENT)
def test_documents_have_the_fields_of_the_api(name: str) -> None:
    assert _fields(models, name) == _fields(_home(name), name)


@pytest.mark.parametrize("name", INGESTS)
def test_documents_of_ingest_runs_have_the_fields_of_the_api(name: str) -> None:
    assert _fields(ingests, name) == _fields(ingest_schemas, name)


def _words(model: type[BaseModel], name: str) -> set[str]:
    """The words that the JSON schema of a field allows."""
    document = model.model_json_schema()
    found: list[dict[str, Any]] = [document["properties"][name]]
    words: set[str] = set()
    while found:
        part = found.pop()
        found += [*part.get("anyOf", []), *part.get("allOf", [])]
        if "$ref" in part:
            found.append(document["$defs"][part["$ref"].rpartition("/")[2]])
        words |= set(part.get("enum", []))
    return words


def test_words_are_those_of_the_api() -> None:
    pairs = [("Job", "state"), ("Candidate", "origin")]
    pairs += [("Parameters", name) for name in ("profile", "strategy", "retrieval_vector")]
    pairs += [("Parameters", name) for name in ("dissimilar", "prompt_order", "ranking")]
    for model, name in pairs:
        words = _words(getattr(_home(model), model), name)
        assert len(words) >= 2, name
        assert words == _words(getattr(models, model), name), name
