"""Each strategy end to end over a real PostgreSQL with faked services, and what happens when a part of it is away."""

from collections.abc import Iterator

import pytest
from g3_geography import BoundingBox, Coordinates
from g3_kit.errors import Missing, Unavailable
from g3_orchestrator.model import Answer, GalleryPoint, Job, Result
from g3_orchestrator.parameters import AbstainBelow, Asked, Hints, Parameters, resolve
from g3_orchestrator.stages import Policy
from g3_orchestrator.states import JobState, Origin, Profile, Ranking, StageName, Strategy, View

from tests.servers.house import House, house

pytestmark = pytest.mark.needs("postgres")

GENERATE, RETRIEVE, VERIFY = StageName.GENERATE, StageName.RETRIEVE, StageName.VERIFY
POINTS = tuple(GalleryPoint(Coordinates(30 + row, 40), 0.9 - row / 100) for row in range(20))


@pytest.fixture
def home(database_url: str) -> Iterator[House]:
    with house(database_url) as made:
        yield made


def submit(home: House, asked: Asked) -> Job:
    parameters: Parameters = resolve(asked)
    return home.submit(**{name: getattr(parameters, name) for name in parameters.__dataclass_fields__})


def states(home: House, job: Job) -> list[str]:
    return [event.state.value for event in home.store.events_after(home.tenant, job.job_id, 0)]


def result(home: House, job: Job) -> Result:
    done = home.job(job)
    assert (done.state, done.failure) == (JobState.SUCCEEDED, None)
    assert done.result is not None
    return done.result


def said(home: House, job: Job, *texts: str) -> None:
    """The LMM's answers to prompt 0."""
    ref = home.ref(job)
    home.stages.claim(ref)
    home.stages.record(ref, [Answer(0, n, text, "an-lmm", 100, 7) for n, text in enumerate(texts)])
    home.stages.complete(ref)


def test_knn_goes_from_retrieval_to_its_result(home: House) -> None:
    job = submit(home, Asked(strategy=Strategy.KNN))
    home.work(job, RETRIEVE)
    assert states(home, job) == ["queued", "retrieving", "succeeded"]
    made = result(home, job)
    # The faked references lie 0.1 degrees apart along a meridian, the most similar one at its end.
    assert made.candidates[0].origin is Origin.RETRIEVED
    assert made.coordinates == made.candidates[0].coordinates == made.places[0].coordinates
    assert len(made.references) == 100
    assert made.similarity is None
    assert made.places[0].probability is None
    assert (made.choice, made.confidence, home.scorer.calls) == ("", (), 0)
    assert [row.stage for row in home.ring()] == [RETRIEVE]


def test_a_repeated_message_of_knn_changes_nothing(home: House) -> None:
    job = submit(home, Asked(strategy=Strategy.KNN))
    for _ in range(3):
        home.work(job, RETRIEVE)
    assert home.count("results", job.job_id) == 1
    assert home.embedder.calls == 1


def test_knn_keeps_to_its_hints_and_fails_plainly_without_neighbours(home: House) -> None:
    inside = submit(home, Asked(strategy=Strategy.KNN, hints=Hints(bounding_box=BoundingBox(15, 0, 16, 40))))
    home.work(inside, RETRIEVE)
    assert 15 <= result(home, inside).coordinates.latitude <= 16
    nowhere = submit(home, Asked(strategy=Strategy.KNN, hints=Hints(bounding_box=BoundingBox(80, 0, 81, 1))))
    home.work(nowhere, RETRIEVE)
    failed = home.job(nowhere)
    assert failed.failure is not None
    assert (failed.state, failed.failure.code) == (JobState.FAILED, "missing")


def test_gallery_answers_with_the_point_that_fits_best(home: House) -> None:
    home.gallery.points = POINTS
    job = submit(home, Asked(strategy=Strategy.GALLERY, gallery=5))
    home.work(job, RETRIEVE)
    assert states(home, job) == ["queued", "retrieving", "succeeded"]
    made = result(home, job)
    assert (made.coordinates, made.similarity, made.gallery) == (Coordinates(30, 40), 0.9, "fake-gallery")
    assert [(one.origin, one.rank) for one in made.candidates] == [(Origin.GALLERY, rank) for rank in range(1, 6)]
    assert home.scorer.calls == 0


