"""Readiness: the sum of the checks, and none once the room drains."""

import pytest
from g3_kit.health import Health


def test_ready_without_checks() -> None:
    assert Health().ready
    assert Health().problems() == {}


def test_each_problem_has_its_name() -> None:
    health = Health()
    wrong: dict[str, str | None] = {"gpu": None, "queue": None}
    health.add("gpu", lambda: wrong["gpu"])
    health.add("queue", lambda: wrong["queue"])
    assert health.problems() == {}
    wrong["queue"] = "full"
    assert health.problems() == {"queue": "full"}
    wrong["gpu"] = "lost"
    assert health.problems() == {"gpu": "lost", "queue": "full"}
    ready = health.ready
    wrong.update(gpu=None, queue=None)
    assert (ready, health.ready) == (False, True)


def test_a_draining_room_is_not_ready() -> None:
    health = Health()
    before = health.draining
    health.drain()
    assert (before, health.draining) == (False, True)
    assert list(health.problems()) == ["draining"]


@pytest.mark.parametrize("failure", [RuntimeError("secret path"), KeyError("x")])
def test_a_check_that_breaks_is_a_problem_and_not_the_end(failure: Exception) -> None:
    health = Health()

    def broken() -> str | None:
        raise failure

    health.add("broken", broken)
    health.add("other", lambda: "away")
    problems = health.problems()
    assert problems == {"broken": f"the check itself failed ({type(failure).__name__})", "other": "away"}
