"""`g3-eval score`: files of predictions as they circulate, with figures counted by hand."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
from g3_evaluation import prediction_file, published
from g3_evaluation.command import app
from g3_evaluation.scoring import Measure, compared, published_beside, score
from g3_geography import Coordinates, destination, distance_km
from g3_kit.errors import Rejected
from typer.testing import CliRunner

CIRCULATING = "img_id,gt_lat,predicted_lat,gt_long,predicted_long,great_circle_distance"
PARIS = Coordinates(48.8584, 2.2945)


def write(folder: Path, lines: list[str], name: str = "predictions.csv") -> Path:
    path = folder / name
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def row(id_: str, truth: Coordinates, said: Coordinates, stated_km: float | None = None) -> str:
    km = distance_km(truth, said) if stated_km is None else stated_km
    return f"{id_},{truth.latitude!r},{said.latitude!r},{truth.longitude!r},{said.longitude!r},{km!r}"


def circulating(folder: Path, name: str = "im2gps3k_predictions.csv") -> Path:
    """A file in the published format: of 2,997 photos 499, 1,227, 1,665, 2,135 and 2,538 lie within the thresholds.

    Which are 16.65, 40.94, 55.56, 71.24 and 84.68 %: the poster's row of G3 on IM2GPS3K.
    """
    counts = (499, 1227, 1665, 2135, 2538, 2997)
    away_km = (0.5, 12.0, 100.0, 500.0, 1_500.0, 5_000.0)
    rows: list[str] = []
    for many, km in zip(np.diff((0, *counts)).tolist(), away_km, strict=True):
        for _ in range(many):
            number = len(rows)
            truth = Coordinates(-50 + 100 * (number % 97) / 97, -170 + 340 * (number % 89) / 89)
            said = destination(truth, number % 360, km)
            rows.append(row(f"{number}_{number:010x}@N00.jpg", truth, said))
    summary = ["", "2500km,750km,200km,25km,1km", "0.8468,0.7124,0.5556,0.4094,0.1665"]
    return write(folder, [CIRCULATING, *rows, *summary], name)


def test_a_published_file_scores_to_the_published_figures(tmp_path: Path) -> None:
    found = score(prediction_file.read(circulating(tmp_path)))
    (printed,) = [each for each in published_beside(found, "auto") if each.method == "G3"]
    assert [round(100 * share.value, 2) for share in found.accuracy.within] == list(printed.within)
    assert found.accuracy.n == 2997
    assert (found.faults, found.stated_otherwise, len(found.summary)) == ([], 0, 2)
    assert score(prediction_file.read(circulating(tmp_path)), Measure.HAVERSINE).accuracy.within[0].value == 499 / 2997


def test_the_thresholds_are_strict_and_geodesic_unless_told(tmp_path: Path) -> None:
    equator = Coordinates(0.0, 10.0)
    # 24.95 km by the sphere and 25.0 by the ellipsoid is one place along the equator: a = 6378.137 km.
    east = Coordinates(0.0, 10.0 + 24.98 / 6371.0088 * 180 / np.pi)
    file = write(tmp_path, [CIRCULATING, row("a.jpg", equator, east)])
    assert score(prediction_file.read(file)).accuracy.within[1].value == 0.0
    assert score(prediction_file.read(file), Measure.HAVERSINE).accuracy.within[1].value == 1.0


def test_every_broken_row_is_told_and_counts_as_a_failure(tmp_path: Path) -> None:
    rows = [
        "good.jpg,10,10,20,20,0",
        "far.jpg,10,60,20,20,5000",
        "nan.jpg,10,nan,20,20,nan",
        "none.jpg,10,,20,,",
        "words.jpg,10,here,20,there,0",
        "high.jpg,10,91,20,20,0",
        "wide.jpg,10,10,20,181,0",
        "same.jpg,10,10,20,20,0",
        "same.jpg,10,10,20,20,0",
        "two.jpg,10,10,20,20,0",
        "two.jpg,10,11,20,20,111",
        "untrue.jpg,,10,20,20,0",
        ",10,10,20,20,0",
        "zero.jpg,10,0,20,0,2450",
    ]
    found = score(prediction_file.read(write(tmp_path, [CIRCULATING, *rows])))
    assert found.accuracy.n == 10
    assert found.accuracy.failures == 6
    assert [round(share.value, 6) for share in found.accuracy.within] == [0.2, 0.2, 0.2, 0.2, 0.3]
    told = {fault.id: (fault.what, fault.failure) for fault in found.faults}
    assert {id_ for id_, (_, failure) in told.items() if failure} == {
        f"{name}.jpg" for name in ("nan", "none", "words", "high", "wide", "two")
    }
    assert told["same.jpg"] == ("a repeated row, counted once", False)
    assert "states no truth" in told["untrue.jpg"][0]
    assert "names no photo" in told["line 14"][0]
    assert found.zeros == 1
    assert found.stated_otherwise == 2, "far.jpg and zero.jpg state distances that are not theirs"


def test_the_truth_may_stand_in_a_table_of_its_own(tmp_path: Path) -> None:
    truth = write(tmp_path, ["IMG_ID,AUTHOR,LAT,LON", "a.jpg,x,10,20", "b.jpg,x,10,20", "c.jpg,y,-10,30"], "truth.csv")
    plain = write(tmp_path, ["id;latitude;longitude", "b.jpg;10;20", "a.jpg;10;21", "d.jpg;1;1"], "plain.csv")
    found = score(prediction_file.read(plain, truth))
    assert (found.accuracy.n, found.accuracy.failures) == (3, 1)
    assert [share.value for share in found.accuracy.within] == pytest.approx([1 / 3, 1 / 3, 2 / 3, 2 / 3, 2 / 3])
    assert {fault.id: fault.what for fault in found.faults} == {
        "d.jpg": "the table of truths has no such photo",
        "c.jpg": "no prediction",
    }
    assert found.authors == {"a.jpg": "x", "b.jpg": "x", "c.jpg": "y"}
    assert found.clustered.within[0].low == 0.0


@pytest.mark.parametrize(
    ("heading", "message"),
    [
        ("img_id,gt_lat,gt_long", "no predictions"),
        ("img_id,lat,lon", "--truth"),
        ("gt_lat,predicted_lat,gt_long,predicted_long", "no column of ids"),
        ("img_id,gt_lat,predicted_lat,gt_long", "none of its longitude"),
        ("img_id,gt_lat,gt_long,predicted_lat,pred_lat,predicted_long", "leave one of them"),
    ],
)
def test_a_file_that_lacks_a_column_says_which(tmp_path: Path, heading: str, message: str) -> None:
    file = write(tmp_path, [heading, ",".join(["1"] * (heading.count(",") + 1))])
    with pytest.raises(Rejected, match=re.escape(message)):
        prediction_file.read(file)


def test_swapped_columns_are_refused(tmp_path: Path) -> None:
    places = [Coordinates(40 + n % 7, -80 + n) for n in range(60)]
    swapped = [f"{n}.jpg,{p.latitude},{p.longitude},{p.longitude},{p.latitude}" for n, p in enumerate(places)]
    heading = "img_id,gt_lat,predicted_lat,gt_long,predicted_long"
    with pytest.raises(Rejected, match=r"predictions of p\.csv look swapped"):
        score(prediction_file.read(write(tmp_path, [heading, *swapped], "p.csv")))
    far = [f"{n}.jpg,{100 + n % 50},1,{n % 50},1" for n in range(40)]
    with pytest.raises(Rejected, match=r"truth of t\.csv is possible only with its columns swapped in 40 rows"):
        prediction_file.read(write(tmp_path, [heading, *far], "t.csv"))
    honest = [f"{n}.jpg,{p.latitude},{p.latitude},{p.longitude},{p.longitude}" for n, p in enumerate(places)]
    assert score(prediction_file.read(write(tmp_path, [heading, *honest]))).accuracy.within[0].value == 1.0


def test_a_summary_is_no_data_and_data_is_no_summary(tmp_path: Path) -> None:
    rows = ["a.jpg,1,1,2,2,0", "b.jpg,1,1,2,2,0", "", "c.jpg,1,1,2,2,0", "d.jpg,1,1,2,2,0"]
    assert score(prediction_file.read(write(tmp_path, [CIRCULATING, *rows]))).accuracy.n == 4
    figures = ["a,1,1,2,2,0", "b,1,1,2,2,0", "", "0.16,0.40,0.55,0.71,0.84,0", "0.1,0.2,0.3,0.4,0.5,0"]
    found = prediction_file.read(write(tmp_path, [CIRCULATING, *figures]))
    assert list(found.truths) == ["a", "b"]
    assert found.summary == figures[3:]


def test_two_files_are_compared_photo_by_photo(tmp_path: Path) -> None:
    first = score(prediction_file.read(write(tmp_path, [CIRCULATING, "a.jpg,1,1,2,2,0", "b.jpg,1,9,2,2,0"], "1.csv")))
    second = score(prediction_file.read(write(tmp_path, [CIRCULATING, "b.jpg,1,1,2,2,0", "c.jpg,1,1,2,2,0"], "2.csv")))
    found = compared(first, second)
    assert found is not None
    assert [share.value for share in found.within] == [1.0, 1.0, 1.0, 1.0, 0.0]
    assert compared(first, score(prediction_file.read(write(tmp_path, [CIRCULATING, "z.jpg,1,1,2,2,0"])))) is None


def test_the_command_says_it_in_a_table_in_json_and_in_markdown(tmp_path: Path) -> None:
    file, out = circulating(tmp_path), tmp_path / "score.md"
    done = CliRunner().invoke(app, ["score", str(file), "--json", "--out", str(out)])
    assert done.exit_code == 0, done.output
    said = json.loads(done.stdout)
    assert [round(100 * share["value"], 2) for share in said["files"][0]["within"]] == [
        16.65,
        40.94,
        55.56,
        71.24,
        84.68,
    ]
    assert "strictly below" in said["distance"]
    assert "| G3 |  | 16.65 | 40.94 | 55.56 | 71.24 | 84.68 |" in out.read_text()
    shown = CliRunner().invoke(app, ["score", str(file), str(file)], env={"COLUMNS": "160"})
    assert shown.exit_code == 0
    assert "printed: GeoCLIP" in shown.stdout
    wrong = CliRunner().invoke(app, ["score", str(tmp_path / "absent.csv")])
    assert wrong.exit_code == 2


def test_the_printed_rows_are_whole() -> None:
    for query_set in published.QUERY_SETS:
        overall = published.rows(query_set, "overall", "ablation")
        assert len(overall) == 13
        assert all(len(each.within) == 5 and list(each.within) == sorted(each.within) for each in overall)
    assert published.query_set_of("my folder", 4536) == "yfcc4k"
    assert published.rows("", "overall") == []