def test_gallery_waits_for_its_gallery_instead_of_answering_without(home: House) -> None:
    job = submit(home, Asked(strategy=Strategy.GALLERY))
    home.work(job, RETRIEVE)
    assert home.stage(job, RETRIEVE)["state"] == "pending"
    home.gallery.points = POINTS
    home.age(job, 2)
    home.stages.sweep()
    home.work(job, RETRIEVE, attempt=2)
    assert result(home, job).coordinates == Coordinates(30, 40)


def test_gallery_leaves_out_what_only_excluded_references_stand_for(home: House) -> None:
    home.gallery.points = POINTS
    job = submit(home, Asked(strategy=Strategy.GALLERY, excluded_authors=("author of 30.0 40.0",)))
    home.work(job, RETRIEVE)
    assert result(home, job).coordinates == Coordinates(31, 40)
    boxed = submit(home, Asked(strategy=Strategy.GALLERY, hints=Hints(bounding_box=BoundingBox(40, 0, 50, 90))))
    home.work(boxed, RETRIEVE)
    assert result(home, boxed).coordinates == Coordinates(40, 40)


@pytest.mark.parametrize(("ranking", "expected"), [(Ranking.FIRST, (10, 20)), (Ranking.MEAN, (15, 20))])
def test_img2loc_answers_by_the_lmm_alone(home: House, ranking: Ranking, expected: tuple[float, float]) -> None:
    job = submit(home, Asked(strategy=Strategy.IMG2LOC, ranking=ranking, samples_per_prompt=3))
    home.work(job, RETRIEVE)
    said(home, job, "(10, 20)", "no idea", "(20, 20)")
    home.work(job, VERIFY)
    made = result(home, job)
    assert (made.coordinates.latitude, made.coordinates.longitude) == pytest.approx(expected)
    assert {one.origin for one in made.candidates} == {Origin.LMM}
    assert [one.similarity for one in made.candidates] == [None, None]
    assert home.scorer.calls == 0
    assert len(home.store.retrieval(home.tenant, job.job_id).similar) == 10


def test_img2loc_without_its_lmm_answers_with_the_most_similar_reference_and_says_so(database_url: str) -> None:
    with house(database_url, Policy(generation_enabled=False)) as home:
        job = submit(home, Asked(strategy=Strategy.IMG2LOC))
        home.work(job, RETRIEVE)
        home.work(job, VERIFY)
        assert home.job(job).degraded == ("generation",)
        made = result(home, job)
        assert [one.reference_id for one in made.candidates] == ["near-0"]


def test_img2loc_whose_lmm_said_nothing_usable_fails_plainly(home: House) -> None:
    job = submit(home, Asked(strategy=Strategy.IMG2LOC))
    home.work(job, RETRIEVE)
    said(home, job, "I cannot determine the place")
    home.work(job, VERIFY)
    failed = home.job(job)
    assert failed.failure is not None
    assert (failed.state, failed.failure.code, failed.degraded) == (JobState.FAILED, "missing", ())


def test_the_default_profile_pools_answers_references_and_the_gallery(home: House) -> None:
    home.gallery.points = (GalleryPoint(Coordinates(10.004, 20), 0.8), *POINTS)
    job = submit(home, Asked())
    home.work(job, RETRIEVE)
    said(home, job, "(10.001, 20.001)", "(10.002, 20.002)", "hm")
    home.work(job, VERIFY)
    made = result(home, job)
    assert home.job(job).degraded == ()
    # Within one kilometre lie two answers, the most similar reference and a point of the gallery: one candidate.
    best = next(one for one in made.candidates if one.coordinates == Coordinates(10.001, 20.001))
    assert [source.origin for source in best.sources] == [Origin.LMM, Origin.LMM, Origin.RETRIEVED, Origin.GALLERY]
    assert best.sources[2].reference_id == "near-0"
    # The references run on along a line, 11 km apart: one place, and the answer is the one in its midst.
    assert best.in_place == made.candidates[0].in_place == 1
    assert made.coordinates == made.candidates[0].coordinates == made.places[0].coordinates
    assert {one.origin for one in made.candidates} == set(Origin)
    assert sum(one.probability or 0 for one in made.candidates) == pytest.approx(1)
    assert made.places[0].probability is not None
    assert made.places[0].candidates >= 1
    # No choice model is fitted to the faked alignment model: nothing is called calibrated.
    assert made.confidence == ()
    assert len(made.choice) == 64
    assert made.gallery == "fake-gallery"
    assert {answer.text for answer in made.answers} == {"(10.001, 20.001)", "(10.002, 20.002)", "hm"}
    assert [dropped.sample for dropped in made.dropped] == [2]


