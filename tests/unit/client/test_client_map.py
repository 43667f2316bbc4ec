"""Maps: what is drawn where, and that a page asks for nothing and trusts nothing."""

import base64
import hashlib
import io
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from g3_client import Coordinates, Job
from g3_client import map as maps
from g3_client.map import frame, land, page, picture
from g3_client.map.scene import COLOURS
from PIL import Image, ImageColor

HOSTILE = "</script><script>alert(1)</script>\"'><img src=x onerror=alert(2)>&amp;\x00\u2028"


def at(latitude: float, longitude: float) -> Coordinates:
    """A point."""
    return Coordinates(latitude=latitude, longitude=longitude)


@pytest.fixture
def located(made_job: Any) -> Any:
    """Makes a located photo with its answer, one candidate and one reference at given points."""

    def make(answer: Coordinates, other: Coordinates, reference: Coordinates, **changes: Any) -> maps.Located:
        document = made_job()
        result = document["result"]
        result["coordinates"] = result["candidates"][0]["coordinates"] = answer.model_dump()
        result["candidates"][1]["coordinates"] = other.model_dump()
        result["references"][0]["reference"]["coordinates"] = reference.model_dump()
        return maps.Located(job=Job.model_validate(document), **changes)

    return make


def colour(image: Image.Image, x: float, y: float) -> tuple[int, ...]:
    """The colour of a pixel."""
    value = image.getpixel((round(x), round(y)))
    assert isinstance(value, tuple)
    return tuple(int(part) for part in value)


def near(found: tuple[int, ...], kind: str) -> bool:
    """Whether a pixel has the colour of a kind of marker, or a colour given as such."""
    wanted = ImageColor.getrgb(COLOURS.get(kind, kind))
    # the reduction from finer pixels rounds
    return all(abs(a - b) <= 6 for a, b in zip(found, wanted, strict=True))


