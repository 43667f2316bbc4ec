"""The message of a bell, and how many of them reach RabbitMQ with one wait for its confirms.

Celery's own `send_task` does for each message what is the same for all of them: it took nine tenths of the relay's
time. The message here is Celery's protocol, version 2 (docs.celeryq.dev, internals/protocol), without the headers whose
value would be nothing, which Celery takes as absent.
"""

import contextlib
import json
import queue
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import kombu
from amqp.exceptions import AMQPError, MessageNacked  # type: ignore[import-untyped]
from celery.utils.nodenames import anon_nodename

CONTENT = {"content_type": "application/json", "content_encoding": "utf-8"}
_NO_CALLBACKS = {"callbacks": None, "errbacks": None, "chain": None, "chord": None}


@dataclass(frozen=True, slots=True)
class Message:
    """A task's message: `queue` is where it goes, `body` is JSON."""

    queue: str
    body: str
    headers: dict[str, object]
    properties: dict[str, object]


@dataclass(frozen=True)
class Letterhead:
    """Makes messages for one sender."""

    origin: str = field(default_factory=anon_nodename)

    def message(self, queue: str, task: str, arguments: Mapping[str, object]) -> Message:
        """The message that runs `task` with these keyword arguments, which are JSON."""
        task_id = str(uuid.uuid4())
        headers: dict[str, object] = {
            "lang": "py",
            "task": task,
            "id": task_id,
            "root_id": task_id,
            "parent_id": None,
            "group": None,
            "retries": 0,
            "argsrepr": "()",
            "kwargsrepr": repr(arguments),
            "origin": self.origin,
            "ignore_result": True,
        }
        body = json.dumps([[], dict(arguments), _NO_CALLBACKS])
        return Message(queue, body, headers, {"correlation_id": task_id, "delivery_mode": 2})


class ConfirmedChannel:
    """A channel of RabbitMQ whose publisher confirms are awaited for many messages at once. For one thread at a time.

    Needs a connection without `confirm_publish`, which would wait for each.
    """

    def __init__(self, connection: kombu.Connection, queues: Mapping[str, kombu.Queue]) -> None:
        """Connects. `queues` are declared when they are first published to."""
        self._connection = connection
        self._queues = queues
        self._declared: set[str] = set()
        self._channel = connection.channel()
        self._channel.confirm_select()
        self._channel.events["basic_ack"].add(self._acked)
        self._channel.events["basic_nack"].add(self._nacked)
        self._last_tag = 0
        self._pending: dict[int, int] = {}
        self._refused = False
        self._confirmed: list[int] = []

    def publish(self, messages: Sequence[Message], timeout_s: float) -> Iterator[int]:
        """Publishes all, then yields the index of each message as it is confirmed.

        Raises MessageNacked when the broker refused one, after yielding what it took, and the transport's errors; the
        channel is of no use after these.
        """
        for index, message in enumerate(messages):
            self._publish(index, message)
        while self._pending:
            self._connection.drain_events(timeout=timeout_s)
            yield from self._confirmed
            self._confirmed.clear()
        yield from self._confirmed
        self._confirmed.clear()
        if self._refused:
            self._refused = False
            raise MessageNacked

    def close(self) -> None:
        """Leaves the connection as it is, without a word to a broker that may not answer."""
        self._connection.collect()

    def _publish(self, index: int, message: Message) -> None:
        if message.queue not in self._declared:
            self._queues[message.queue](self._channel).declare()
            self._declared.add(message.queue)
        prepared = self._channel.prepare_message(
            message.body, headers=message.headers, properties=message.properties, **CONTENT
        )
        self._last_tag += 1
        self._pending[self._last_tag] = index
        # The default exchange: its routing key is the queue's name.
        self._channel.basic_publish(prepared, exchange="", routing_key=message.queue)

    def _acked(self, tag: int, multiple: bool) -> None:
        self._confirmed += self._settled(tag, multiple)

    def _nacked(self, tag: int, multiple: bool) -> None:
        self._settled(tag, multiple)
        self._refused = True

    def _settled(self, tag: int, multiple: bool) -> list[int]:
        tags = [pending for pending in self._pending if pending <= tag] if multiple else [tag]
        return [self._pending.pop(settled) for settled in tags if settled in self._pending]


class ConfirmedPublisher:
    """Publishes on RabbitMQ. Thread-safe: each call borrows a channel, the one last used if any is free."""

    def __init__(self, connect: Callable[[], kombu.Connection], queues: Mapping[str, kombu.Queue]) -> None:
        self._connect = connect
        self._queues = queues
        self._rested: queue.LifoQueue[ConfirmedChannel] = queue.LifoQueue()

    def publish(self, messages: Sequence[Message], timeout_s: float) -> Iterator[int]:
        """Yields the index of each message once the broker has it, in any order.

        Raises the errors of the transport when it did not get some, or nobody knows.
        """
        waiting = dict(enumerate(messages))
        try:
            yield from self._once(waiting, timeout_s)
        except MessageNacked:
            raise
        except (OSError, AMQPError):
            # A connection that rested may have died: the second try has a new one. Twice the same message is harmless.
            self.close()
            yield from self._once(waiting, timeout_s)

    def close(self) -> None:
        """Closes the connections that rest."""
        with contextlib.suppress(queue.Empty):
            while True:
                self._rested.get_nowait().close()

    def _once(self, waiting: dict[int, Message], timeout_s: float) -> Iterator[int]:
        try:
            channel = self._rested.get_nowait()
        except queue.Empty:
            channel = ConfirmedChannel(self._connect(), self._queues)
        indices = list(waiting)
        whole = False
        try:
            for place in channel.publish([waiting[index] for index in indices], timeout_s):
                del waiting[indices[place]]
                yield indices[place]
            whole = True
        finally:
            # Whatever ended it, a channel with confirms under way is not used again.
            if whole:
                self._rested.put(channel)
            else:
                channel.close()
