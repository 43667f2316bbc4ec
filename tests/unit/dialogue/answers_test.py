# ruff: noqa: RUF001 - LMMs write these signs
"""What LMMs say, and what is read out of it."""

import json

import pytest
from g3_dialogue import Point, Unread, read
from hypothesis import example, given
from hypothesis import strategies as st

PARIS = (48.8584, 2.2945)
SYDNEY = (-33.8568, 151.2153)


@pytest.mark.parametrize(
    ("text", "point"),
    [
        ('{"latitude": 48.8584, "longitude": 2.2945}', PARIS),
        ('{"longitude": 2.2945, "latitude": 48.8584}', PARIS),
        ('{"LAT": "48.8584", "Lng": "2.2945"}', PARIS),
        ('{"lat": "48.8584° N", "lon": "2.2945° E"}', PARIS),
        ('{"latitude": "33.8568 S", "longitude": "151.2153 E"}', SYDNEY),
        ('Sure! ```json\n{"latitude": -33.8568, "longitude": 151.2153}\n``` Enjoy.', SYDNEY),
        ('{"answer": {"location": {"latitude": 48.8584, "longitude": 2.2945}}}', PARIS),
        ('[{"latitude": 48.8584, "longitude": 2.2945}]', PARIS),
        ('{"type": "Point", "coordinates": [2.2945, 48.8584]}', PARIS),
        ('First {"latitude": 1, "longitude": 2}, no: {"latitude": 48.8584, "longitude": 2.2945}', PARIS),
        ('{"latitude": 48, "longitude": 2}', (48.0, 2.0)),
        ("Latitude: 48.8584, Longitude: 2.2945", PARIS),
        ("The longitude is 2.2945 and the latitude is 48.8584.", PARIS),
        ("**Latitude:** 48.8584°\n**Longitude:** 2.2945°", PARIS),
        ("lat=48.8584 lon=2.2945", PARIS),
        ("Latitude: 33.8568° S, Longitude: 151.2153° E", SYDNEY),
        ("latitude −33.8568, longitude 151.2153", SYDNEY),
        ("latitude is about 48.8584 degrees north, longitude about 2.2945 degrees east", PARIS),
        ("{'latitude': 48.8584, 'longitude': 2.2945}", PARIS),
        ('{"latitude": 4.88584e1, "longitude": 22945E-4}', PARIS),
        ("latitude 4.88584e1, longitude 2.2945e+0", PARIS),
        ("(4.88584E+1, 2.2945e0)", PARIS),
        ("48.8584° N, 2.2945° E", PARIS),
        ("N 48.8584 E 2.2945", PARIS),
        ("2.2945 E, 48.8584 N", PARIS),
        ("33.8568 South, 151.2153 East", SYDNEY),
        ("-33.8568 S, 151.2153 E", SYDNEY),
        ("It is 33°51'24.48\" S 151°12'55.08\" E, by the harbour.", SYDNEY),
        ("Latitude: 48° 51′ 30.24″ N; Longitude: 2° 17′ 40.2″ E", PARIS),
        ("(48.8584, 2.2945)", PARIS),
        ("I believe this is Paris [48.8584, 2.2945]", PARIS),
        ("48.8584, 2.2945", PARIS),
        ("Coordinates (latitude, longitude): 48.8584, 2.2945.", PARIS),
        ("lat/lon = 48.8584, 2.2945", PARIS),
        ("Latitude/Longitude: 48.8584° N, 2.2945° E", PARIS),
        ("  −33.8568; 151.2153\n", SYDNEY),
        ("latitude: 0, longitude: 0", (0.0, 0.0)),
        ("latitude: -90, longitude: 180", (-90.0, 180.0)),
    ],
)
def test_coordinates_are_read(text: str, point: tuple[float, float]) -> None:
    found = read(text)
    assert isinstance(found, Point), found
    assert (found.latitude, found.longitude) == pytest.approx(point, abs=1e-9)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", Unread.UNPARSABLE),
        ("Somewhere in France, in 1998, at 12:30.", Unread.UNPARSABLE),
        ('{"latitude": null, "longitude": null}', Unread.UNPARSABLE),
        ('{"latitude": true, "longitude": false}', Unread.UNPARSABLE),
        ('{"latitude": 48.8}', Unread.UNPARSABLE),
        ("latitude: 48.8", Unread.UNPARSABLE),
        ("latitude: 48.8 E, longitude: 2.29 N", Unread.UNPARSABLE),
        ("latitude: -48.8 N, longitude: 2.29 E", Unread.UNPARSABLE),
        ("version 1.2.3, build 4.5.6", Unread.UNPARSABLE),
        ("between 48.1 and 49.2, or maybe 51.0", Unread.UNPARSABLE),
        ("[" * 16_000, Unread.UNPARSABLE),
        ('{"a":' * 3_000, Unread.UNPARSABLE),
        ('{"latitude": 91, "longitude": 0}', Unread.OUT_OF_RANGE),
        ('{"latitude": 0, "longitude": 200}', Unread.OUT_OF_RANGE),
        ('{"latitude": NaN, "longitude": 0}', Unread.OUT_OF_RANGE),
        ('{"latitude": 1e400, "longitude": 0}', Unread.OUT_OF_RANGE),
        ("latitude: 148.8, longitude: 2.29", Unread.OUT_OF_RANGE),
        ("(488584, 22945)", Unread.OUT_OF_RANGE),
        ("I'm sorry, I cannot determine the location of this photo.", Unread.REFUSED),
        ("As an AI, I can't help with that.", Unread.REFUSED),
        ("It is not possible to identify the place.", Unread.REFUSED),
    ],
)
def test_what_cannot_be_used_is_dropped_with_its_reason(text: str, reason: Unread) -> None:
    assert read(text) is reason


