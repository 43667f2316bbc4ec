"""A whole evaluation over the ports: every method, exclusions, failures, resumption, and what is written."""

import csv
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
from g3_evaluation.embeddings import Embeddings
from g3_evaluation.fakes import FINGERPRINT, FakeEmbedder, FakeReferences, FakeVerifier
from g3_evaluation.methods import Method
from g3_evaluation.patience import Patience
from g3_evaluation.query_sets import Query, QuerySet, read
from g3_evaluation.reference_map import ReferenceMap
from g3_evaluation.report import RetrievalReport, document
from g3_evaluation.retrieval_run import RetrievalRun, Services, Ways
from g3_evaluation.services import Listed, Recall
from g3_geography import Coordinates, distances_km
from g3_kit.errors import Exhausted, Mismatch, Missing, Rejected, Unavailable
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

PARIS, SYDNEY, LIMA = (48.85, 2.29), (-33.87, 151.21), (-12.05, -77.04)
COLOURS = {(200, 30, 30): PARIS, (30, 200, 30): SYDNEY, (30, 30, 200): LIMA}
IMPATIENT = Patience(total_s=0.3, every_s=0.01)


@dataclass
class Bench:
    """A query set of three places, references near them, and the services."""

    folder: Path
    embedder: FakeEmbedder = field(default_factory=lambda: FakeEmbedder(COLOURS))
    references: FakeReferences = field(
        default_factory=lambda: FakeReferences(
            [(48.86, 2.29, "ann"), (48.90, 2.40, "bob"), (-33.80, 151.2, "bob"), (-12.0, -77.0, ""), (0.0, 50.0, "")]
        )
    )
    verifier: FakeVerifier = field(default_factory=FakeVerifier)
    steps: list[tuple[str, int, int]] = field(default_factory=list)

    def photo(self, name: str, colour: tuple[int, int, int]) -> None:
        Image.new("RGB", (64, 64), colour).save(self.folder / name, quality=95)

    def queries(self, *rows: str) -> QuerySet:
        (self.folder / "photos.csv").write_text("\n".join(["img_id,lat,lon,author", *rows]))
        return read(self.folder)

    def run(self, queries: QuerySet, **ways: object) -> RetrievalReport:
        services = Services(self.embedder, self.references, self.verifier)
        told = Ways(patience=IMPATIENT, **ways)  # type: ignore[arg-type]
        return RetrievalRun(services, self.folder / "out", told, lambda *step: self.steps.append(step)).run(
            queries, "references"
        )

    def answers(self) -> dict[str, dict[str, str]]:
        with (self.folder / "out" / "answers.csv").open(newline="") as table:
            return {row["img_id"]: row for row in csv.DictReader(table)}


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    made = Bench(tmp_path)
    for name, colour in zip(("paris.jpg", "sydney.jpg", "lima.jpg"), COLOURS, strict=True):
        made.photo(name, colour)
    return made


ROWS = ("paris.jpg,48.85,2.29,ann", "sydney.jpg,-33.87,151.21,eve", "lima.jpg,-12.05,-77.04,")


def test_every_method_answers_every_photo(bench: Bench) -> None:
    report = bench.run(bench.queries(*ROWS))
    assert (report.n, report.failures, report.excluded) == (3, [], [])
    assert list(report.accuracy) == list(Method)
    for method in (Method.IMG, Method.IMG_GPS, Method.IMG_GPS_TEXT, Method.GALLERY, Method.CHOSEN, Method.ORACLE):
        assert [share.value for share in report.accuracy[method].within] == [0.0, 1.0, 1.0, 1.0, 1.0], method
    answers = bench.answers()
    assert answers["sydney.jpg"]["img_lat"] == "-33.8000000"
    assert float(answers["sydney.jpg"]["gallery_km"]) == pytest.approx(float(answers["sydney.jpg"]["ceiling_km"]))
    assert bench.verifier.galleries.keys() == {"v1"}
    assert {step for step, done, total in bench.steps if done == total} >= {"references", "gallery", "embedding"}


