import threading

import numpy as np
import pytest
from g3_geography import Cities, City, Coordinates, Gazetteer, Place, haversine_km
from g3_kit.errors import Rejected


@pytest.mark.parametrize(
    ("latitude", "longitude", "city", "country_code"),
    [
        (48.8534, 2.3488, "Paris", "FR"),
        (-33.8688, 151.2093, "Sydney", "AU"),
        (35.6895, 139.6917, "Tokyo", "JP"),
        (-54.8019, -68.3030, "Ushuaia", "AR"),
    ],
)
def test_known_cities(latitude: float, longitude: float, city: str, country_code: str) -> None:
    place = Gazetteer().nearest(Coordinates(latitude, longitude))
    assert (place.city, place.country_code) == (city, country_code)
    assert place.country


def test_a_place_reads_as_text() -> None:
    assert str(Place("Monaco", "", "Monaco", "MC")) == "Monaco, Monaco"


def test_nearest_is_nearest_on_the_sphere_everywhere() -> None:
    generator = np.random.default_rng(5)
    latitude = np.r_[np.degrees(np.arcsin(generator.uniform(-1, 1, 30))), 89.9, -89.9, -16.9, -16.9]
    longitude = np.r_[generator.uniform(-180, 180, 30), 10, 10, 179.99, -179.99]
    gazetteer = Gazetteer()
    cities = gazetteer.cities()
    rows, distances = gazetteer.rows_near(latitude, longitude)
    for index, row in enumerate(rows):
        all_km = haversine_km(latitude[index], longitude[index], cities.latitudes, cities.longitudes)
        assert distances[index] == pytest.approx(all_km.min(), abs=1e-6)
        assert all_km[row] == pytest.approx(all_km.min(), abs=1e-6)
    assert gazetteer.nearest_many(latitude, longitude) == [cities.places[row] for row in rows]


def test_the_table_is_complete_and_weighted() -> None:
    cities = Gazetteer().cities()
    assert len(cities) > 100_000
    assert len({place.country_code for place in cities.places}) > 230
    assert (cities.populations >= 0).all()
    assert (cities.populations > 0).mean() > 0.9
    largest = cities[int(cities.populations.argmax())]
    assert isinstance(largest, City)
    assert largest.population > 10_000_000
    assert next(iter(cities)) == cities[0]


def test_the_table_cannot_be_written() -> None:
    with pytest.raises(ValueError, match="read-only"):
        Gazetteer().cities().populations[0] = 1


def test_threads_share_one_table(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Gazetteer, "_shared", None)
    seen: list[Cities] = []
    together = threading.Barrier(4)

    def read() -> None:
        together.wait()
        seen.append(Gazetteer().cities())

    threads = [threading.Thread(target=read) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(seen) == 4
    assert all(table is seen[0] for table in seen)


def test_bad_coordinates_are_rejected() -> None:
    with pytest.raises(Rejected):
        Gazetteer().nearest_many([91], [0])


def test_most_places_have_a_county() -> None:
    cities = Gazetteer().cities()
    assert len(cities.counties) == len(cities)
    assert 0.7 < sum(map(bool, cities.counties)) / len(cities) < 1
    yamba = next(row for row, place in enumerate(cities.places) if (place.city, place.country_code) == ("Yamba", "AU"))
    assert cities.counties[yamba] == "Clarence Valley"