class Elements(HTMLParser):
    """Every start tag of a page, and the text outside of script and style."""

    def __init__(self, text: str) -> None:
        """Reads `text`."""
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self._inside = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Notes the tag."""
        self.tags.append((tag, dict(attrs)))
        self._inside = tag

    def handle_data(self, data: str) -> None:
        """Notes the text."""
        if self._inside not in {"script", "style"}:
            self.text += data


def test_markers_lie_where_the_world_map_has_their_places(located: Any) -> None:
    places = {"answer": at(45, 10), "retrieved": at(-30, 140), "reference": at(0, -100), "truth": at(60, -150)}
    image = picture.render([located(places["answer"], places["retrieved"], places["reference"], truth=places["truth"])])
    for kind, place in places.items():
        x = (place.longitude + 180) / 360 * 1600
        y = (90 - place.latitude) / 180 * 800 + picture.HEADER
        assert near(colour(image, x, y), kind), kind


def test_land_is_land_and_sea_is_sea() -> None:
    image = picture.render([])
    assert image.size == (1600, 800 + picture.HEADER)

    def looks(latitude: float, longitude: float) -> tuple[int, ...]:
        return colour(image, (longitude + 180) / 360 * 1600, (90 - latitude) / 180 * 800 + picture.HEADER)

    solid = [(23, 10), (-25, 133), (40, -100), (-89, 5), (-80, 100), (68, 179), (68, -178), (61, 100)]
    for latitude, longitude in solid:
        assert near(looks(latitude, longitude), picture.LAND), (latitude, longitude)
    for latitude, longitude in [(37, -37), (-37, 100), (42, 51), (7, -140), (-50, 179), (88, 10)]:
        assert near(looks(latitude, longitude), picture.SEA), (latitude, longitude)


def test_an_inset_does_not_tear_at_the_antimeridian(located: Any) -> None:
    answer, candidate, truth = at(-17, 179.5), at(-17.9, -178.9), at(-18.5, -179)
    photo = located(answer, candidate, at(-16, 178), truth=truth)
    view = picture.inset_frame(photo)
    assert view is not None
    image = picture.render([photo])
    left, top = 12, picture.HEADER + 800 + 12
    for kind, place in {"answer": answer, "retrieved": candidate, "truth": truth}.items():
        x, y = view.of(place)
        assert near(colour(image, left + x, top + y), kind), kind
    (x_answer, _), (x_truth, _) = view.of(answer), view.of(truth)
    assert 0 < x_truth - x_answer < view.width / 2
    way = page.render([photo])
    assert re.search(r'class="way" [^>]*d="M179\.5 17L181 18\.5"', way)


@pytest.mark.parametrize("pole", [90.0, -90.0])
def test_poles_can_be_drawn(located: Any, pole: float) -> None:
    photo = located(at(pole, 0), at(pole, 180), at(pole, -180))
    assert picture.render([photo]).width == 1600
    assert 'data-kind="answer"' in page.render([photo])


def test_frames_keep_points_in_view_and_round_trip() -> None:
    view = frame.around(at(50, 179), [at(52, -178), at(49, 175)], 400, 300)
    for point in (at(50, 179), at(52, -178), at(49, 175)):
        assert view.inside(*view.of(point))
    assert view.of(at(50, 179)) == (200, 150)
    assert frame.around(at(0, 0), [], 400, 300).latitudes == (-1.5, 1.5)
    assert frame.world(360).of(at(90, -180)) == (0, 0)


def test_distances_are_those_of_the_globe() -> None:
    # a quarter of a meridian of the mean sphere, and Paris to London (344 km by the geodesic)
    assert frame.distance_km(at(0, 0), at(90, 0)) == pytest.approx(10007.6, abs=0.1)
    assert frame.distance_km(at(48.8566, 2.3522), at(51.5074, -0.1278)) == pytest.approx(343.9, rel=0.006)
    assert frame.distance_km(at(0, 179.5), at(0, -179.5)) == pytest.approx(111.2, abs=0.1)


def test_the_land_is_whole() -> None:
    world = land.load()
    assert len(world.polygons) > 1000
    for polygon in world.polygons:
        for ring in polygon:
            assert len(ring.points) >= 3
            assert all(abs(a[0] - b[0]) <= 360 for a, b in zip(ring.points, ring.points[1:], strict=False))
    assert re.fullmatch(r"(M-?\d+ -?\d+l-?\d+( ?-?\d+)+z)+", world.path)
    assert re.fullmatch(r"(M-?\d+ -?\d+l-?\d+( ?-?\d+)+)+", world.borders_path)


def test_a_page_asks_the_network_for_nothing(located: Any, tmp_path: Path) -> None:
    Image.new("RGB", (900, 600), "#336699").save(tmp_path / "photo.jpg")
    text = page.render([located(at(1, 2), at(3, 4), at(5, 6), photo=tmp_path / "photo.jpg", truth=at(7, 8))])
    assert "http:" not in text
    assert "https:" not in text
    assert "url(" not in text
    assert "import" not in text
    assert "fetch" not in text
    for tag, attributes in Elements(text).tags:
        assert tag not in {"link", "iframe", "object", "embed", "base", "form"}
        for name in ("src", "href", "action", "srcset", "data"):
            value = attributes.get(name) or ""
            assert value == "" or value.startswith(("data:image/jpeg;base64,", "#")), (tag, name, value)
        assert not any(name.startswith("on") for name in attributes), tag
        assert "style" not in attributes


def test_the_policy_allows_exactly_what_is_inside(located: Any) -> None:
    text = page.render([located(at(1, 2), at(3, 4), at(5, 6))])
    policy = next(a["content"] for t, a in Elements(text).tags if a.get("http-equiv") == "Content-Security-Policy")
    assert policy is not None
    assert "default-src 'none'" in policy
    for tag in ("style", "script"):
        inside = re.findall(rf"<{tag}>(.*?)</{tag}>", text, re.DOTALL)
        assert len(inside) == 1
        digest = base64.b64encode(hashlib.sha256(inside[0].encode()).digest()).decode()
        assert f"{tag}-src 'sha256-{digest}'" in policy


def test_hostile_names_stay_text(located: Any, made_job: Any) -> None:
    document = made_job(label=HOSTILE, degraded=[HOSTILE])
    result = document["result"]
    result["place"] = {"city": HOSTILE, "state": HOSTILE + "2", "country": HOSTILE + "3", "country_code": ""}
    result["candidates"][0] |= {"place": result["place"], "origin": HOSTILE}
    result["references"][0]["reference"]["id"] = HOSTILE
    failed = made_job(state="failed", failure={"code": HOSTILE, "message": HOSTILE})
    jobs = [maps.Located(job=Job.model_validate(d), name=n) for d, n in ((document, ""), (failed, HOSTILE))]
    plain = Elements(page.render([located(at(1, 2), at(3, 4), at(5, 6))] * 2, title="G3"))
    text = page.render(jobs, title=HOSTILE)
    found = Elements(text)
    assert {tag for tag, _ in found.tags} <= {tag for tag, _ in plain.tags}
    assert sum(tag == "script" for tag, _ in found.tags) == 1
    assert found.text.count("<script>alert(1)</script>") > 8
    assert "\x00" not in text
    assert "\u2028" not in text
    assert picture.render(jobs, title=HOSTILE).height > 800


def test_a_thumbnail_is_upright_small_and_says_nothing_else(located: Any) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was held sideways
    exif[0x010E] = "48.85 N, 2.29 E"
    encoded = io.BytesIO()
    Image.new("RGB", (800, 400), "#aa3311").save(encoded, "JPEG", exif=exif, comment=b"secret place")
    photo = located(at(1, 2), at(3, 4), at(5, 6), photo=encoded.getvalue())
    assert photo.thumbnail is not None
    with Image.open(io.BytesIO(photo.thumbnail)) as small:
        assert small.size == (160, 320)
        assert not small.getexif()
        assert "comment" not in small.info
    assert base64.b64encode(photo.thumbnail).decode() in page.render([photo])


@pytest.mark.parametrize("content", [b"", b"no photo", b"\xff\xd8\xff\xe0 cut"])
def test_a_photo_that_cannot_be_shown_is_left_out(located: Any, content: bytes, tmp_path: Path) -> None:
    for photo in (content, tmp_path / "none.jpg", tmp_path):
        made = located(at(1, 2), at(3, 4), at(5, 6), photo=photo)
        assert made.thumbnail is None
        assert "<img" not in page.render([made])


@pytest.mark.parametrize(
    ("given", "html", "png"),
    [
        ("a.png", "a.html", "a.png"),
        ("a.html", "a.html", "a.png"),
        ("a.HTM", "a.HTM", "a.png"),
        ("a", "a.html", "a.png"),
        ("a.b", "a.b.html", "a.b.png"),
    ],
)
def test_both_files_are_written(located: Any, tmp_path: Path, given: str, html: str, png: str) -> None:
    written = maps.write(tmp_path / given, [located(at(1, 2), at(3, 4), at(5, 6))])
    assert written == (tmp_path / html, tmp_path / png)
    with Image.open(written[1]) as image:
        assert image.format == "PNG"
    assert written[0].read_text(encoding="utf-8").startswith("<!doctype html>")


def test_many_photos_are_bounded_in_the_picture_and_whole_in_the_page(located: Any) -> None:
    photos = [located(at(n, n), at(n, n + 1), at(n, n + 2), name=f"photo {n}") for n in range(picture.MAX_CARDS + 2)]
    height = picture.HEADER + 800 + picture.MAX_CARDS // 2 * picture.CARD_HEIGHT + 30
    assert picture.render(photos).size == (1600, height)
    assert page.render(photos).count("<article") == len(photos)