def test_a_gallery_that_is_away_is_left_out_and_said_so(home: House) -> None:
    job = submit(home, Asked())
    home.work(job, RETRIEVE)
    assert home.job(job).degraded == ("gallery",)
    said(home, job, "(10, 20)")
    home.work(job, VERIFY)
    made = result(home, job)
    assert home.job(job).degraded == ("gallery",)
    assert made.gallery == ""
    assert Origin.GALLERY not in {one.origin for one in made.candidates}


def test_what_no_waiting_mends_is_not_called_degraded(home: House) -> None:
    home.gallery.faults.append(Missing("no such collection"))
    job = submit(home, Asked())
    home.work(job, RETRIEVE)
    assert home.job(job).state is JobState.FAILED


def test_gallery_and_lmm_both_away_are_both_said(database_url: str) -> None:
    with house(database_url, Policy(generation_enabled=False)) as home:
        job = submit(home, Asked())
        home.gallery.faults.append(Unavailable("away"))
        home.work(job, RETRIEVE)
        home.work(job, VERIFY)
        assert home.job(job).degraded == ("gallery", "generation")
        assert {one.origin for one in result(home, job).candidates} == {Origin.RETRIEVED}


def test_the_paper_merges_only_equal_points_and_takes_the_greatest_cosine(home: House) -> None:
    home.scorer.truth = Coordinates(10.002, 20.002)
    job = submit(home, Asked(profile=Profile.PAPER))
    home.work(job, RETRIEVE)
    said(home, job, "(10.001, 20.001)", "(10.002, 20.002)", "(10.001, 20.001)")
    home.work(job, VERIFY)
    made = result(home, job)
    assert made.coordinates == Coordinates(10.002, 20.002)
    assert [len(one.sources) for one in made.candidates] == [1, 2, 1]
    assert made.similarity == made.candidates[0].similarity


@pytest.mark.parametrize(("ranking", "expected"), [(Ranking.FIRST, Coordinates(30, 20)), (Ranking.MEAN, None)], ids=str)
def test_without_verification_the_ranking_is_first_or_mean(
    home: House, ranking: Ranking, expected: Coordinates | None
) -> None:
    job = submit(home, Asked(profile=Profile.PAPER, ranking=ranking))
    home.work(job, RETRIEVE)
    said(home, job, "(30, 20)", "(10, 20)")
    home.work(job, VERIFY)
    made = result(home, job)
    if expected is None:
        # On the sphere, of two answers and one reference at (10, 20).
        assert made.coordinates.latitude == pytest.approx(16.6, abs=0.2)
        assert made.similarity is None
    else:
        assert made.coordinates == expected


def test_a_confidence_that_nobody_can_state_is_below_any_that_is_asked_for(home: House) -> None:
    home.gallery.points = POINTS
    job = submit(home, Asked(abstain_below=AbstainBelow(0.5, 25)))
    home.work(job, RETRIEVE)
    said(home, job, "(10, 20)")
    home.work(job, VERIFY)
    made = result(home, job)
    assert made.abstained
    assert made.places
    assert home.job(job).parameters.abstain_below == AbstainBelow(0.5, 25)


def test_lists_give_summaries_and_whole_jobs_when_asked(home: House) -> None:
    home.gallery.points = POINTS
    job = submit(home, Asked())
    home.work(job, RETRIEVE)
    said(home, job, "(10, 20)")
    home.work(job, VERIFY)
    (summary,) = home.store.list_jobs(home.tenant, limit=1)
    whole = home.job(job)
    assert summary.result is not None
    assert whole.result is not None
    assert (summary.result.candidates, summary.result.references, summary.result.answers) == ((), (), ())
    assert summary.timings == ()
    assert summary.result.coordinates == whole.result.coordinates
    assert summary.result.places == whole.result.places
    (full,) = home.store.list_jobs(home.tenant, limit=1, view=View.FULL)
    assert full == whole
