"""The report of a small stored run, with every figure counted by hand."""

import json
import math
import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from g3_choice import Origin, Proposal, Ranking, choose, merged
from g3_choice.pool_file import read_pools
from g3_evaluation.asks import Ask, Superset, key_of, of_photo, parameters
from g3_evaluation.command import app
from g3_evaluation.findings import Findings, document, findings
from g3_evaluation.journal import Journal
from g3_evaluation.metrics import wilson
from g3_evaluation.outcomes import Outcome, Retrieved, Said, StageTime, Voice
from g3_evaluation.query_sets import Query
from g3_evaluation.rescoring import Part, place, proposals
from g3_evaluation.run_data import load
from g3_evaluation.run_folder import RunFolder, RunNote
from g3_geography import Coordinates
from g3_kit.errors import Missing
from typer.testing import CliRunner

from tests.servers.photos import jpeg

TRUTH = Coordinates(10.0, 20.0)
# North of the truth by 0, 20, 150, 500, 2000 and 5000 km or so: a degree of latitude is 110.6 km there.
AT = {0: 10.0, 20: 10.18, 150: 11.35, 500: 14.5, 2000: 28.0, 5000: 55.0}
PHOTOS = ("a.jpg", "b.jpg", "c.jpg", "d.jpg")
AUTHORS = ("ann", "ann", "bob", "")


def place_at(km: int) -> tuple[float, float]:
    return AT[km], 20.0


def voice(km: int, similarity: float, prompt: int = 0, sample: int = 0) -> Voice:
    return Voice(*place_at(km), "lmm", similarity, prompt, sample)


def found_reference(km: int, rank: int, similarity: float, author: str = "eve") -> tuple[Retrieved, Voice]:
    id_ = f"r{rank}"
    reference = Retrieved(id_, *place_at(km), similarity, author, "Somewhere")
    return reference, Voice(*place_at(km), "retrieved", 0.4 - rank / 100, reference_id=id_)


def paper(photo: str, said: list[Voice], *references: int, confident: float | None = None) -> Outcome:
    """An outcome of the profile paper: the candidate with the greatest cosine is what the job answered."""
    pairs = [found_reference(km, rank, 0.9 - rank / 100) for rank, km in enumerate(references)]
    voices = [*said, *(each for _, each in pairs)]
    best = max(voices[: len(said) + 1], key=lambda each: each.similarity or 0)
    return Outcome(
        key=f"paper {photo}",
        ask="paper",
        photo=photo,
        sha256=photo,
        place=(best.latitude, best.longitude),
        similarity=best.similarity,
        job_id="j",
        voices=voices,
        references=[reference for reference, _ in pairs],
        answers=[Said(each.prompt, each.sample, "…") for each in said],
        tokens=(200, 7 * len(said)),
        confidence={} if confident is None else {f"{km:g}": confident for km in (1, 25, 200, 750, 2500)},
        stages={"generate": StageTime(0.5, 2.0, 1)},
        release=("m" * 64, "c_v1"),
    )


OUTCOMES = [
    # paper: similarity takes the LMM's second answer (0.9), first its first (500 km), the reference is 150 km off.
    paper("a.jpg", [voice(500, 0.2), voice(0, 0.9, 1), voice(20, 0.1, 1, 1)], 150, 0),
    # the retrieved reference wins with 0.40 over 0.3: 20 km off.
    paper("b.jpg", [voice(2000, 0.3), voice(5000, 0.2, 1)], 20, 500),
    # the LMM wins wrongly.
    paper("c.jpg", [voice(5000, 0.8), voice(150, 0.7, 1)], 0, 0),
    Outcome("paper d.jpg", "paper", "d.jpg", "a.jpg", failure=("missing", "nothing to choose from")),
]


def near(photo: str, similarity: float, author: str) -> Outcome:
    reference, _ = found_reference(0, 1, similarity, author)
    return Outcome(f"near {photo}", "near", photo, photo, place=place_at(0), references=[reference], job_id="j")


NEAR = [near("a.jpg", 0.99, "eve"), near("b.jpg", 0.5, "ann"), near("c.jpg", 0.5, "ann"), near("d.jpg", 0.5, "")]
KNN = [
    Outcome(f"knn {photo}", "knn", photo, photo, place=place_at(km), job_id="j")
    for photo, km in zip(PHOTOS, (0, 0, 5000, 5000), strict=True)
]


def stored(path: Path, outcomes: list[Outcome], asks: list[str], **more: Any) -> Path:
    folder = RunFolder(path)
    photos = path.parent / "photos"
    photos.mkdir(exist_ok=True)
    (photos / "a.jpg").write_bytes(jpeg(1))
    queries = [
        Query(photo, photos / photo, TRUTH, author, "urban" if photo == "a.jpg" else "natural")
        for photo, author in zip(PHOTOS, AUTHORS, strict=True)
    ]
    folder.claim(RunNote(query_set="im2gps3k", asks=asks, samples=2, retrieved=2, **more), queries)
    with Journal(folder.journal) as journal:
        for outcome in outcomes:
            journal.append(outcome)
    return path


