"""What the demo says of the LMM: counted from the jobs, on the merits."""

from typing import Any

from g3_client import Job
from g3_client.map import Located
from g3_client.models import Coordinates
from g3_local import demo_contest

HERE = Coordinates(latitude=0.0, longitude=0.0)


def job(*candidates: tuple[str, float], dropped: tuple[str, ...] = (), degraded: tuple[str, ...] = ()) -> Located:
    """A job at (0, 0) whose candidates lie so many degrees east, best first, under two prompts of three samples."""
    result: dict[str, Any] = {
        "coordinates": {"latitude": 0.0, "longitude": candidates[0][1]},
        "candidates": [
            {"coordinates": {"latitude": 0.0, "longitude": east}, "origin": origin, "rank": rank}
            for rank, (origin, east) in enumerate(candidates, 1)
        ],
        "references": [
            {"reference": {"id": "r", "coordinates": {"latitude": 0.0, "longitude": 3.0}}, "similarity": 0.9}
        ],
        "dropped": [{"prompt": 0, "sample": k, "reason": reason} for k, reason in enumerate(dropped)],
    }
    parameters = {"references_per_prompt": [0, 5], "samples_per_prompt": 3}
    document = {"job_id": "j", "state": "succeeded", "parameters": parameters, "result": result}
    return Located(job=Job.model_validate(document | {"degraded": list(degraded)}), truth=HERE)


def test_the_contest_is_counted() -> None:
    located = [
        job(("lmm", 1.0), ("retrieved", 2.0), ("lmm", 5.0), dropped=("unparsable", "duplicate", "refused")),
        job(("lmm", 4.0), ("retrieved", 2.0)),
        job(("retrieved", 1.0), ("lmm", 2.0)),
        job(("retrieved", 9.0), degraded=("generation",)),
    ]
    assert list(demo_contest.lines(located)) == [
        "the LMM gave 18 answers to 3 photos; 88.9 % could be read as a place, 1 refused, 1 unparsable",
        "the chosen place was proposed by: the LMM 2, retrieval 1",
        (
            "median error: chosen 111.3 km, nearest reference by looks 334.0 km, "
            "every place that the LMM named 334.0 km, the LMM's best-ranked 222.6 km, retrieval's best-ranked 222.6 km"
        ),
        "where the LMM won against retrieval, its place was the nearer one 1 times of 2",
        "where retrieval won against the LMM, its place was the nearer one 1 times of 1",
    ]


def test_without_an_lmm_nothing_is_said() -> None:
    assert list(demo_contest.lines([job(("retrieved", 1.0), degraded=("generation",))])) == []
    assert list(demo_contest.lines([])) == []


def test_a_place_that_both_proposed_is_nobodys_alone() -> None:
    both = job(("lmm", 1.0), ("retrieved", 2.0))
    assert both.job.result is not None
    first, *others = both.job.result.candidates
    sources = [{"origin": "lmm"}, {"origin": "retrieved"}]
    shared = type(first).model_validate(first.model_dump() | {"sources": sources})
    result = both.job.result.model_copy(update={"candidates": (shared, *others)})
    told = list(demo_contest.lines([Located(job=both.job.model_copy(update={"result": result}), truth=HERE)]))
    assert told[1] == "the chosen place was proposed by: the LMM and retrieval 1"
    assert len(told) == 3