def test_references_by_the_photos_author_are_left_out_everywhere(bench: Bench) -> None:
    report = bench.run(bench.queries(*ROWS))
    assert (report.authors, report.shared_authors) == (2, 1)
    paris = bench.answers()["paris.jpg"]
    for method in ("img", "img_gps", "img_gps_text", "gallery", "chosen"):
        assert (paris[f"{method}_lat"], paris[f"{method}_long"]) == ("48.9000000", "2.4000000"), method
    assert float(paris["ceiling_km"]) == float(paris["oracle_km"]) == float(paris["img_km"])
    # The same spot, photographed by others too, may be answered with.
    bench.references.places = [*bench.references.places, (48.86, 2.29, "bob")]
    bench.run(bench.queries(*ROWS))
    assert bench.answers()["paris.jpg"]["gallery_lat"] == "48.8600000"


def test_failures_count_and_are_listed(bench: Bench) -> None:
    (bench.folder / "broken.jpg").write_bytes(b"not a photo")
    bench.photo("unknown.jpg", (120, 120, 120))
    rows = (*ROWS, "absent.jpg,1,2,", "broken.jpg,3,4,", "unknown.jpg,5,6,", "twice.jpg,0,0,")
    report = bench.run(bench.queries(*rows))
    assert report.n == 6
    assert {failure.id: failure.code for failure in report.failures} == {
        "absent.jpg": "missing",
        "broken.jpg": "rejected",
        "unknown.jpg": "rejected",
    }
    assert report.accuracy[Method.IMG].within[4].value == 0.5
    assert report.accuracy[Method.IMG].failures == 3
    # No photo is needed for what any method could reach.
    assert report.accuracy[Method.CEILING].failures == 0
    text = (bench.folder / "out" / "report.md").read_text()
    assert "absent.jpg" in text
    assert "n = 6" in text
    assert "strictly" in text


def test_identical_files_are_flagged(bench: Bench) -> None:
    (bench.folder / "again.jpg").write_bytes((bench.folder / "lima.jpg").read_bytes())
    report = bench.run(bench.queries(*ROWS, "again.jpg,10,20,"))
    assert report.identical == [["lima.jpg", "again.jpg"]]
    assert (report.placeholders, document(report)["placeholders"]) == (2, 2)


def test_a_second_run_embeds_nothing_and_says_the_same(bench: Bench) -> None:
    queries = bench.queries(*ROWS)
    first = document(bench.run(queries))
    before = {name: (bench.folder / "out" / name).read_bytes() for name in ("answers.csv",)}
    assert bench.embedder.photos == 3
    again = document(bench.run(queries))
    assert bench.embedder.photos == 3
    assert {**first, "seconds": 0} == {**again, "seconds": 0}
    assert {name: (bench.folder / "out" / name).read_bytes() for name in before} == before
    # A photo that was replaced is embedded again.
    bench.photo("lima.jpg", (200, 30, 30))
    bench.run(queries)
    assert bench.embedder.photos == 4
    assert bench.answers()["lima.jpg"]["img_lat"].startswith("48.")


def test_what_was_embedded_before_a_failure_is_kept(bench: Bench) -> None:
    for number in range(40):
        bench.photo(f"{number}.jpg", (200, 30, 30))
    queries = bench.queries(*(f"{number}.jpg,48.85,2.29," for number in range(40)))
    # The fake takes 16 a call: the first goes well, then the service is gone for good.
    bench.embedder.errors = [None, *[Unavailable("gone")] * 10_000]
    with pytest.raises(Unavailable):
        bench.run(queries, calls=1)
    assert len(Embeddings(bench.folder / "out" / "embeddings", FINGERPRINT)) == 16
    bench.embedder.errors, bench.embedder.photos = [], 0
    bench.run(queries)
    assert bench.embedder.photos == 24


def test_a_service_that_is_full_for_a_while_is_waited_for(bench: Bench) -> None:
    bench.embedder.errors = [Exhausted("full", retry_after_s=0.01), Unavailable("away")]
    assert bench.run(bench.queries(*ROWS)).failures == []


def test_a_gallery_being_prepared_is_waited_for(bench: Bench) -> None:
    bench.verifier.slowness = 3
    bench.run(bench.queries(*ROWS))
    assert bench.verifier.looks >= 3
    bench.verifier.slowness, bench.verifier.looks = 10_000, 0
    with pytest.raises(Unavailable, match="no progress"):
        bench.run(bench.queries(*ROWS))