WRITTEN = [
    lambda lat, lon: json.dumps({"latitude": lat, "longitude": lon}),
    lambda lat, lon: f"I think it is here: {json.dumps({'lon': lon, 'lat': lat})}. Good luck!",
    lambda lat, lon: f"Latitude: {lat:.6f}\nLongitude: {lon:.6f}",
    lambda lat, lon: f"({lat:.6f}, {lon:.6f})",
    lambda lat, lon: f"({lat:.9e}, {lon:.9e})",
    lambda lat, lon: f"latitude = {lat:.9e} and longitude = {lon:.9e}",
    lambda lat, lon: f"not (10.5, 20.5) but ({lat:.6f}, {lon:.6f})",
    lambda lat, lon: f"{abs(lat):.6f}° {'S' if lat < 0 else 'N'}, {abs(lon):.6f}° {'W' if lon < 0 else 'E'}",
    lambda lat, lon: f"latitude {lat:.6f}, longitude {lon:.6f}".replace("-", "−"),
]


@given(lat=st.floats(-90, 90), lon=st.floats(-180, 179.99), way=st.sampled_from(WRITTEN))
def test_whatever_is_written_is_read_back(lat: float, lon: float, way: object) -> None:
    lat, lon = round(lat, 6) + 0.0, round(lon, 6) + 0.0
    found = read(way(lat, lon))  # type: ignore[operator]
    assert isinstance(found, Point), found
    assert (found.latitude, found.longitude) == pytest.approx((lat, lon), abs=2e-6)


@given(st.text(max_size=300) | st.text("latlongiude 0123456789.,;:-+°'\"NSEW()[]{}\n", max_size=200))
@example("lat 00 lon 00")
def test_nothing_is_invented(text: str) -> None:
    found = read(text)
    assert isinstance(found, Point | Unread)
    if isinstance(found, Point):
        # A point needs two numbers in the text; zero needs a zero.
        digits = [character for character in text if character.isdecimal()]
        assert len(digits) >= 2
        if found.latitude == 0 and found.longitude == 0:
            assert digits.count("0") >= 2


@given(st.text("abcdefghijklmnopqrstuvwxyz ,.!?\n{}[]\"':", max_size=300))
def test_no_digits_no_coordinates(text: str) -> None:
    assert isinstance(read(text), Unread)


@pytest.mark.timeout(5)
@pytest.mark.parametrize("noise", ["latitude ", "1 ", "1.", "[[1,", "{[", " \n", "48.8 N ", "-", "'", "lat:-"])
def test_hostile_text_is_read_quickly(noise: str) -> None:
    assert isinstance(read(noise * (16_384 // len(noise))), Point | Unread)