@pytest.fixture
def found(tmp_path: Path) -> Findings:
    return findings(load(stored(tmp_path / "run", OUTCOMES + NEAR + KNN, ["near", "paper", "knn"])))


def shares(found: Findings, name: str) -> list[float]:
    row = found.row(name)
    assert row is not None
    return [share.value for share in row.accuracy.within]


def test_each_row_is_what_can_be_counted_by_hand(found: Findings) -> None:
    # off by 0, 20 and 5,000 km, and no answer
    assert shares(found, "paper") == [0.25, 0.5, 0.5, 0.5, 0.5]
    # the last prompt alone: 0, 20 and (150 at 0.7 over the reference's 0.4) 150 km
    assert shares(found, "no_diversification") == [0.25, 0.5, 0.75, 0.75, 0.75]
    # the first answer: 500, 2,000, 5,000
    assert shares(found, "no_verification_first") == [0.0, 0.0, 0.0, 0.25, 0.5]
    # the nearest reference: 150, 20, 0
    assert shares(found, "nearest") == [0.25, 0.5, 0.75, 0.75, 0.75]
    assert shares(found, "knn") == [0.5, 0.5, 0.5, 0.5, 0.5]
    assert {row.name for row in found.rows} == {
        "paper", "knn", "no_diversification", "no_verification_mean", "no_verification_first", "nearest",
    }  # fmt: skip
    row = found.row("paper")
    assert row is not None
    assert row.accuracy.within[1] == wilson(2, 4)
    assert (row.accuracy.failures, math.isfinite(row.accuracy.median_km)) == (1, True)
    assert row.accuracy.median_km == pytest.approx((19.9 + 4984) / 2, rel=0.01)
    # the best candidate of three, with S = 1: 0, 20 and (the reference at) 0 km
    assert [share.value for share in found.bounds["the best candidate of paper"].within] == [
        0.5,
        0.75,
        0.75,
        0.75,
        0.75,
    ]


def test_differences_are_paired_and_clustered_by_author(found: Findings) -> None:
    pair = next(pair for pair in found.pairs if (pair.better, pair.worse) == ("paper", "knn"))
    assert [share.value for share in pair.difference.within] == [-0.25, 0.0, 0.0, 0.0, 0.0]
    # Ann's two photos stay together: her gain of -1 in two photos is -1/2 of hers, and the others gain nothing.
    assert pair.difference.within[0].low == -0.5
    assert pair.difference.within[0].high == 0.0
    assert found.authors == 2


def test_curves_re_score_what_was_said(found: Findings) -> None:
    drawn = {curve.name: (curve.values, [[s.value for s in at] for at in curve.within]) for curve in found.curves}
    assert set(drawn) == {"K", "N", "S"}
    # K = 1: a's reference (0.40, 150 km) beats 500 km, b's reference wins, c is wrong.
    assert drawn["K"] == ([1, 2], [[0.0, 0.25, 0.5, 0.5, 0.5], [0.25, 0.5, 0.5, 0.5, 0.5]])
    # N makes no difference: the second samples never win.
    assert drawn["N"] == ([1, 2], [[0.25, 0.5, 0.5, 0.5, 0.5]] * 2)
    # S = 0: b is left with 2,000 km.
    assert drawn["S"] == (
        [0, 1, 2],
        [[0.25, 0.25, 0.25, 0.25, 0.5], [0.25, 0.5, 0.5, 0.5, 0.5], [0.25, 0.5, 0.5, 0.5, 0.5]],
    )


def test_the_surest_come_first_and_no_answer_is_the_least_sure(tmp_path: Path) -> None:
    sure = [
        paper("a.jpg", [voice(0, 0.5)], 150, confident=0.9),
        paper("b.jpg", [voice(0, 0.6)], 150, confident=0.8),
        paper("c.jpg", [voice(5000, 0.9)], 150, confident=0.1),
        OUTCOMES[3],
    ]
    sure = [replace(outcome, ask="default") for outcome in sure]
    told = findings(load(stored(tmp_path / "run", sure, ["default"])))
    (curve,) = told.covered
    assert curve.by == "confidence"
    assert [curve.accuracy[0][at] for at in (4, 9)] == [1.0, 0.5]
    (one, *_) = told.calibrated["default"]
    assert one.photos == 3
    assert [one.stated, one.true] == pytest.approx([0.6, 2 / 3])
    # 0.1 and 0 in the first bin, 0.8 and 1, 0.9 and 1
    assert one.error == pytest.approx((0.1 + 0.2 + 0.1) / 3)


