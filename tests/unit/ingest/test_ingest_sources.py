"""Which photos a CSV or a folder offers, and which rows are refused."""

from pathlib import Path

import pytest
from g3_geography import Coordinates, Place
from g3_ingest.sources import from_csv, from_folder
from g3_kit.errors import Rejected
from hypothesis import given
from hypothesis import strategies as st

from tests.servers.photos import jpeg

PHOTO = jpeg()


def table(folder: Path, text: str, encoding: str = "utf-8") -> Path:
    path = folder / "photos.csv"
    path.write_bytes(text.encode(encoding))
    return path


@pytest.mark.parametrize(
    ("heading", "row"),
    [
        ("file,latitude,longitude", "a/b.jpg,48.85,2.29"),
        ("img_id,latitude,longitude", "a/b.jpg,48.85,2.29"),
        ("IMG_ID,AUTHOR,LAT,LON,S3_Label", "a/b.jpg,,48.85,2.29,7"),
        (" Latitude ,Lng,Path", "48.85, 2.29 ,a/b.jpg"),
        ("IMG_ID;LAT;LON", "a/b.jpg;48.85;2.29"),
        ("image\tlat\tlong", "a/b.jpg\t48.85\t2.29"),
    ],
)
def test_columns_are_known_by_any_of_their_names(tmp_path: Path, heading: str, row: str) -> None:
    listing = from_csv(tmp_path, table(tmp_path, f"\ufeff{heading}\r\n{row}\r\n\r\n"))
    (entry,) = listing.entries
    assert (entry.id, entry.path) == ("a/b.jpg", tmp_path / "a" / "b.jpg")
    assert entry.coordinates == Coordinates(48.85, 2.29)
    assert (entry.place, entry.author) == (None, "")
    assert listing.rejects == []


def test_an_id_may_differ_from_the_file_and_a_place_be_told(tmp_path: Path) -> None:
    text = (
        "img_id,file,latitude,longitude,city,state,country,country_code,author\n"
        '17,a.jpg,-33.9,151.2,Sydney,"New South Wales",Australia,au,Ann\n'
        "18,b.jpg,-33.9,151.2,,,,AUS,\n"
    )
    first, second = from_csv(tmp_path, table(tmp_path, text)).entries
    assert (first.id, first.path.name, first.author) == ("17", "a.jpg", "Ann")
    assert first.place == Place("Sydney", "New South Wales", "Australia", "AU")
    assert second.place is None


def test_the_flat_names_of_mp16s_archive_are_found(tmp_path: Path) -> None:
    (tmp_path / "ab_cd_name.jpg").write_bytes(PHOTO)
    (entry,) = from_csv(tmp_path, table(tmp_path, "IMG_ID,LAT,LON\nab/cd/name.jpg,1,2\n")).entries
    assert (entry.id, entry.path.name) == ("ab/cd/name.jpg", "ab_cd_name.jpg")


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ("a.jpg,91,0", "latitude 91 is out of range"),
        ("a.jpg,-200,10", "latitude -200 is out of range"),
        ("a.jpg,10,181", "longitude 181 is out of range"),
        ("a.jpg,151.2,-33.9", "are the columns swapped"),
        ("a.jpg,nan,0", "finite"),
        ("a.jpg,1e999,0", "finite"),
        ("a.jpg,48N,0", "no number"),
        ("a.jpg,,", "no number"),
        ("a.jpg,1", "no number"),
        ("a.jpg,0,-0.0", "unknown place"),
        (",1,2", "names no photo"),
        ("../a.jpg,1,2", "outside"),
        ("x/../../a.jpg,1,2", "outside"),
        ("/etc/a.jpg,1,2", "outside"),
        ("é" * 101 + ",1,2", "longer than 200 bytes"),
        ("a\x07.jpg,1,2", "cannot be shown"),
        ("good.jpg,1,2", "earlier row"),
    ],
)
def test_a_faulty_row_is_refused_alone(tmp_path: Path, row: str, reason: str) -> None:
    listing = from_csv(tmp_path, table(tmp_path, f"file,latitude,longitude\ngood.jpg,1,2\n{row}\nlast.jpg,3,4\n"))
    assert [entry.id for entry in listing.entries] == ["good.jpg", "last.jpg"]
    (reject,) = listing.rejects
    assert reject.code == "rejected"
    assert reason in reject.reason
    assert reject.id.isprintable()


def test_swapped_columns_are_found_out_before_half_the_world_is_wrong(tmp_path: Path) -> None:
    rows = [f"{k}.jpg,{longitude},{latitude}" for k, (latitude, longitude) in enumerate(WORLD)]
    listing = from_csv(tmp_path, table(tmp_path, "\n".join(["file,latitude,longitude", *rows])))
    assert listing.entries == []
    assert len(listing.rejects) == len(WORLD)
    assert sum("look swapped" in reject.reason for reject in listing.rejects) == 4


# four of these have a longitude beyond 90°: only they can be seen to be swapped
WORLD = [
    (48.85, 2.29),
    (-33.9, 151.2),
    (35.7, 139.7),
    (37.8, -122.4),
    (51.5, -0.1),
    (41.9, 12.5),
    (1.3, 103.8),
    (0.1, 32),
]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "no id or file column"),
        ("a,b,c\n1,2,3\n", "no id or file column"),
        ("file,longitude\na,1\n", "no latitude column"),
        ("file,latitude\na,1\n", "no longitude column"),
    ],
)
def test_a_table_that_cannot_be_used_is_refused(tmp_path: Path, text: str, reason: str) -> None:
    with pytest.raises(Rejected, match=reason):
        from_csv(tmp_path, table(tmp_path, text))


def test_other_encodings_folders_and_absent_tables_are_refused(tmp_path: Path) -> None:
    with pytest.raises(Rejected, match="UTF-8"):
        from_csv(tmp_path, table(tmp_path, "file,latitude,longitude\né,1,2\n", "latin-1"))
    with pytest.raises(Rejected, match="cannot be read"):
        from_csv(tmp_path, tmp_path)
    with pytest.raises(Rejected, match="no file"):
        from_csv(tmp_path, tmp_path / "absent.csv")


@given(text=st.text(max_size=300))
def test_no_text_breaks_the_reader(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    folder = tmp_path_factory.mktemp("table")
    path = folder / "photos.csv"
    path.write_bytes(("file,latitude,longitude\n" + text).encode(errors="replace"))
    try:
        listing = from_csv(folder, path)
    except Rejected:
        return
    assert all(-90 <= entry.coordinates.latitude <= 90 for entry in listing.entries if entry.coordinates)
    assert len({entry.id for entry in listing.entries}) == len(listing.entries)


def test_a_folder_is_listed_by_relative_paths(tmp_path: Path) -> None:
    (tmp_path / "b").mkdir()
    for name in ("z.JPG", "b/a.jpeg", "b/c.png", "photos.csv", "notes.txt"):
        (tmp_path / name).write_bytes(PHOTO)
    (tmp_path / "folder.jpg").mkdir()
    listing = from_folder(tmp_path)
    assert [entry.id for entry in listing.entries] == ["b/a.jpeg", "b/c.png", "z.JPG"]
    assert all(entry.coordinates is None for entry in listing.entries)
    assert listing.rejects == []
