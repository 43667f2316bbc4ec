"""JSON documents of results and their evidence; see `documents`."""

from typing import Any

from g3_geography import Coordinates, Place

from g3_orchestrator import evidence, model

Document = dict[str, Any]


def result(value: model.Result) -> Document:
    """The document `result_schemas.Result`."""
    texts, tokens = evidence.texts(value), evidence.tokens(value)
    return {
        "coordinates": _coordinates(value.coordinates),
        "place": _place(value.place),
        "similarity": value.similarity,
        "places": [_likely(each) for each in value.places],
        "confidence": [{"km": each.km, "probability": each.probability} for each in value.confidence],
        "radius_km": value.radius_km,
        "coverage": value.coverage,
        "abstained": value.abstained,
        "candidates": [_candidate(each) for each in value.candidates],
        "references": [_match(each) for each in value.references],
        "answers": [
            {
                "prompt": a.prompt,
                "sample": a.sample,
                "text": a.text,
                "model": a.model,
                "candidate": rank,
                "prompt_tokens": a.prompt_tokens,
                "answer_tokens": a.answer_tokens,
            }
            for a, rank in evidence.said(value)
        ],
        "dropped": [
            {"prompt": d.prompt, "sample": d.sample, "reason": d.reason, "text": texts.get((d.prompt, d.sample), "")}
            for d in value.dropped
        ],
        "tokens": {"prompt": tokens.prompt, "answer": tokens.answer},
        "release": {
            "model": value.release.model,
            "gps": value.release.gps,
            "collection": value.release.collection,
            "choice": value.choice,
            "gallery": value.gallery,
            "lmm": evidence.lmms(value),
        },
    }


def _candidate(value: model.Candidate) -> Document:
    return {
        "coordinates": _coordinates(value.coordinates),
        "origin": value.origin,
        "similarity": value.similarity,
        "rank": value.rank,
        "place": _place(value.place),
        "prompt": value.prompt,
        "sample": value.sample,
        "reference_id": value.reference_id,
        "sources": [
            {"origin": s.origin, "prompt": s.prompt, "sample": s.sample, "reference_id": s.reference_id}
            for s in value.sources
        ],
        "probability": value.probability,
        "in_place": value.in_place,
    }


def _likely(value: model.LikelyPlace) -> Document:
    return {
        "coordinates": _coordinates(value.coordinates),
        "place": _place(value.place),
        "probability": value.probability,
        "radius_km": value.radius_km,
        "candidates": value.candidates,
    }


def _match(value: model.Match) -> Document:
    reference = {
        "id": value.reference_id,
        "coordinates": _coordinates(value.coordinates),
        "place": _place(value.place),
        "author": value.author,
    }
    return {"reference": reference, "similarity": value.similarity}


def _coordinates(value: Coordinates) -> Document:
    return {"latitude": value.latitude, "longitude": value.longitude}


def _place(value: Place) -> Document:
    return {"city": value.city, "state": value.state, "country": value.country, "country_code": value.country_code}