def test_a_superset_answers_what_the_profile_answers(tmp_path: Path) -> None:
    # The job chose the second reference, 0 km off, which the profile would not have had: S = 1 leaves 150 km.
    wide = paper("a.jpg", [voice(5000, 0.1)], 150, 0, confident=0.9)
    wide.place, wide.voices[2] = place_at(0), Voice(*place_at(0), "retrieved", 0.99, reference_id="r1")
    told = findings(load(stored(tmp_path / "run", [wide, *OUTCOMES[1:]], ["paper"])))
    assert shares(told, "paper") == [0.0, 0.25, 0.5, 0.5, 0.5]
    (curve,) = told.covered
    assert curve.by == "similarity"
    assert [accuracy[-1] for accuracy in curve.accuracy] == [0.0, 0.25, 0.5, 0.5, 0.5]
    assert told.calibrated["paper"] == []
    wider = next(curve for curve in told.curves if curve.name == "S")
    assert [share.value for share in wider.within[2]] == [0.25, 0.5, 0.5, 0.5, 0.5]


def test_failures_are_told_by_band_leakage_cost_and_reason(found: Findings) -> None:
    groups = {each.by: {group.name: group.bands for group in each.groups} for each in found.failing["paper"]}
    assert groups["all photos"]["all"] == [1, 1, 0, 0, 0, 1, 1]
    assert groups["continent of the truth"] == {"Africa": [1, 1, 0, 0, 0, 1, 1]}
    assert groups["scene"] == {"natural": [0, 1, 0, 0, 0, 1, 1], "urban": [1, 0, 0, 0, 0, 0, 0]}
    assert found.leakage is not None
    assert (found.leakage.looked, found.leakage.by_author, found.leakage.near) == (4, 1, 1)
    suspected = next(row.suspected for row in found.leakage.rows if row.entry == "paper")
    assert suspected is not None
    assert (suspected.n, suspected.within[1].value) == (2, 1.0)
    cost = next(cost for cost in found.costs if cost.ask == "paper")
    assert (cost.failures, cost.answers, cost.winners) == ({"missing": 1}, 7, {"lmm": 2, "retrieved": 1})
    # answers of 7 tokens: three, two and two.
    assert (cost.prompt_tokens, cost.answer_tokens) == (200.0, 49 / 3)
    assert (cost.stages[0].stage, cost.stages[0].worked_mean_s, cost.stages[0].jobs) == ("generate", 2.0, 3)
    assert found.identical == []
    assert found.failures == [("d.jpg", "paper", "missing: nothing to choose from")]


def test_cases_have_a_thumbnail_where_the_photo_is_at_hand(found: Findings) -> None:
    kinds = {case.kind: case for case in found.cases}
    wrong = kinds["the LMM's candidate won and is wrong where retrieval was right"]
    assert (wrong.photo.id, wrong.photo.jpeg) == ("c.jpg", "")
    right = kinds["a retrieved candidate won and is right"]
    assert right.photo.id == "b.jpg"
    assert right.references[0].id == "r0"


def test_the_files_need_nothing_else_and_are_the_same_again(tmp_path: Path) -> None:
    hostile = [replace(paper("a.jpg", [], 5000), degraded=["generation"]), *OUTCOMES[1:]]
    run = stored(tmp_path / "run", hostile + NEAR + KNN, ["near", "paper", "knn"], lmm="<script>|x")
    told = CliRunner().invoke(app, ["report", str(run)])
    assert told.exit_code == 0, told.output
    assert "G3, profile paper" in told.stdout
    page, words = (run / "report.html").read_text(), (run / "report.md").read_text()
    assert "<svg" in page
    assert "<script>" not in page
    assert "<script>|" not in words
    assert "http://" not in page.replace("http://www.w3.org/", "").replace("http://purl.org/", "").replace(
        "http://creativecommons.org/", ""
    )
    assert "printed: G3" in words
    assert "16.65" in words
    assert "WITHOUT THE LMM: paper answered 1 of 4 photos" in words
    assert (run / "hyperparameters.svg").exists()
    said = json.loads((run / "report.json").read_text())
    assert said["rows"][0]["name"] == "paper"
    assert said["n"] == 4
    before = {file.name: file.read_bytes() for file in run.iterdir() if file.is_file()}
    assert CliRunner().invoke(app, ["report", str(run), "--json"]).exit_code == 0
    assert {file.name: file.read_bytes() for file in run.iterdir() if file.is_file()} == before


