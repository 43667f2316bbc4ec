"""What was retrieved and what came out of it, as JSON documents and back."""

import json
from collections.abc import Mapping
from typing import Any

from g3_geography import Coordinates, Place

from g3_orchestrator.model import (
    Answer,
    Candidate,
    Dropped,
    GalleryPoint,
    LikelyPlace,
    Match,
    Release,
    Result,
    Retrieval,
    Source,
    Within,
)
from g3_orchestrator.states import DropReason, Origin

Row = Mapping[Any, Any]


def retrieval_out(retrieval: Retrieval) -> dict[str, Any]:
    """The columns of `retrievals`, and of the release in `jobs`."""
    release = retrieval.release
    gallery = {
        "set": retrieval.gallery_set,
        "points": [[p.coordinates.latitude, p.coordinates.longitude, p.similarity] for p in retrieval.gallery],
    }
    return {
        "model": release.model,
        "gps": release.gps,
        "collection": release.collection,
        "similar": json.dumps([_match_out(match) for match in retrieval.similar]),
        "dissimilar": json.dumps([_match_out(match) for match in retrieval.dissimilar]),
        "gps_aligned": retrieval.gps_aligned,
        "gallery": json.dumps(gallery) if retrieval.gallery else None,
    }


def retrieval_in(row: Row) -> Retrieval:
    """The retrieval that `retrieval_out` wrote; what was left out stands in the job's `degraded`."""
    gallery = row["gallery"] or {"set": "", "points": []}
    return Retrieval(
        similar=tuple(_match_in(match) for match in row["similar_matches"]),
        dissimilar=tuple(_match_in(match) for match in row["dissimilar_matches"]),
        gps_aligned=bytes(row["gps_aligned"]),
        release=Release(row["release_model"], row["release_gps"], row["release_collection"]),
        gallery=tuple(
            GalleryPoint(Coordinates(latitude, longitude), similarity)
            for latitude, longitude, similarity in gallery["points"]
        ),
        gallery_set=gallery["set"],
    )


def result_out(result: Result) -> dict[str, Any]:
    """The columns of `results`."""
    evidence = {
        "places": [_likely_out(place) for place in result.places],
        "confidence": [[within.km, within.probability] for within in result.confidence],
        "radius_km": result.radius_km,
        "coverage": result.coverage,
        "abstained": result.abstained,
        "choice": result.choice,
        "gallery": result.gallery,
    }
    return {
        "latitude": result.coordinates.latitude,
        "longitude": result.coordinates.longitude,
        "similarity": result.similarity,
        "place": json.dumps(_place_out(result.place)),
        "candidates": json.dumps([_candidate_out(candidate) for candidate in result.candidates]),
        "dropped": json.dumps([_dropped_out(dropped) for dropped in result.dropped]),
        "evidence": json.dumps(evidence),
    }


def result_in(row: Row, release: Release | None) -> Result | None:
    """The result that `result_out` wrote, if the row has one; the lists are empty when the row is a summary."""
    if release is None or row.get("latitude") is None:
        return None
    evidence = row["evidence"]
    return Result(
        coordinates=Coordinates(row["latitude"], row["longitude"]),
        place=Place(**row["place"]),
        similarity=row["similarity"],
        candidates=tuple(_candidate_in(candidate) for candidate in row.get("candidates") or ()),
        references=tuple(_match_in(match) for match in row.get("similar_matches") or ()),
        dropped=tuple(_dropped_in(dropped) for dropped in row.get("dropped") or ()),
        release=release,
        places=tuple(_likely_in(place) for place in evidence.get("places", ())),
        confidence=tuple(Within(km, probability) for km, probability in evidence.get("confidence", ())),
        radius_km=evidence.get("radius_km"),
        coverage=evidence.get("coverage"),
        abstained=evidence.get("abstained", False),
        choice=evidence.get("choice", ""),
        gallery=evidence.get("gallery", ""),
        answers=tuple(Answer(**answer) for answer in row.get("answers") or ()),
    )


def _place_out(place: Place) -> dict[str, str]:
    return {
        "city": place.city,
        "state": place.state,
        "country": place.country,
        "country_code": place.country_code,
    }


def _match_out(match: Match) -> dict[str, Any]:
    return {
        "id": match.reference_id,
        "latitude": match.coordinates.latitude,
        "longitude": match.coordinates.longitude,
        "place": _place_out(match.place),
        "author": match.author,
        "similarity": match.similarity,
    }


def _match_in(written: Row) -> Match:
    return Match(
        reference_id=written["id"],
        coordinates=Coordinates(written["latitude"], written["longitude"]),
        place=Place(**written["place"]),
        author=written["author"],
        similarity=written["similarity"],
    )


def _candidate_out(candidate: Candidate) -> dict[str, Any]:
    return {
        "latitude": candidate.coordinates.latitude,
        "longitude": candidate.coordinates.longitude,
        "origin": candidate.origin.value,
        "similarity": candidate.similarity,
        "rank": candidate.rank,
        "place": _place_out(candidate.place),
        "prompt": candidate.prompt,
        "sample": candidate.sample,
        "reference_id": candidate.reference_id,
        "sources": [[s.origin.value, s.prompt, s.sample, s.reference_id] for s in candidate.sources],
        "probability": candidate.probability,
        "in_place": candidate.in_place,
    }


def _candidate_in(written: Row) -> Candidate:
    return Candidate(
        coordinates=Coordinates(written["latitude"], written["longitude"]),
        origin=Origin(written["origin"]),
        similarity=written["similarity"],
        rank=written["rank"],
        place=Place(**written["place"]),
        prompt=written["prompt"],
        sample=written["sample"],
        reference_id=written["reference_id"],
        # Results of the first schema have none of these.
        sources=tuple(Source(Origin(origin), *rest) for origin, *rest in written.get("sources", ())),
        probability=written.get("probability"),
        in_place=written.get("in_place", 0),
    )


def _likely_out(place: LikelyPlace) -> dict[str, Any]:
    return {
        "latitude": place.coordinates.latitude,
        "longitude": place.coordinates.longitude,
        "place": _place_out(place.place),
        "probability": place.probability,
        "radius_km": place.radius_km,
        "candidates": place.candidates,
    }


def _likely_in(written: Row) -> LikelyPlace:
    return LikelyPlace(
        coordinates=Coordinates(written["latitude"], written["longitude"]),
        place=Place(**written["place"]),
        probability=written["probability"],
        radius_km=written["radius_km"],
        candidates=written["candidates"],
    )


def _dropped_out(dropped: Dropped) -> dict[str, Any]:
    return {"prompt": dropped.prompt, "sample": dropped.sample, "reason": dropped.reason.value}


def _dropped_in(written: Row) -> Dropped:
    return Dropped(written["prompt"], written["sample"], DropReason(written["reason"]))
