import csv
import json
from pathlib import Path

import numpy as np
import pytest
from g3_geography import Gazetteer, haversine_km
from g3_kit.errors import Conflict, Rejected
from g3_world import Plan, photo, places, write_photos
from g3_world.command import run
from g3_world.dataset import COLUMNS
from g3_world.sampling import CitySet, spots
from PIL import Image


def rows_of(table: Path) -> list[dict[str, str]]:
    with table.open(encoding="utf-8", newline="") as lines:
        return list(csv.DictReader(lines))


def test_places_are_reproducible_and_grow_at_the_end() -> None:
    assert places(30, seed=4) == places(30, seed=4)
    assert places(30, seed=4) == places(90, seed=4)[:30]
    assert not set(places(200, seed=4)) & set(places(200, seed=5))
    assert places(0, seed=1) == []


def test_places_lie_near_their_city() -> None:
    cities = Gazetteer().cities()
    taken = spots(500, seed=2)
    rows = [spot.city_row for spot in taken]
    distances = haversine_km(
        [spot.coordinates.latitude for spot in taken],
        [spot.coordinates.longitude for spot in taken],
        cities.latitudes[rows],
        cities.longitudes[rows],
    )
    assert 0.5 < np.median(distances) < 10
    assert distances.max() < 60
    assert 150 < len(set(rows)) <= 300


def test_populous_cities_come_first() -> None:
    populations = Gazetteer().cities().populations
    assert np.median(populations[CitySet(300).rows()]) > 1.5 * np.median(populations[populations >= 15_000])


def test_city_sets_that_do_not_overlap_share_no_city() -> None:
    seen, unseen = CitySet(200).rows(), CitySet(100, skip=200).rows()
    assert not set(seen.tolist()) & set(unseen.tolist())
    assert set(CitySet(200, seed=1).rows().tolist()) != set(seen.tolist())
    for bad in (CitySet(0), CitySet(5, skip=-1), CitySet(10**6)):
        with pytest.raises(Rejected):
            bad.rows()
    with pytest.raises(Rejected):
        places(-1, seed=0)


def test_a_data_set_holds_what_its_table_says(tmp_path: Path) -> None:
    plan = Plan(count=12, seed=3, cities=CitySet(6))
    counted: list[int] = []
    rows = rows_of(write_photos(plan, tmp_path, progress=counted.append))
    assert sum(counted) == 12
    assert tuple(rows[0]) == COLUMNS
    assert len({row["img_id"] for row in rows}) == 12
    for index, (row, place) in enumerate(zip(rows, places(12, 3, CitySet(6)), strict=True)):
        assert float(row["latitude"]) == pytest.approx(place.latitude, abs=1e-6)
        assert float(row["longitude"]) == pytest.approx(place.longitude, abs=1e-6)
        near = Gazetteer().nearest(place)
        assert (row["city"], row["state"], row["country"]) == (near.city, near.state, near.country)
        with Image.open(tmp_path / row["img_id"]) as opened:
            assert opened.format == "JPEG"
            shown = np.asarray(opened.convert("RGB")).astype(int)
        assert np.abs(shown - photo(place.latitude, place.longitude, plan.photo_seed(index))).mean() < 12
    assert sorted(path.suffix for path in tmp_path.rglob("*") if path.is_file()) == [".csv"] + [".jpg"] * 12 + [".json"]
    assert "Synthetic" in json.loads((tmp_path / "dataset.json").read_text())["about"]


def test_photos_carry_no_metadata(tmp_path: Path) -> None:
    for row in rows_of(write_photos(Plan(3, seed=1), tmp_path)):
        path = tmp_path / row["img_id"]
        with Image.open(path) as opened:
            assert set(opened.info) <= {"jfif", "jfif_version", "jfif_unit", "jfif_density"}
            assert not opened.getexif()
        data = path.read_bytes()
        # Application segments 1 to 15 hold EXIF, XMP and IPTC; FE is a comment. Only the JFIF header may be there.
        header = data[: data.index(b"\xff\xda")]
        assert not any(bytes([0xFF, marker]) in header for marker in (*range(0xE1, 0xF0), 0xFE))
        assert row["latitude"][:5].encode() not in data