def test_two_runs_stand_side_by_side(tmp_path: Path) -> None:
    one = stored(tmp_path / "one", OUTCOMES, ["paper"], lmm="small")
    two = stored(tmp_path / "two", [paper(photo, [voice(0, 0.9)], 150) for photo in PHOTOS], ["paper"], lmm="large")
    out = tmp_path / "both"
    told = CliRunner().invoke(app, ["report", str(one), str(two), "--out", str(out)])
    assert told.exit_code == 0, told.output
    said = json.loads((out / "report.json").read_text())
    (gained,) = said["against_the_first"]
    assert (gained["entry"], gained["photos"]) == ("paper", 4)
    assert [share["value"] for share in gained["within"]] == [0.75, 0.5, 0.5, 0.5, 0.5]
    assert "two (large)" in (out / "report.md").read_text()


def test_the_candidates_become_pools_for_the_fitting(tmp_path: Path) -> None:
    run, out = stored(tmp_path / "run", OUTCOMES + KNN, ["paper", "knn"]), tmp_path / "pools.jsonl"
    told = CliRunner().invoke(app, ["pools", str(run), "--ask", "paper", "--out", str(out), "--set", "held out"])
    assert told.exit_code == 0, told.output
    pooled = list(read_pools(out))
    assert [(pool.photo_id, len(pool.proposals), pool.set_name) for pool in pooled] == [
        (photo, count, "held out") for photo, count in (("a.jpg", 5), ("b.jpg", 4), ("c.jpg", 4))
    ]
    assert pooled[0].truth == TRUTH
    assert pooled[0].alignment == "m" * 64
    retrieved = [each for each in pooled[0].proposals if each.origin.value == "retrieved"]
    assert [(each.rank, each.evidence, each.similarity) for each in retrieved] == [(1, 0.9, 0.4), (2, 0.89, 0.39)]
    assert CliRunner().invoke(app, ["pools", str(run), "--ask", "knn", "--out", str(out)]).exit_code == 2


def test_photos_that_are_not_done_yet_are_left_out_and_told(tmp_path: Path) -> None:
    data = load(stored(tmp_path / "run", OUTCOMES[:2], ["paper"]))
    assert (len(data.queries), data.unfinished) == (2, 2)
    with pytest.raises(Missing, match="no run"):
        load(tmp_path / "nowhere")
    with pytest.raises(Missing, match="no photo that is done"):
        load(stored(tmp_path / "empty", [], ["paper"]))


def test_ways_of_asking_differ_in_what_they_say_and_in_nothing_else() -> None:
    superset = Superset(samples=7, retrieved=20)
    assert parameters(Ask.CLIP, superset) == parameters(Ask.PAPER, superset) | {"retrieval_vector": "clip"}
    assert parameters(Ask.NEAR, superset)["references_per_prompt"] == []
    query = Query("a", Path("a"), TRUTH, "ann")
    plain = of_photo(Ask.KNN, superset, query, exclude_author=False, excluded=[])
    barred = of_photo(Ask.KNN, superset, query, exclude_author=True, excluded=["r"])
    assert barred == plain | {"excluded_authors": ["ann"], "excluded_references": ["r"]}
    keys = {key_of(run, sha, told, at) for run in "ab" for sha in "cd" for told in (plain, barred) for at in (0, 1)}
    assert len(keys) == 16
    assert key_of("a", "c", plain) == key_of("a", "c", dict(reversed(plain.items())))


def test_a_reference_that_fell_together_with_an_answer_still_counts_as_one() -> None:
    reference, _ = found_reference(20, 0, 0.9)
    outcome = Outcome("k", "paper", "a", references=[reference], voices=[voice(20, 0.9), voice(0, 0.5, 1)])
    assert [each.origin.value for each in proposals(outcome)] == ["lmm", "lmm", "retrieved"]
    only = proposals(outcome, Part(prompts={1}))
    assert place(only, Ranking.SIMILARITY) == place_at(20)
    assert place([], Ranking.SIMILARITY) is None


def test_the_best_candidate_is_the_one_that_the_choice_has_first() -> None:
    chance = random.Random(1)
    for _ in range(200):
        pool = [
            Proposal(
                Coordinates(chance.randrange(-3, 3), chance.randrange(-3, 3)),
                chance.choice(list(Origin)),
                chance.choice((None, 0.1, 0.2, 0.3)),
                chance.randrange(3),
                chance.randrange(3),
                rank=chance.randrange(4),
            )
            for _ in range(chance.randrange(1, 12))
        ]
        if any(candidate.similarity is not None for candidate in merged(pool, 0.0)):
            expected = choose(merged(pool, 0.0), Ranking.SIMILARITY).coordinates
            assert place(pool, Ranking.SIMILARITY) == (expected.latitude, expected.longitude)
        else:
            assert place(pool, Ranking.SIMILARITY) is None


def test_what_is_written_as_json_has_no_picture_and_no_infinity(found: Findings) -> None:
    said = document(found)
    assert "jpeg" not in json.dumps(said, allow_nan=False)
