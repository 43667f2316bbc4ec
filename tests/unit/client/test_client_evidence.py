"""The evidence of a result in the terminal and on the map: places, confidence, radius, voices and what the LMM said."""

import math
from itertools import pairwise
from typing import Any

import pytest
from g3_client import Coordinates, Job
from g3_client import map as maps
from g3_client.command import show
from g3_client.map import frame, page, picture
from g3_client.map.scene import COLOURS, markers
from PIL import ImageColor
from rich.console import Console

HERE, THERE = {"latitude": 45.0, "longitude": 10.0}, {"latitude": -30.0, "longitude": 140.0}
CADENABBIA = {"city": "Cadenabbia", "state": "Lombardy", "country": "Italy", "country_code": "IT"}


@pytest.fixture
def job(made_job: Any) -> Job:
    document = made_job()
    result = document["result"]
    lmm = {"origin": "lmm", "prompt": 1, "sample": 2, "reference_id": ""}
    retrieved = {"origin": "retrieved", "prompt": 0, "sample": 0, "reference_id": "r"}
    result |= {
        "coordinates": HERE,
        "places": [
            {"coordinates": HERE, "place": CADENABBIA, "probability": 0.75, "radius_km": 3.5, "candidates": 4},
            {"coordinates": THERE, "place": None, "probability": None, "radius_km": 0.0, "candidates": 1},
        ],
        "confidence": [{"km": 25, "probability": 0.5}, {"km": 2500, "probability": 0.9}],
        "radius_km": 900.0,
        "coverage": 0.9,
        "abstained": True,
        "answers": [
            {"prompt": 1, "sample": 2, "text": "It is <Cadenabbia>.", "model": "an-lmm", "candidate": 1},
            {"prompt": 1, "sample": 3, "text": "no idea", "model": "an-lmm", "candidate": 0},
        ],
        "dropped": [{"prompt": 1, "sample": 3, "reason": "unparsable", "text": "no idea"}],
        "tokens": {"prompt": 1234, "answer": 56},
    }
    result["candidates"][0] |= {"coordinates": HERE, "origin": "lmm", "sources": [lmm, lmm, retrieved], "in_place": 1}
    result["candidates"][1] |= {"coordinates": THERE, "origin": "gallery", "in_place": 2}
    return Job.model_validate(document)


def test_the_terminal_shows_the_evidence(job: Job) -> None:
    console = Console(width=200, force_terminal=False)
    with console.capture() as captured:
        console.print(show.job_view(job))
    told = captured.get()
    for words in (
        "less sure than was asked for",
        "50% within 25 km, 90% within 2,500 km",
        "900.0 km holds the truth for 90% of photos",
        "75%",
        "Cadenabbia, Lombardy, Italy",
        "2 lmm, 1 retrieved",
        "It is <Cadenabbia>.",
        "1234 of prompts, 56 of answers",
    ):
        assert words in told
    # Only what stands behind the answer's place; the rest is in the JSON.
    assert "no idea" not in told


def test_the_page_tells_places_answers_and_the_circle_apart(job: Job) -> None:
    text = page.render([maps.Located(job=job)])
    for kind in ("lmm", "gallery", "place", "reference", "answer"):
        assert f'data-kind="{kind}"' in text
    assert '<path class="radius"' in text
    assert "900.0 km around the answer: holds the truth for 90% of photos" in text
    assert "<summary>2 places</summary>" in text
    assert "<summary>2 answers of the LMM</summary>" in text
    assert "It is &lt;Cadenabbia&gt;." in text
    assert "dropped: unparsable" in text
    assert "<Cadenabbia>" not in text


def test_the_picture_draws_the_circle_and_the_shapes(job: Job) -> None:
    located = maps.Located(job=job)
    image = picture.render([located])
    world = picture.WORLD
    # 900 km north of the answer the circle crosses its meridian.
    x, y = world.of(Coordinates(latitude=45 + math.degrees(900 / frame.EARTH_KM), longitude=10))
    wanted = ImageColor.getrgb(COLOURS["answer"])
    around = [image.getpixel((round(x), round(y) + picture.HEADER + row)) for row in (-1, 0, 1)]
    assert any(isinstance(c, tuple) and all(abs(a - b) < 60 for a, b in zip(c, wanted, strict=True)) for c in around)
    kinds = [marker.kind for marker in markers(located)]
    assert kinds.count("place") == 2
    assert {"lmm", "gallery", "reference", "answer"} <= set(kinds)


@pytest.mark.parametrize("center", [(0.0, 0.0), (45.0, 179.9), (-89.0, 10.0), (90.0, 0.0)])
@pytest.mark.parametrize("radius_km", [1.0, 500.0, 9_000.0])
def test_a_ring_is_so_far_from_its_centre(center: tuple[float, float], radius_km: float) -> None:
    middle = Coordinates(latitude=center[0], longitude=center[1])
    points = frame.ring(middle, radius_km)
    for longitude, latitude in points:
        point = Coordinates(latitude=latitude, longitude=(longitude + 180) % 360 - 180)
        assert frame.distance_km(middle, point) == pytest.approx(radius_km, rel=1e-6)
    # It runs on past the antimeridian and tears nowhere (steps of up to 180 degrees are a pole's).
    assert all(abs(a[0] - b[0]) <= 180 for a, b in pairwise(points))


def test_results_without_evidence_are_shown_as_before(made_job: Any) -> None:
    job = Job.model_validate(made_job())
    assert job.result is not None
    assert (job.result.places, job.result.confidence, job.result.answers) == ((), (), ())
    assert 'class="radius"' not in page.render([maps.Located(job=job)])
