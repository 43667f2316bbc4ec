"""Ringing on a real PostgreSQL: the outbox, several relays at once, and ringing again."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from g3_kit.errors import Unavailable
from g3_orchestrator.stages import Swept
from g3_orchestrator.states import StageName

from tests.servers.house import House, house

pytestmark = pytest.mark.needs("postgres")

RETRIEVE = StageName.RETRIEVE


@pytest.fixture
def home(database_url: str) -> Iterator[House]:
    with house(database_url) as made:
        yield made


def test_a_stage_that_nobody_came_for_is_rung_again_with_the_same_attempt(home: House) -> None:
    job = home.submit()
    assert len(home.ring()) == 1
    home.age(job, 14)
    assert home.stages.sweep() == Swept()
    waits = []
    for _ in range(5):
        home.age(job, 1000)
        assert home.stages.sweep() == Swept(rung=1)
        assert [(rung.stage, rung.attempt) for rung in home.ring()] == [(RETRIEVE, 1)]
        waits.append(home.execute("SELECT round(extract(epoch FROM wake_at - now())) AS s FROM stages")[0]["s"])
    assert [int(wait) for wait in waits] == [30, 60, 120, 120, 120]


def test_a_backlog_in_the_outbox_is_not_rung_twice(home: House) -> None:
    job = home.submit()
    for _ in range(4):
        home.age(job, 1000)
        assert home.stages.sweep() == Swept(rung=1)
    assert len(home.ring()) == 1


def test_sweepers_at_once_take_each_stage_once(home: House) -> None:
    jobs = [home.submit() for _ in range(30)]
    for job in jobs:
        home.stages.claim(home.ref(job, RETRIEVE))
        home.age(job, 31)
    with ThreadPoolExecutor(4) as pool:
        swept = list(pool.map(lambda _: home.sweeper.sweep(), range(8)))
    assert sum(swept) == 30
    assert {home.stage(job, RETRIEVE)["attempt"] for job in jobs} == {2}


def test_two_relays_send_each_row_once(home: House) -> None:
    jobs = {home.submit().job_id for _ in range(60)}
    start = threading.Barrier(3)

    def relay(_: int) -> None:
        start.wait()
        while home.relay.send():
            pass

    with ThreadPoolExecutor(3) as pool:
        list(pool.map(relay, range(3)))
    assert sorted(row.job_id for row in home.bells.rung) == sorted(jobs)
    assert {row["state"] for row in home.execute("SELECT state FROM stages")} == {"dispatched"}


def test_a_relay_holds_its_rows_and_frees_them_when_it_dies(home: House) -> None:
    home.submit()

    def die() -> None:
        with home.store.outgoing(10) as held:
            assert len(held.rows) == 1
            with home.store.outgoing(10) as other:
                assert other.rows == []
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        die()
    assert len(home.ring()) == 1


def test_a_broker_that_is_away_leaves_rows_in_the_outbox(home: House) -> None:

    for _ in range(3):
        home.submit()
    home.bells.faults.append(Unavailable("away"))
    with pytest.raises(Unavailable):
        home.relay.send()
    assert len(home.ring()) == 3


def test_a_message_may_arrive_before_the_relay_commits(home: House) -> None:
    job = home.submit()
    with home.store.outgoing(10) as batch:
        home.stages.claim(home.ref(job, RETRIEVE))
        batch.mark_sent(batch.rows, 15.0)
    assert home.stage(job, RETRIEVE)["state"] == "leased"


def test_old_sent_rows_are_pruned_and_unsent_ones_kept(home: House) -> None:
    home.submit()
    home.ring()
    home.submit()
    assert home.store.prune(3600) == 0
    home.execute("UPDATE outbox SET sent_at = sent_at - interval '2 hours'")
    assert home.store.prune(3600) == 1
    assert len(home.ring()) == 1
