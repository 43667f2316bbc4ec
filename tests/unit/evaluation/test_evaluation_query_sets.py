"""Query sets as they are found in the world, also broken ones."""

from pathlib import Path

import numpy as np
import pytest
from g3_evaluation.query_sets import read
from g3_geography import Gazetteer
from g3_kit.errors import Rejected


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("a.jpg", "b@c.jpg", "x_y_z.jpg"):
        (tmp_path / name).write_bytes(b"photo")
    return tmp_path


def table(folder: Path, text: str, name: str = "photos.csv", encoding: str = "utf-8") -> Path:
    path = folder / name
    path.write_text(text, encoding=encoding)
    return path


def test_the_layout_of_im2gps3k_and_yfcc4k(folder: Path) -> None:
    heading = "IMG_ID,AUTHOR,LAT,LON,S3_Label,S16_Label,S365_Label,Prob_indoor,Prob_natural,Prob_urban"
    rows = ["a.jpg,39@N00,48.85,2.29,1,2,3,0.1,0.2,0.7", "b@c.jpg,40@N00,-33.9,151.2,1,2,3,0.1,0.2,0.7"]
    table(folder, "\n".join([heading, *rows]), "im2gps3k_places365.csv")
    found = read(folder)
    assert [(query.id, query.author) for query in found.queries] == [("a.jpg", "39@N00"), ("b@c.jpg", "40@N00")]
    assert found.queries[1].coordinates.longitude == 151.2
    assert found.excluded == []
    assert found.name == folder.resolve().name


def test_our_own_layout_with_a_mark_semicolons_and_blank_lines(folder: Path) -> None:
    table(folder, "img_id;latitude;longitude;author\n\na.jpg;1;2;Ann\n;;;\n", encoding="utf-8-sig")
    (query,) = read(folder).queries
    assert (query.id, query.author, query.path) == ("a.jpg", "Ann", folder / "a.jpg")


def test_slashes_spelt_as_underscores(folder: Path) -> None:
    table(folder, "IMG_ID,LAT,LON\nx/y/z.jpg,1,2\n")
    assert read(folder).queries[0].path == folder / "x_y_z.jpg"


def test_rows_without_a_truth_are_left_out_and_missing_photos_are_not(folder: Path) -> None:
    rows = [
        "a.jpg,1,2",
        "a.jpg,1,2",
        "absent.jpg,3,4",
        "b@c.jpg,0,0",
        "n.jpg,nan,4",
        "h.jpg,here,there",
        "f.jpg,95,200",
        "../../etc/passwd,1,2",
        "/etc/passwd,1,2",
        "bell\x07.jpg,1,2",
        "e.jpg,1",
        "x" * 201 + ".jpg,1,2",
        ",5,6",
    ]
    table(folder, "\n".join(["img_id,lat,lon", *rows]))
    found = read(folder)
    assert [query.id for query in found.queries] == ["a.jpg", "absent.jpg"]
    assert len(found.excluded) == len(rows) - 2
    assert all(excluded.id.isprintable() and excluded.reason for excluded in found.excluded)
    assert "earlier row" in found.excluded[0].reason


def test_swapped_headings_are_refused_where_rows_are_impossible(folder: Path) -> None:
    rows = [f"a{number}.jpg,{100 + number},{number}" for number in range(5)] + ["a.jpg,10,20"] * 10
    table(folder, "\n".join(["IMG_ID,LAT,LON", *rows]))
    with pytest.raises(Rejected, match=r"swapped in 5 rows.*swap the headings"):
        read(folder)


def test_swapped_headings_are_refused_where_every_row_is_possible(folder: Path) -> None:
    cities = Gazetteer().cities()
    europe = [
        row
        for row in np.argsort(-cities.populations)[:3000].tolist()
        if 40 < cities.latitudes[row] < 60 and -10 < cities.longitudes[row] < 30
    ][:40]
    places = [(cities.latitudes[row], cities.longitudes[row]) for row in europe]
    (folder / "0.jpg").write_bytes(b"photo")
    right = "\n".join(["img_id,lat,lon", *(f"{n}.jpg,{north},{east}" for n, (north, east) in enumerate(places))])
    wrong = "\n".join(["img_id,lon,lat", *(f"{n}.jpg,{north},{east}" for n, (north, east) in enumerate(places))])
    table(folder, right)
    assert len(read(folder).queries) == 40
    table(folder, wrong)
    with pytest.raises(Rejected, match="looks swapped"):
        read(folder)


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("", "no id or file column"),
        ("LAT,LON\n1,2\n", "no id or file column"),
        ("IMG_ID,LAT\na.jpg,1\n", "no longitude column"),
        ("IMG_ID,LAT,LON\n", "no row"),
        ("IMG_ID,LAT,LON\nabsent.jpg,1,2\n", "None of the photos"),
    ],
)
def test_tables_that_are_none(folder: Path, text: str, match: str) -> None:
    table(folder, text)
    with pytest.raises(Rejected, match=match):
        read(folder)


def test_bytes_that_are_no_text(folder: Path) -> None:
    (folder / "photos.csv").write_bytes(b"IMG_ID,LAT,LON\n\xff\xfe,1,2\n")
    with pytest.raises(Rejected, match="UTF-8"):
        read(folder)


def test_which_table_must_be_clear(folder: Path) -> None:
    with pytest.raises(Rejected, match="--csv"):
        read(folder)
    table(folder, "img_id,lat,lon\na.jpg,1,2\n", "one.csv")
    table(folder, "img_id,lat,lon\nb@c.jpg,1,2\n", "two.csv")
    with pytest.raises(Rejected, match=r"one\.csv, two\.csv"):
        read(folder)
    assert read(folder, folder / "two.csv").queries[0].id == "b@c.jpg"
    with pytest.raises(Rejected, match="no file"):
        read(folder, folder / "three.csv")


def test_a_limit_takes_the_first_rows(folder: Path) -> None:
    table(folder, "img_id,lat,lon\na.jpg,1,2\nb@c.jpg,1,2\n")
    assert [query.id for query in read(folder, limit=1).queries] == ["a.jpg"]
