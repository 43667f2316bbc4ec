import csv
import json
from pathlib import Path

import numpy as np
import pytest
from g3_kit.errors import Conflict, Missing, Rejected
from g3_world import Plan, places, read_arrays, write_arrays, write_photos
from g3_world.arrays import COLUMNS
from g3_world.command import run
from g3_world.sampling import CitySet
from PIL import Image

FEW = CitySet(4)


def test_arrays_are_what_the_photos_decode_to(tmp_path: Path) -> None:
    plan = Plan(7, seed=3, cities=FEW)
    write_arrays(plan, tmp_path / "arrays", rows_a_shard=3)
    with write_photos(plan, tmp_path / "photos").open(encoding="utf-8", newline="") as lines:
        photos = list(csv.DictReader(lines))
    arrays = read_arrays(tmp_path / "arrays")
    assert [shard.shape for shard in arrays.shards] == [(3, 64, 64, 3), (3, 64, 64, 3), (1, 64, 64, 3)]
    assert tuple(arrays.table[0]) == COLUMNS
    for row, pixels, photo in zip(arrays.table, np.concatenate(arrays.shards), photos, strict=True):
        for shared in ("img_id", "latitude", "longitude", "author"):
            assert row[shared] == photo[shared]
        with Image.open(tmp_path / "photos" / row["img_id"]) as opened:
            np.testing.assert_array_equal(np.asarray(opened.convert("RGB")), pixels)
    expected = [(place.latitude, place.longitude) for place in places(7, 3, FEW)]
    np.testing.assert_allclose(arrays.coordinates(), expected, atol=1e-7)
    assert json.loads((tmp_path / "arrays" / "dataset.json").read_text())["synthetic"] is True


def test_a_stopped_run_goes_on_and_damage_is_mended(tmp_path: Path) -> None:
    plan = Plan(6, seed=1, cities=FEW)
    write_arrays(plan, tmp_path, rows_a_shard=2)
    paths = [tmp_path / f"pixels-0000{number}.npy" for number in range(3)]
    whole = [path.read_bytes() for path in paths]
    times = [path.stat().st_mtime_ns for path in paths]
    paths[0].unlink()
    paths[1].write_bytes(whole[1][:-1] + b"\0")
    (tmp_path / "table.csv").unlink()
    with pytest.raises(Missing):
        read_arrays(tmp_path)
    write_arrays(plan, tmp_path, rows_a_shard=2, jobs=2)
    assert [path.read_bytes() for path in paths] == whole
    assert paths[2].stat().st_mtime_ns == times[2]
    assert len(read_arrays(tmp_path)) == 6


def test_a_larger_count_adds_and_a_smaller_is_refused(tmp_path: Path) -> None:
    write_arrays(Plan(3, seed=1, cities=FEW), tmp_path, rows_a_shard=2)
    first = np.concatenate(read_arrays(tmp_path).shards)
    write_arrays(Plan(5, seed=1, cities=FEW), tmp_path, rows_a_shard=2)
    grown = read_arrays(tmp_path)
    np.testing.assert_array_equal(np.concatenate(grown.shards)[:3], first)
    for other in (Plan(4, seed=1, cities=FEW), Plan(5, seed=2, cities=FEW)):
        with pytest.raises(Conflict):
            write_arrays(other, tmp_path, rows_a_shard=2)
    assert len(read_arrays(tmp_path)) == 5


def test_a_folder_whose_table_is_short_is_refused(tmp_path: Path) -> None:
    table = write_arrays(Plan(3, seed=1, cities=FEW), tmp_path)
    lines = table.read_text().splitlines(keepends=True)
    table.write_text("".join(lines[:-1]))
    with pytest.raises(Conflict, match="half written"):
        read_arrays(tmp_path)


def test_impossible_arrays_are_rejected(tmp_path: Path) -> None:
    for plan, jobs, rows in ((Plan(0, 1), 1, 1), (Plan(1, 1), 0, 1), (Plan(1, 1), 1, 0)):
        with pytest.raises(Rejected):
            write_arrays(plan, tmp_path / "out", jobs=jobs, rows_a_shard=rows)
    assert not (tmp_path / "out").exists()


def test_the_command_writes_arrays(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["arrays", "--count", "2", "--cities", "3", "--out", str(tmp_path), "--jobs", "1"]) == 0
    assert len(read_arrays(tmp_path)) == 2
    assert "2 synthetic photos" in capsys.readouterr().err
