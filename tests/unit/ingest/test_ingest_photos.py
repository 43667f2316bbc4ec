"""One photo made ready: its bytes, its coordinates, its place."""

from pathlib import Path

import pytest
from g3_geography import Coordinates, Gazetteer, Place
from g3_ingest.photos import Photo, photo_of, places_of
from g3_ingest.sources import Entry
from g3_kit.errors import G3Error, Missing, Rejected, TooLarge
from g3_photo import Limits
from PIL import ExifTags, Image

from tests.servers.photos import SECRET, encoded, jpeg, picture

PARIS = Coordinates(48.8566, 2.3522)


def located(latitude: float = 48.8566, longitude: float = 2.3522) -> bytes:
    exif = Image.Exif()
    exif[ExifTags.Base.ImageDescription] = SECRET.decode()
    exif.get_ifd(ExifTags.IFD.GPSInfo).update(
        {
            ExifTags.GPS.GPSLatitudeRef: "N" if latitude >= 0 else "S",
            ExifTags.GPS.GPSLatitude: (abs(latitude), 0.0, 0.0),
            ExifTags.GPS.GPSLongitudeRef: "E" if longitude >= 0 else "W",
            ExifTags.GPS.GPSLongitude: (abs(longitude), 0.0, 0.0),
        }
    )
    return encoded(picture(), exif=exif)


def test_coordinates_come_from_exif_and_nothing_of_it_goes_on(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(located(-33.8688, 151.2093))
    photo = photo_of(Entry("a.jpg", tmp_path / "a.jpg"))
    assert photo.coordinates.latitude == pytest.approx(-33.8688, abs=1e-6)
    assert photo.coordinates.longitude == pytest.approx(151.2093, abs=1e-6)
    assert SECRET not in photo.jpeg
    assert b"Exif" not in photo.jpeg


def test_a_tables_coordinates_win_over_exif(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(located(-33.8688, 151.2093))
    assert photo_of(Entry("a.jpg", tmp_path / "a.jpg", PARIS)).coordinates == PARIS


@pytest.mark.parametrize(
    ("content", "error", "reason"),
    [
        (None, Missing, "no such file"),
        (jpeg(), Rejected, "no EXIF coordinates"),
        (b"", Rejected, "empty"),
        (b"text", Rejected, "no photo"),
        (jpeg()[:2000], Rejected, "damaged"),
        (b"\xff" * 3000, TooLarge, "at most 2000"),
    ],
    ids=["absent", "no gps", "empty", "text", "truncated", "large"],
)
def test_what_is_no_photo_is_refused(tmp_path: Path, content: bytes | None, error: type[G3Error], reason: str) -> None:
    if content is not None:
        (tmp_path / "a.jpg").write_bytes(content)
    limits = Limits(max_bytes=2000) if error is TooLarge else Limits()
    told = None if "EXIF" in reason else PARIS
    with pytest.raises(error, match=reason) as caught:
        photo_of(Entry("a.jpg", tmp_path / "a.jpg", told), limits)
    assert str(tmp_path) not in caught.value.message


def test_a_folder_in_a_photos_place_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Rejected, match="cannot be read"):
        photo_of(Entry("x", tmp_path, PARIS))


def test_places_are_completed_by_the_gazetteer() -> None:
    def named(coordinates: Coordinates, place: Place | None) -> Photo:
        return Photo(Entry("x", Path("x"), coordinates, place), b"", coordinates)

    photos = [
        named(PARIS, None),
        named(PARIS, Place("Lutetia", "", "france", "")),
        named(PARIS, Place("Lutetia", "", "", "")),
        named(PARIS, Place("Berlin", "", "Germany", "")),
        named(PARIS, Place("Berlin", "", "Germany", "DE")),
    ]
    places = places_of(photos, Gazetteer())
    assert (places[0].country, places[0].country_code) == ("France", "FR")
    assert places[0].city
    assert places[1] == Place("Lutetia", "", "france", "FR")
    assert places[2] == Place("Lutetia", "", "France", "FR")
    assert places[3] == Place("Berlin", "", "Germany", "")
    assert places[4] == Place("Berlin", "", "Germany", "DE")
    assert places_of([], Gazetteer()) == []
