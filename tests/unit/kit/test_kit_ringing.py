"""The message of a bell is the one Celery would make, less what is nothing; confirms are counted message by message."""

import json
from typing import Any

import celery
import pytest
from amqp.exceptions import MessageNacked  # type: ignore[import-untyped]
from g3_kit.ringing import ConfirmedChannel, Letterhead

ARGUMENTS = {"job_id": "j", "stage": "generate", "attempt": 2}


def test_a_message_says_what_celery_would_say() -> None:
    made = Letterhead("me@here").message("generate", "g3.generate", ARGUMENTS)
    app = celery.Celery("reference", broker="memory://", set_as_current=False)
    headers, properties, body, _ = app.amqp.as_task_v2(
        made.headers["id"], "g3.generate", kwargs=ARGUMENTS, origin="me@here", ignore_result=True
    )
    assert json.loads(made.body) == json.loads(json.dumps(body))
    assert made.properties["correlation_id"] == properties["correlation_id"] == made.headers["id"]
    assert made.properties["delivery_mode"] == 2
    nothing: tuple[object, ...] = (None, [], [None, None], {}, 0)
    assert {name: value for name, value in headers.items() if value not in nothing} == {
        name: value for name, value in made.headers.items() if value not in nothing
    }


def test_every_message_has_an_id_of_its_own() -> None:
    letterhead = Letterhead()
    ids = {letterhead.message("generate", "g3.generate", ARGUMENTS).headers["id"] for _ in range(100)}
    assert len(ids) == 100


class Scripted:
    """A connection and its channel whose broker confirms as it is told: one list of (ack?, tag, multiple) a drain."""

    def __init__(self, *drains: list[tuple[bool, int, bool]]) -> None:
        self.drains = list(drains)
        self.events: dict[str, set[Any]] = {"basic_ack": set(), "basic_nack": set()}
        self.published: list[str] = []
        self.collected = False

    def channel(self) -> "Scripted":
        return self

    def confirm_select(self) -> None: ...

    def prepare_message(self, body: str, **_: object) -> str:
        return body

    def basic_publish(self, message: str, *, exchange: str, routing_key: str) -> None:
        assert (exchange, routing_key) == ("", "generate")
        self.published.append(message)

    def drain_events(self, *, timeout: float) -> None:
        assert timeout == 5.0
        if not self.drains:
            raise TimeoutError
        for acknowledged, tag, multiple in self.drains.pop(0):
            for heard in self.events["basic_ack" if acknowledged else "basic_nack"]:
                heard(tag, multiple)

    def collect(self) -> None:
        self.collected = True


class Queue:
    """Counts its declarations."""

    declared = 0

    def __call__(self, _: object) -> "Queue":
        return self

    def declare(self) -> None:
        self.declared += 1


def messages(count: int) -> list[Any]:
    return [Letterhead("me").message("generate", "g3.generate", ARGUMENTS) for _ in range(count)]


def test_confirms_are_told_apart_whatever_their_order() -> None:
    line, queue = Scripted([(True, 2, False)], [(True, 4, True)], [(True, 5, False), (True, 6, False)]), Queue()
    channel = ConfirmedChannel(line, {"generate": queue})
    assert list(channel.publish(messages(4), 5.0)) == [1, 0, 2, 3]
    # Tags go on counting: the second batch is 5 and 6.
    assert list(channel.publish(messages(2), 5.0)) == [0, 1]
    assert (len(line.published), queue.declared) == (6, 1)


def test_a_refused_message_is_said_after_those_that_were_taken() -> None:
    line = Scripted([(True, 1, False), (False, 2, False), (True, 3, False)])
    channel = ConfirmedChannel(line, {"generate": Queue()})
    taken: list[int] = []
    with pytest.raises(MessageNacked):
        taken.extend(channel.publish(messages(3), 5.0))
    assert taken == [0, 2]


def test_confirms_that_do_not_come_are_not_waited_for_forever() -> None:
    channel = ConfirmedChannel(Scripted([(True, 1, False)]), {"generate": Queue()})
    taken: list[int] = []
    with pytest.raises(TimeoutError):
        taken.extend(channel.publish(messages(2), 5.0))
    assert taken == [0]