def test_models_that_do_not_fit_are_not_compared(bench: Bench) -> None:
    bench.references.model = "e" * 64
    with pytest.raises(Mismatch, match="--collection"):
        bench.run(bench.queries(*ROWS))
    bench.references.model = FINGERPRINT
    bench.references.places = []
    with pytest.raises(Rejected, match="no references"):
        bench.run(bench.queries(*ROWS))
    services = Services(bench.embedder, bench.references, bench.verifier)
    with pytest.raises(Missing):
        RetrievalRun(services, bench.folder, Ways(), lambda *_: None).run(bench.queries(*ROWS), "elsewhere")


def test_recall_is_told_or_said_to_be_absent(bench: Bench) -> None:
    queries = bench.queries(*ROWS)
    assert bench.run(queries).recall_absent == "recall cannot be measured yet"
    assert bench.run(queries, recall_sample=0).recall_absent == "not asked for"
    bench.references.recall_ = Recall(0.987, 0.9, 10, 200)
    report = bench.run(queries)
    assert (report.recall, report.recall_absent) == (Recall(0.987, 0.9, 10, 200), "")
    assert "0.9870 of the 10 nearest" in (bench.folder / "out" / "report.md").read_text()


def test_the_report_says_that_a_model_is_untrained(bench: Bench) -> None:
    bench.embedder.trained = False
    bench.run(bench.queries(*ROWS))
    assert "untrained" in (bench.folder / "out" / "report.md").read_text()
    said = json.loads((bench.folder / "out" / "report.json").read_text())
    assert said["model"]["trained"] is False
    assert said["thresholds_km"] == [1.0, 25.0, 200.0, 750.0, 2500.0]


@pytest.mark.parametrize("damage", ["cut", "empty", "noise", "part"])
def test_damaged_vectors_are_made_again(tmp_path: Path, damage: str) -> None:
    kept = Embeddings(tmp_path, FINGERPRINT)
    kept.keep({("a", "1"): np.eye(3, dtype=np.float32)})
    kept.keep({("b", "2"): np.eye(3, dtype=np.float32)})
    file = sorted((tmp_path / FINGERPRINT[:16]).glob("*.npz"))[0]
    if damage == "part":
        (file.parent / ".x.part").write_bytes(b"half")
    else:
        data = file.read_bytes()
        file.write_bytes({"cut": data[: len(data) // 2], "empty": b"", "noise": b"PK" + data[::-1]}[damage])
    again = Embeddings(tmp_path, FINGERPRINT)
    assert len(again) == (2 if damage == "part" else 1)
    assert not list(file.parent.glob(".*"))
    assert Embeddings(tmp_path, "f" * 64).get(("a", "1")) is None


def listed(places: Sequence[tuple[float, float, str]]) -> list[Listed]:
    return [Listed(np.array([place[0]]), np.array([place[1]]), [place[2]]) for place in places]


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 60), st.integers(0, 2**31))
def test_the_ceiling_is_the_least_geodesic_distance(n: int, seed: int) -> None:
    dice = np.random.default_rng(seed)
    authors = ["", "ann", "bob"]
    places = [
        (float(dice.uniform(-90, 90)), float(dice.uniform(-180, 180)), authors[int(dice.integers(3))]) for _ in range(n)
    ]
    known = ReferenceMap.of(listed(places))
    query = Query("q", Path("q"), Coordinates(float(dice.uniform(-90, 90)), float(dice.uniform(-180, 180))), "ann")
    others = [place for place in places if place[2] != "ann"]
    (found,) = known.nearest_km([query])
    if not others:
        assert math.isinf(found)
        assert known.random_places([query], 0) == [None]
        return
    every = distances_km(
        query.coordinates.latitude, query.coordinates.longitude, [p[0] for p in others], [p[1] for p in others]
    )
    assert found == pytest.approx(float(every.min()), abs=1e-9)
    (drawn,) = known.random_places([query], 0)
    assert drawn in [place[:2] for place in others]


def test_chance_depends_on_the_photo_and_not_on_its_neighbours() -> None:
    known = ReferenceMap.of(listed([(float(n), float(n), "") for n in range(50)]))
    queries = [Query(f"{n}.jpg", Path(), Coordinates(0, 0)) for n in range(20)]
    drawn = known.random_places(queries, 1)
    assert known.random_places(queries[::-1], 1) == drawn[::-1]
    assert known.random_places(queries, 2) != drawn
    assert len(set(drawn)) > 5
