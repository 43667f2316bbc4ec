"""Sources whose rows are numbered: archives, folders, ready-made vectors, world plans."""

import csv
import io
import json
import tarfile
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from g3_ingest.opening import Sources
from g3_ingest.photos import Cleaner
from g3_ingest.rows import Duplicate, Placeholder, Row, Source
from g3_kit.errors import Missing, Rejected
from g3_world.mp16_pro import write_mp16_pro
from g3_world.plan import Plan

from tests.servers.photos import jpeg

HEADING = "IMG_ID,LAT,LON,city,country\n"


def opened(tmp_path: Path, source: str | Path, table: Path | None = None, authors: Path | None = None) -> Source:
    sources = Sources(tmp_path / "cache", [tmp_path])
    return sources.open(str(source), str(table or ""), str(authors or ""))


def rows_of(source: Source) -> list[Row]:
    return list(source.read(0, source.rows))


def archive(path: Path, members: dict[str, bytes]) -> Path:
    with tarfile.open(path, "w") as tar:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return path


def loaded(row: Row) -> bytes:
    assert row.photo is not None
    return row.photo()


def test_an_archive_is_read_without_extracting_and_any_part_of_it_alone(tmp_path: Path) -> None:
    photos = [jpeg(seed, (64, 48)) for seed in range(6)]
    archive(tmp_path / "one.tar", {f"mp16/aa_bb_{n}.jpg": photos[n] for n in range(3)})
    archive(tmp_path / "two.tar", {f"aa/bb/{n}.jpg": photos[n] for n in range(3, 6)})
    table = tmp_path / "photos.csv"
    lines = [f'aa/bb/{n}.jpg,{10 + n},20,"a city, {n}\nover two lines",France\n' for n in reversed(range(6))]
    table.write_text(HEADING + "".join(lines))
    source = opened(tmp_path, tmp_path, table)
    rows = rows_of(source)
    assert source.rows == 6
    assert [row.id for row in rows] == [f"aa/bb/{n}.jpg" for n in reversed(range(6))]
    assert [loaded(row) for row in rows] == list(reversed(photos))
    assert [row.number for row in rows] == list(range(6))
    assert rows[0].coordinates is not None
    assert rows[0].coordinates.latitude == 15
    assert rows[0].place is not None
    assert rows[0].place.city == "a city, 5\nover two lines"
    assert [row.id for row in source.read(2, 4)] == [row.id for row in rows[2:4]]
    assert not any(path.suffix == ".jpg" for path in tmp_path.rglob("*"))


def test_the_index_is_made_once_and_again_when_the_source_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive(tmp_path / "one.tar", {"a.jpg": jpeg(1), "b.jpg": jpeg(2)})
    table = tmp_path / "photos.csv"
    table.write_text(HEADING + "a.jpg,1,2,,\n")
    first = opened(tmp_path, tmp_path / "one.tar", table)
    with monkeypatch.context() as patched:
        patched.setattr("g3_ingest.photo_source.index", lambda *_: pytest.fail("made again"))
        assert opened(tmp_path, tmp_path / "one.tar", table).fingerprint == first.fingerprint
    table.write_text(HEADING + "a.jpg,1,2,,\nb.jpg,3,4,,\n")
    second = opened(tmp_path, tmp_path / "one.tar", table)
    assert (second.rows, second.fingerprint != first.fingerprint) == (2, True)


def test_an_index_that_was_cut_off_leaves_nothing_behind(tmp_path: Path) -> None:
    archive(tmp_path / "one.tar", {"a.jpg": jpeg(1)})
    (tmp_path / "photos.csv").write_text(HEADING + "a.jpg,1,2,,\n")
    sources = Sources(tmp_path / "cache", [tmp_path])

    def stop() -> None:
        raise Rejected("stop")

    with pytest.raises(Rejected, match="stop"):
        sources.open(str(tmp_path / "one.tar"), str(tmp_path / "photos.csv"), "", stop)
    assert [path for path in (tmp_path / "cache").iterdir() if path.is_dir()] == []
    assert sources.open(str(tmp_path / "one.tar"), str(tmp_path / "photos.csv"), "").rows == 1


def test_what_only_the_whole_source_shows_is_flagged(tmp_path: Path) -> None:
    plain, twin, stub = jpeg(1, (640, 480)), jpeg(2, (640, 480)), jpeg(3, (32, 32))
    assert len(twin) > 5_120 >= len(stub)
    for name, data in {"a": plain, "b": twin, "c": twin, "d": stub, "e": stub, "f": jpeg(4, (640, 480))}.items():
        (tmp_path / f"{name}.jpg").write_bytes(data)
    many = jpeg(5, (640, 480))
    for number in range(3):
        (tmp_path / f"many{number}.jpg").write_bytes(many)
    names = ["a", "b", "c", "d", "e", "f", "many0", "many1", "many2"]
    table = tmp_path / "photos.csv"
    lines = [f"{name}.jpg,10,20,,\n" for name in names]
    table.write_text(HEADING + "".join(lines) + "a.jpg,11,21,,\nabsent.jpg,1,2,,\n../x.jpg,1,2,,\ng.jpg,95,200,,\n")
    rows = {row.number: row for row in rows_of(opened(tmp_path, tmp_path, table))}
    faults = {number: type(row.fault) for number, row in rows.items() if row.fault is not None}
    assert faults == {
        2: Duplicate,
        3: Placeholder,
        4: Placeholder,
        6: Placeholder,
        7: Placeholder,
        8: Placeholder,
        9: Rejected,
        11: Rejected,
        12: Rejected,
    }
    assert loaded(rows[1]) == twin
    with pytest.raises(Missing):
        loaded(rows[10])


