import csv
import io
import re
import signal
import subprocess
import sys
import tarfile
import time
from dataclasses import replace
from pathlib import Path

import g3_photo
import numpy as np
import pytest
from g3_kit.errors import Conflict, Rejected
from g3_world import Plan, mp16_pro, photo, places, published
from g3_world.command import run
from g3_world.mp16_pro import write_mp16_pro
from g3_world.query_sets import IM2GPS3K, YFCC4K, write_queries
from g3_world.sampling import CitySet, spots
from PIL import Image

FEW = CitySet(5)
SMALL = Plan(24, seed=3, size=192, cities=FEW)


def rows_of(table: Path) -> list[dict[str, str]]:
    with table.open(encoding="utf-8", newline="") as lines:
        return list(csv.DictReader(lines))


def members_of(archive: Path) -> dict[str, bytes]:
    with tarfile.open(archive) as opened:
        return {member.name: opened.extractfile(member).read() for member in opened}  # type: ignore[union-attr]


@pytest.fixture
def many_accidents(monkeypatch: pytest.MonkeyPatch) -> None:
    """As many placeholders and missing names in a few rows as the format has in thousands."""
    for name in ("_PLACEHOLDERS", "_NO_COUNTRY", "_NO_CITY", "_NO_STATE"):
        monkeypatch.setattr(mp16_pro, name, 0.3)


@pytest.mark.usefixtures("many_accidents")
def test_mp16_pro_has_the_columns_names_and_members_of_the_original(tmp_path: Path) -> None:
    table = write_mp16_pro(SMALL, tmp_path)
    assert table.name == "MP16_Pro_places365.csv"
    assert table.read_text(encoding="utf-8").splitlines()[0] == (
        "IMG_ID,LAT,LON,neighbourhood,city,county,state,region,country,continent"
    )
    rows, members = rows_of(table), members_of(tmp_path / "mp-16-images.tar")
    assert len(rows) == len(members) == 24
    for row, place in zip(rows, places(24, 3, FEW), strict=True):
        found = re.fullmatch(r"([0-9a-f]{2})/([0-9a-f]{2})/(\d+\.jpg)", row["IMG_ID"])
        assert found
        first, second, name = found.groups()
        assert f"{first}/{second}/{first}_{second}_{name}" in members
        assert float(row["LAT"]) == pytest.approx(place.latitude, abs=1e-6)
        assert float(row["LON"]) == pytest.approx(place.longitude, abs=1e-6)
        assert row["region"] == row["continent"] == ""
    for column in ("city", "state", "country"):
        assert 0 < sum(not row[column] for row in rows) < 24
    assert any(row["county"] for row in rows)


@pytest.mark.usefixtures("many_accidents")
def test_only_placeholders_are_small_and_they_are_all_one(tmp_path: Path) -> None:
    write_mp16_pro(SMALL, tmp_path)
    members = members_of(tmp_path / "mp-16-images.tar").values()
    small = [data for data in members if len(data) <= 5120]
    assert 0 < len(small) < 24
    assert set(small) == {published.placeholder()}
    for data in members:
        with Image.open(io.BytesIO(data)) as opened:
            opened.load()
            assert opened.format == "JPEG"
            assert "comment" not in opened.info