def test_authors_are_disjoint_between_seeds(tmp_path: Path) -> None:
    few = CitySet(3)
    first, second = (
        {row["author"] for row in rows_of(write_photos(Plan(10, seed, cities=few), tmp_path / str(seed)))}
        for seed in (1, 2)
    )
    assert 1 < len(first) < 10
    assert not first & second


def test_a_stopped_run_goes_on_and_a_larger_one_adds(tmp_path: Path) -> None:
    table = write_photos(Plan(5, seed=1), tmp_path)
    first = [tmp_path / row["img_id"] for row in rows_of(table)]
    before = {path: path.stat().st_mtime_ns for path in first}
    lost = first[2].read_bytes()
    first[2].unlink()
    table.unlink()
    (first[0].parent / ".half.jpg.1.part").write_bytes(b"half")
    rows = rows_of(write_photos(Plan(8, seed=1), tmp_path))
    assert len(rows) == 8
    assert first[2].read_bytes() == lost
    assert all(path.stat().st_mtime_ns == before[path] for path in first if path != first[2])


def test_another_data_set_may_not_move_in(tmp_path: Path) -> None:
    write_photos(Plan(1, seed=1), tmp_path)
    for other in (Plan(1, seed=2), Plan(1, seed=1, size=65), Plan(1, seed=1, cities=CitySet(9))):
        with pytest.raises(Conflict, match="another data set"):
            write_photos(other, tmp_path)


def test_processes_write_what_one_process_writes(tmp_path: Path) -> None:
    alone = write_photos(Plan(130, seed=6), tmp_path / "alone")
    shared = write_photos(Plan(130, seed=6), tmp_path / "shared", jobs=2)
    assert alone.read_bytes() == shared.read_bytes()
    for row in rows_of(alone):
        assert (tmp_path / "alone" / row["img_id"]).read_bytes() == (tmp_path / "shared" / row["img_id"]).read_bytes()


def test_a_photo_that_cannot_be_written_leaves_nothing(tmp_path: Path) -> None:
    plan = Plan(1, seed=1)
    (tmp_path / plan.img_id(0)).parent.parent.mkdir(parents=True)
    (tmp_path / plan.img_id(0)).parent.write_text("a file where a folder must be")
    with pytest.raises(FileExistsError):
        write_photos(plan, tmp_path)
    assert not (tmp_path / "photos.csv").exists()


@pytest.mark.parametrize("plan", [Plan(0, 1), Plan(1, -1), Plan(1, 2**31), Plan(1, 1, size=20), Plan(1, 1, size=1000)])
def test_impossible_plans_are_rejected(plan: Plan, tmp_path: Path) -> None:
    with pytest.raises(Rejected):
        write_photos(plan, tmp_path / "out")
    assert not (tmp_path / "out").exists()
    with pytest.raises(Rejected, match="jobs"):
        write_photos(Plan(1, 1), tmp_path, jobs=0)


def test_the_command_writes_a_data_set(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["photos", "--count", "3", "--seed", "9", "--size", "80", "--out", str(tmp_path), "--jobs", "1"]) == 0
    assert len(rows_of(tmp_path / "photos.csv")) == 3
    assert "3 synthetic photos" in capsys.readouterr().err
    assert run(["photos", "--count", "3", "--seed", "8", "--out", str(tmp_path)]) == 2
    assert "another data set" in capsys.readouterr().err


def test_the_command_renders_one_photo(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    target = tmp_path / "new" / "sydney.png"
    assert run(["render", "-33.86", "-151.2", "--seed", "4", "--size", "96", "--out", str(target)]) == 0
    with Image.open(target) as opened:
        np.testing.assert_array_equal(np.asarray(opened), photo(-33.86, -151.2, 4, 96))
    assert "synthetic" in capsys.readouterr().err
    assert run(["render", "95", "0", "--out", str(target)]) == 2
    assert "latitude" in capsys.readouterr().err
    assert run(["render", "5", "0", "--out", str(tmp_path / "x.bmp")]) == 2