def test_a_table_whose_columns_are_swapped_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(jpeg(1))
    (tmp_path / "photos.csv").write_text(HEADING + "".join(f"a{n}.jpg,15{n},-33,,\n" for n in range(5)))
    with pytest.raises(Rejected, match="swapped"):
        opened(tmp_path, tmp_path, tmp_path / "photos.csv")


def test_authors_join_by_id(tmp_path: Path) -> None:
    for name in "abc":
        (tmp_path / f"{name}.jpg").write_bytes(jpeg(ord(name)))
    (tmp_path / "photos.csv").write_text(HEADING + "a.jpg,1,2,,\nb.jpg,1,2,,\nc.jpg,1,2,,\n")
    (tmp_path / "authors.csv").write_text('img_id,author\nc.jpg,"Ann, of Ghent"\nx.jpg,Nobody\na.jpg,Bob\n')
    source = opened(tmp_path, tmp_path, tmp_path / "photos.csv", tmp_path / "authors.csv")
    assert [row.author for row in rows_of(source)] == ["Bob", "", "Ann, of Ghent"]
    with pytest.raises(Rejected, match="author"):
        opened(tmp_path, tmp_path, tmp_path / "photos.csv", tmp_path / "photos.csv")


def test_mp16_pro_as_published(tmp_path: Path) -> None:
    table = write_mp16_pro(Plan(count=150, seed=3, size=192), tmp_path)
    source = opened(tmp_path, tmp_path, table)
    with table.open(newline="") as file:
        listed = list(csv.DictReader(file))
    rows, cleaner = rows_of(source), Cleaner()
    assert [row.id for row in rows] == [cells["IMG_ID"] for cells in listed]
    no_country = {cells["IMG_ID"] for cells in listed if not cells["country"]}
    kinds = Counter(type(row.fault) for row in rows)
    assert kinds[Placeholder] + kinds[Rejected] + kinds[type(None)] == 150
    assert kinds[type(None)] > 100
    assert no_country <= {row.id for row in rows if row.fault is not None}
    good = next(row for row in rows if row.fault is None)
    assert cleaner.clean(good).jpeg[:2] == b"\xff\xd8"


def test_ready_made_vectors_are_judged_row_by_row(tmp_path: Path) -> None:
    vectors = np.random.default_rng(1).standard_normal((4, 3, 8)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=2, keepdims=True)
    vectors[2] *= 2
    vectors[3, 0, 0] = np.nan
    np.save(tmp_path / "v.npy", vectors)
    table = tmp_path / "v.csv"
    table.write_text(HEADING + "a,1,2,Paris,France\na,3,4,,\nc,5,6,,\nd,7,8,,\n")
    with pytest.raises(Rejected, match=r"v\.json"):
        opened(tmp_path, tmp_path / "v.npy", table)
    (tmp_path / "v.json").write_text(json.dumps({"model": "m" * 64}))
    source = opened(tmp_path, tmp_path / "v.npy", table)
    assert source.ready_made is not None
    assert (source.ready_made.model, source.ready_made.dimension) == ("m" * 64, 8)
    first, *others = rows_of(source)
    assert first.vectors is not None
    assert first.vectors.text_aligned == vectors[0, 1].tobytes()
    assert [str(row.fault) for row in others] == [
        "the id stands in an earlier row too",
        "its vectors are not of unit length",
        "its vectors are not of unit length",
    ]
    table.write_text(HEADING + "a,1,2,,\n")
    with pytest.raises(Rejected, match="4 rows"):
        opened(tmp_path, tmp_path / "v.npy", table)


def test_a_world_plan_renders_on_the_fly(tmp_path: Path) -> None:
    source = opened(tmp_path, "world:seed=5,count=8,size=64")
    assert source.rows == 8
    rows = list(source.read(3, 5))
    assert [row.id for row in rows] == [Plan(8, 5).img_id(3), Plan(8, 5).img_id(4)]
    assert all(row.author and row.place and row.coordinates for row in rows)
    assert loaded(rows[0]) == loaded(rows[0]) != loaded(rows[1])


@pytest.mark.parametrize(
    ("source", "table", "reason"),
    [
        ("world:seed=1", "", "count"),
        ("world:seed=1,count=1,colour=red", "", "world plan"),
        ("world:count=3", "t.csv", "no table"),
        ("photos", "", "absolute"),
        ("/etc", "", "G3_INGEST_ROOTS"),
        ("{here}/../elsewhere", "", "G3_INGEST_ROOTS"),
        ("{here}/absent", "", "no file or folder"),
        ("{here}", "{here}/absent.csv", "no file"),
        ("{here}", "/etc/passwd", "G3_INGEST_ROOTS"),
        ("{here}", "", "no photos"),
        ("{here}/t.tar", "", "need a table"),
        ("{here}/t.tar", "{here}/t.csv", "tar archive"),
        ("{here}/v.npy", "", "need a table"),
    ],
)
def test_what_is_no_source_is_refused(tmp_path: Path, source: str, table: str, reason: str) -> None:
    (tmp_path / "t.tar").write_bytes(b"no archive")
    (tmp_path / "t.csv").write_text(HEADING + "a,1,2,,\n")
    if source == "{here}" and not table:
        (tmp_path / "t.tar").unlink()
    with pytest.raises(Rejected, match=reason):
        Sources(tmp_path / "cache", [tmp_path]).open(source.format(here=tmp_path), table.format(here=tmp_path), "")