def test_a_picture_that_compresses_too_well_is_written_at_a_higher_quality(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = np.tile(np.linspace(0, 255, 192).astype(np.uint8)[:, None, None], (1, 192, 3))
    grain = np.random.default_rng(0).integers(0, 9, plain.shape, dtype=np.uint8)
    monkeypatch.setattr(Plan, "pixels", lambda *_: (plain // 2 + grain).astype(np.uint8))
    write_mp16_pro(replace(SMALL, count=8), tmp_path)
    sizes = [len(data) for data in members_of(tmp_path / "mp-16-images.tar").values()]
    assert all(size > 5120 for size in sizes if size != len(published.placeholder()))


def test_archives_are_the_same_from_any_number_of_processes(tmp_path: Path) -> None:
    one = write_mp16_pro(SMALL, tmp_path / "one", archive_rows=24)
    two = write_mp16_pro(SMALL, tmp_path / "two", archive_rows=10, jobs=2)
    apart = write_mp16_pro(SMALL, tmp_path / "apart", archive_rows=10, one_archive=False)
    assert one.read_bytes() == two.read_bytes() == apart.read_bytes()
    whole = (tmp_path / "one" / "mp-16-images.tar").read_bytes()
    assert (tmp_path / "two" / "mp-16-images.tar").read_bytes() == whole
    assert [path.name for path in sorted((tmp_path / "two").glob("*.tar"))] == ["mp-16-images.tar"]
    parts = sorted((tmp_path / "apart").glob("*.tar"))
    assert [path.name for path in parts] == [f"mp-16-images-0000{number}.tar" for number in range(3)]
    joined = {name: data for part in parts for name, data in members_of(part).items()}
    assert joined == members_of(tmp_path / "one" / "mp-16-images.tar")


_UNTIL_KILLED = """
import sys
from pathlib import Path
from g3_world import Plan
from g3_world.mp16_pro import write_mp16_pro
from g3_world.sampling import CitySet
write_mp16_pro(Plan(3000, seed=5, size=192, cities=CitySet(5)), Path(sys.argv[1]), archive_rows=15)
"""


def test_a_killed_run_goes_on_where_it_was(tmp_path: Path) -> None:
    first, second = tmp_path / "mp-16-images-00000.tar", tmp_path / "mp-16-images-00001.tar"
    running = subprocess.Popen([sys.executable, "-c", _UNTIL_KILLED, str(tmp_path)])
    try:
        until = time.monotonic() + 60
        while not second.exists():
            assert time.monotonic() < until
            assert running.poll() is None
            time.sleep(0.02)
    finally:
        running.send_signal(signal.SIGKILL)
        running.wait()
    assert not (tmp_path / "MP16_Pro_places365.csv").exists()
    made = first.stat().st_mtime_ns
    plan = Plan(3000, seed=5, size=192, cities=FEW)
    seen: list[Path] = []

    def stop(done: int) -> None:
        """Three parts are proof enough that nothing is made twice."""
        seen.append(first)
        if len(seen) == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_mp16_pro(plan, tmp_path, archive_rows=15, progress=stop)
    assert first.stat().st_mtime_ns == made
    write_mp16_pro(replace(plan, count=45), tmp_path / "undisturbed", archive_rows=15, one_archive=False)
    for number in range(3):
        part = f"mp-16-images-{number:05d}.tar"
        assert (tmp_path / part).read_bytes() == (tmp_path / "undisturbed" / part).read_bytes()


def test_im2gps3k_names_authors_and_coordinates_in_comments(tmp_path: Path) -> None:
    table = write_queries(IM2GPS3K, SMALL, tmp_path)
    assert table.name == "im2gps3k_places365.csv"
    assert table.read_text(encoding="utf-8").splitlines()[0] == (
        "IMG_ID,AUTHOR,LAT,LON,S3_Label,S16_Label,S365_Label,Prob_indoor,Prob_natural,Prob_urban"
    )
    rows = rows_of(table)
    assert len({row["IMG_ID"] for row in rows}) == len(list(tmp_path.glob("*.jpg"))) == 24
    commented = 0
    for index, (row, place) in enumerate(zip(rows, places(24, 3, FEW), strict=True)):
        assert row["IMG_ID"].endswith(f"_{row['AUTHOR']}.jpg")
        assert "@" in row["AUTHOR"]
        assert sum(float(row[f"Prob_{kind}"]) for kind in ("indoor", "natural", "urban")) == pytest.approx(1, abs=1e-3)
        data = (tmp_path / row["IMG_ID"]).read_bytes()
        with Image.open(io.BytesIO(data)) as opened:
            comment = opened.info.get("comment", b"").decode()
            shown = np.asarray(opened.convert("RGB")).astype(int)
        taken = photo(place.latitude, place.longitude, SMALL.photo_seed(index), 192)
        assert np.abs(shown - taken).mean() < 8
        if comment:
            commented += 1
            assert comment == f"latitude: {row['LAT']}\nlongitude: {row['LON']}\n"
            # A comment segment of the file, where a careless intake would pass it on.
            assert b"\xff\xfe" in data[: data.index(b"\xff\xda")]
            assert row["LAT"].encode() not in g3_photo.clean(data).jpeg
    assert commented >= 20


def test_yfcc4k_has_identical_pictures_of_what_is_gone(tmp_path: Path) -> None:
    table = write_queries(replace(YFCC4K, gone=0.3), SMALL, tmp_path)
    assert table.name == "yfcc4k_places365.csv"
    rows = rows_of(table)
    assert all(re.fullmatch(r"[0-9a-f]{32}\.jpg", row["IMG_ID"]) for row in rows)
    files = [(tmp_path / row["IMG_ID"]).read_bytes() for row in rows]
    gone = files.count(published.placeholder())
    assert 0 < gone < 24
    assert len(set(files)) == 24 - gone + 1


def test_authors_of_two_seeds_are_disjoint(tmp_path: Path) -> None:
    authors = {
        seed: {row["AUTHOR"] for row in rows_of(write_queries(YFCC4K, replace(SMALL, seed=seed), tmp_path / str(seed)))}
        for seed in (1, 11)
    }
    assert all(1 < len(of_one) <= 15 for of_one in authors.values())
    assert not authors[1] & authors[11]
    everyone = [published.flickr_author(Plan(1, seed), spot) for seed in (0, 1, 10) for spot in spots(400, 1)]
    per_seed = [set(everyone[start : start + 400]) for start in (0, 400, 800)]
    assert len(set().union(*per_seed)) == sum(map(len, per_seed))


def test_seen_and_unseen_cities_can_be_chosen(tmp_path: Path) -> None:
    seen = write_queries(YFCC4K, replace(SMALL, count=6, cities=CitySet(5)), tmp_path / "seen")
    unseen = write_queries(YFCC4K, replace(SMALL, count=6, cities=CitySet(5, skip=5)), tmp_path / "unseen")
    # The city's row of the gazetteer stands in the invented author's number.
    cities = [{row["AUTHOR"][1:7] for row in rows_of(table)} for table in (seen, unseen)]
    assert not cities[0] & cities[1]


def test_what_cannot_be_is_refused(tmp_path: Path) -> None:
    out = tmp_path / "out"
    for plan in (replace(SMALL, size=191), replace(SMALL, count=0), replace(SMALL, count=10**8)):
        with pytest.raises(Rejected):
            write_mp16_pro(plan, out)
        with pytest.raises(Rejected):
            write_queries(YFCC4K, plan, out)
    with pytest.raises(Rejected):
        write_mp16_pro(SMALL, out, archive_rows=0)
    with pytest.raises(Rejected):
        write_queries(YFCC4K, SMALL, out, jobs=0)
    assert not out.exists()
    (tmp_path / "file").write_text("a file")
    with pytest.raises(Rejected, match="is a file"):
        write_mp16_pro(SMALL, tmp_path / "file")


def test_folders_of_others_are_left_alone(tmp_path: Path) -> None:
    (tmp_path / "own.csv").write_text("IMG_ID\n1.jpg\n")
    with pytest.raises(Conflict, match="did not come from here"):
        write_mp16_pro(SMALL, tmp_path)
    (tmp_path / "own.csv").unlink()
    write_queries(YFCC4K, replace(SMALL, count=1), tmp_path)
    for other in (replace(SMALL, count=2), replace(SMALL, count=1, seed=4)):
        with pytest.raises(Conflict, match="another data set"):
            write_queries(YFCC4K, other, tmp_path)
    with pytest.raises(Conflict, match="another data set"):
        write_queries(IM2GPS3K, replace(SMALL, count=1), tmp_path)
    for garbage in ("{", "[]", '"x"'):
        (tmp_path / "dataset.json").write_text(garbage)
        with pytest.raises(Conflict, match="cannot be read"):
            write_queries(YFCC4K, replace(SMALL, count=1), tmp_path)


@pytest.mark.parametrize("kind", ["mp16-pro", "im2gps3k", "yfcc4k"])
def test_the_command_says_that_it_is_synthetic(kind: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    small = ["--count", "2", "--size", "192", "--cities", "3", "--jobs", "1", "--out", str(tmp_path)]
    assert run(["dataset", kind, *small]) == 0
    assert "2 synthetic photos" in capsys.readouterr().err
    assert "Synthetic" in (tmp_path / "README.txt").read_text()
    assert '"synthetic": true' in (tmp_path / "dataset.json").read_text()
    assert len(list(tmp_path.glob("*.csv"))) == 1
    assert run(["dataset", "yfcc4k", "--size", "64", "--out", str(tmp_path / "x")]) == 2
    assert run(["dataset", "yfcc4k", "--archives", "--out", str(tmp_path / "x")]) == 2
    assert "only mp16-pro has archives" in capsys.readouterr().err
