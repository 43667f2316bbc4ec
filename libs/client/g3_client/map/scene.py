"""What a map shows: the photos, and for each its answer, truth, candidates and references."""

import io
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from PIL import Image, ImageOps, UnidentifiedImageError

from g3_client.map.frame import distance_km
from g3_client.models import Candidate, Coordinates, Job

MAX_PHOTO_PIXELS = 100_000_000
COLOURS = {
    "answer": "#d7263d",
    "truth": "#1b9e4b",
    "lmm": "#e8850c",
    "retrieved": "#2463b4",
    "gallery": "#8b46b5",
    "place": "#20262d",
    "other": "#70757d",
    "reference": "#0f8b8d",
}
"""Colour of each kind of marker; candidates go by their origin."""

LEGEND = (
    ("answer", "answer"),
    ("truth", "true place"),
    ("place", "likely place"),
    ("lmm", "candidate of the LMM"),
    ("retrieved", "candidate from retrieval"),
    ("gallery", "candidate from the gallery"),
    ("reference", "reference photo"),
)


_ORIGINS = frozenset({"lmm", "retrieved", "gallery"})
_TEXT = 120
"""Characters of an answer of the LMM."""


@dataclass(frozen=True)
class Located:
    """One photo to show: its job, and when known the photo (file or encoded bytes), a name and the true place."""

    job: Job
    photo: Path | bytes | None = None
    name: str = ""
    truth: Coordinates | None = None

    @property
    def title(self) -> str:
        """What to call it."""
        return self.name or self.job.label or self.job.job_id

    @property
    def error_km(self) -> float | None:
        """Kilometres from the answer to the true place."""
        if self.truth is None or self.job.result is None:
            return None
        return distance_km(self.truth, self.job.result.coordinates)

    @cached_property
    def thumbnail(self) -> bytes | None:
        """A JPEG of at most 320 pixels a side without metadata; None when the photo is not at hand."""
        if self.photo is None:
            return None
        source = io.BytesIO(self.photo) if isinstance(self.photo, bytes) else self.photo
        try:
            with Image.open(source) as image:
                if image.width * image.height > MAX_PHOTO_PIXELS:
                    return None
                image.draft("RGB", (640, 640))
                small = ImageOps.exif_transpose(image).convert("RGB")
        except (OSError, ValueError, SyntaxError, UnidentifiedImageError, Image.DecompressionBombError):
            # the server judges photos; a map does without
            return None
        small.thumbnail((320, 320))
        small.info.clear()
        encoded = io.BytesIO()
        small.save(encoded, "JPEG", quality=80)
        return encoded.getvalue()


@dataclass(frozen=True)
class Marker:
    """A point of the map; `kind` is a key of COLOURS."""

    kind: str
    coordinates: Coordinates
    text: str


def markers(located: Located) -> Iterator[Marker]:
    """The markers of a photo, the least important first, so that the answer is drawn on top."""
    result = located.job.result
    if result is not None:
        for match in reversed(result.references):
            names = _joined(str(match.reference.place), f"similarity {match.similarity:.4f}")
            yield Marker("reference", match.reference.coordinates, f"reference {match.reference.id}: {names}")
        said = {answer.candidate: answer.text for answer in reversed(result.answers)}
        for candidate in reversed(result.candidates):
            kind = str(candidate.origin) if candidate.origin in _ORIGINS else "other"
            scored = "" if candidate.similarity is None else f"similarity {candidate.similarity:.4f}"
            text = f"LMM: {said[candidate.rank][:_TEXT]}" if candidate.rank in said else ""
            names = _joined(str(candidate.place), scored, f"origin {voices(candidate)}", text)
            yield Marker(kind, candidate.coordinates, f"candidate {candidate.rank}: {names}")
        for number, likely in reversed([*enumerate(result.places, start=1)]):
            sure = "" if likely.probability is None else f"probability {likely.probability:.0%}"
            names = _joined(
                str(likely.place), sure, f"{likely.candidates} candidates within {likely.radius_km:,.1f} km"
            )
            yield Marker("place", likely.coordinates, f"place {number}: {names}")
    if located.truth is not None:
        yield Marker("truth", located.truth, f"true place of {located.title}")
    if result is not None:
        names = _joined(str(result.place), point(result.coordinates))
        yield Marker("answer", result.coordinates, f"answer for {located.title}: {names}")


def facts(located: Located) -> Iterator[tuple[str, str]]:
    """What is said about a photo beside its map, as (name, value)."""
    job, result = located.job, located.job.result
    if result is None:
        why = f"{job.failure.message} ({job.failure.code})" if job.failure else str(job.state)
        yield "no answer", why
        return
    yield "place", str(result.place) or "no named place near"
    yield "coordinates", point(result.coordinates)
    if result.abstained:
        yield "abstained", "the answer is less sure than was asked for"
    if result.confidence:
        yield "confidence", ", ".join(f"{each.probability:.0%} within {each.km:,} km" for each in result.confidence)
    if result.radius_km is not None and result.coverage is not None:
        yield "radius", f"{result.radius_km:,.1f} km holds the truth for {result.coverage:.0%} of photos"
    if result.similarity is not None:
        yield "similarity", f"{result.similarity:.4f} (cosine, not a probability)"
    if located.error_km is not None:
        yield "off by", f"{located.error_km:,.1f} km"
    if job.degraded:
        yield "degraded", f"{', '.join(job.degraded)} left out"


def voices(candidate: Candidate) -> str:
    """Where a candidate came from: `2 lmm, 1 retrieved`."""
    origins = [str(source.origin) for source in candidate.sources]
    if len(origins) < 2:
        return str(candidate.origin)
    return ", ".join(f"{origins.count(origin)} {origin}" for origin in dict.fromkeys(origins))


def point(coordinates: Coordinates) -> str:
    """A point for people: `48.8584° N, 2.2945° E`."""
    north, east = coordinates.latitude, coordinates.longitude
    return f"{abs(north):.4f}° {'N' if north >= 0 else 'S'}, {abs(east):.4f}° {'E' if east >= 0 else 'W'}"


def _joined(*parts: str) -> str:
    return ", ".join(part for part in parts if part)
