"""The one place where Celery and kombu are set up. Broker options are chosen by transport.

The broker is a bell: a message carries ids alone, and losing every message loses nothing, because the sweeper rings
again from PostgreSQL. So there is no result backend, no ETA, countdown or retry, and no priority here.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

import celery
import kombu
from celery.signals import worker_ready
from celery.utils.nodenames import anon_nodename
from kombu.exceptions import OperationalError
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from g3_kit import logs
from g3_kit.errors import Rejected, Unavailable
from g3_kit.ringing import CONTENT, ConfirmedPublisher, Letterhead, Message

QUEUES = ("coordinate", "generate", "ingest", "webhooks")
"""Every queue of the system; a stage's queue is where its bell rings."""

TASKS = {queue: f"g3.{queue}" for queue in QUEUES}
"""The name of the task behind each queue: `g3.coordinate(job_id, stage, attempt)`."""

VISIBILITY_S = 60
"""Seconds until the embedded broker delivers again what a worker took and never acknowledged. A task that takes longer
is delivered again too, and the second delivery's claim is refused."""

# An embedded broker that does not answer is given up after this long, connecting included.
_CONNECT_S = 5
# RabbitMQ drops a message after this many deliveries; the sweeper rings again for whatever still has work to do.
_DELIVERY_LIMIT = 20
_DEAD_LETTERS = "g3.dead"
_log = logs.get("g3_kit.celery_app")


def _is_embedded(broker_url: str) -> bool:
    return urlsplit(broker_url).scheme == "pgmq"


def _exchange() -> kombu.Exchange:
    return kombu.Exchange("g3", type="direct", durable=True)


def _queue(name: str, *, embedded: bool) -> kombu.Queue:
    if embedded:
        return kombu.Queue(name, _exchange(), routing_key=name)
    arguments = {
        "x-queue-type": "quorum",
        "x-delivery-limit": _DELIVERY_LIMIT,
        "x-dead-letter-exchange": _DEAD_LETTERS,
        "x-dead-letter-routing-key": name,
        # At-least-once dead-lettering needs reject-publish: a full queue refuses the publisher instead of dropping.
        "x-dead-letter-strategy": "at-least-once",
        "x-overflow": "reject-publish",
    }
    return kombu.Queue(name, _exchange(), routing_key=name, queue_arguments=arguments)


def _dead_letter_queue(name: str) -> kombu.Queue:
    exchange = kombu.Exchange(_DEAD_LETTERS, type="direct", durable=True)
    return kombu.Queue(f"{name}.dead", exchange, routing_key=name, queue_arguments={"x-queue-type": "quorum"})


def _transport_options(broker_url: str, visibility_s: int = VISIBILITY_S) -> dict[str, Any]:
    if not _is_embedded(broker_url):
        return {"confirm_publish": True, "socket_timeout": 10.0}
    return {
        "conn_string": _conninfo(broker_url),
        "init_extension": False,
        "use_notify": True,
        "visibility_timeout": visibility_s,
        # How long a call waits for a connection to PostgreSQL; kombu's own choice is 30 s.
        "pool_timeout": _CONNECT_S,
        # NOTIFY wakes the reader: the poll behind it only catches what a lost notification left.
        "polling_interval": 1.0,
        "wait_time_seconds": 0,
        "notify_throttle_interval_ms": 0,
    }


def _conninfo(broker_url: str) -> str:
    """libpq's key-value form: pgmq reads a URL by itself and loses the host of a Unix socket on the way."""
    given = conninfo_to_dict(urlsplit(broker_url)._replace(scheme="postgresql").geturl())
    kept = {key: str(given.get(key, "")) for key in ("host", "port", "dbname", "user", "password")}
    return make_conninfo(**{key: value for key, value in kept.items() if value}, connect_timeout=_CONNECT_S)


def _url(broker_url: str) -> str:
    """The URL kombu takes: everything of an embedded broker's goes into its connection string."""
    scheme = urlsplit(broker_url).scheme
    if scheme not in ("amqp", "amqps", "pgmq"):
        raise Rejected(f"G3_BROKER_URL: {scheme or 'no'} scheme; give amqp://, amqps:// or pgmq://")
    return "pgmq://localhost" if scheme == "pgmq" else broker_url


def _transport(broker_url: str) -> str | None:
    return "g3_kit.embedded_broker:Transport" if _is_embedded(broker_url) else None


def celery_app(
    room: str,
    broker_url: str,
    *,
    queues: Sequence[str] = QUEUES,
    concurrency: int = 4,
    visibility_s: int = VISIBILITY_S,
) -> celery.Celery:
    """The Celery app of `room`, which works or feeds `queues` of the broker at `broker_url`.

    `visibility_s` is for the embedded broker alone: RabbitMQ sees at once that a worker has gone.

    Raises Rejected for a broker that is neither RabbitMQ nor the embedded one.
    """
    embedded = _is_embedded(broker_url)
    app = celery.Celery(room, broker=_url(broker_url), set_as_current=False)
    app.conf.update(
        broker_transport=_transport(broker_url),
        broker_transport_options=_transport_options(broker_url, visibility_s),
        broker_connection_retry_on_startup=True,
        broker_connection_max_retries=None,
        broker_connection_timeout=5.0,
        task_queues=[_queue(name, embedded=embedded) for name in queues],
        task_default_queue=queues[0],
        task_default_exchange="g3",
        task_default_exchange_type="direct",
        task_default_routing_key=queues[0],
        task_routes={TASKS[name]: {"queue": name} for name in queues},
        task_create_missing_queues=False,
        task_serializer="json",
        accept_content=["json"],
        task_acks_late=True,
        # A task that raised is the sweeper's business; giving the message back would spin.
        task_acks_on_failure_or_timeout=True,
        task_reject_on_worker_lost=True,
        task_ignore_result=True,
        task_store_errors_even_if_ignored=False,
        result_backend=None,
        worker_prefetch_multiplier=1,
        worker_pool="threads",
        worker_concurrency=concurrency,
        worker_detect_quorum_queues=True,
        # Remote control and task events need pid boxes and fanout exchanges, which the embedded broker lacks; what they
        # would tell is exported as metrics.
        worker_enable_remote_control=False,
        worker_send_task_events=False,
        task_send_sent_event=False,
        worker_hijack_root_logger=False,
        worker_redirect_stdouts=False,
        worker_cancel_long_running_tasks_on_connection_loss=False,
        enable_utc=True,
    )
    return app


def declare(broker_url: str, *, queues: Sequence[str] = QUEUES) -> None:
    """Declare every queue (and on RabbitMQ its dead letters). Repeating it is harmless. Raises Unavailable.

    On the embedded broker run it before any worker starts: workers starting together race on a trigger.
    """
    embedded = _is_embedded(broker_url)
    with _connection(broker_url) as connection, _translated():
        channel = connection.default_channel
        for name in queues:
            if not embedded:
                _dead_letter_queue(name)(channel).declare()
            _queue(name, embedded=embedded)(channel).declare()


def depths(broker_url: str, *, queues: Sequence[str] = QUEUES) -> Mapping[str, int]:
    """Messages waiting in each queue. Raises Unavailable."""
    embedded = _is_embedded(broker_url)
    with _connection(broker_url) as connection, _translated():
        channel = connection.default_channel
        bound = [_queue(name, embedded=embedded)(channel) for name in queues]
        return {queue.name: int(queue.queue_declare(passive=True).message_count) for queue in bound}


def purge(broker_url: str, *, queues: Sequence[str] = QUEUES) -> int:
    """Throw away every waiting message and say how many there were. Nothing is lost by it. Raises Unavailable."""
    embedded = _is_embedded(broker_url)
    with _connection(broker_url) as connection, _translated():
        channel = connection.default_channel
        return sum(int(_queue(name, embedded=embedded)(channel).purge() or 0) for name in queues)


def _connection(broker_url: str, *, confirm_each: bool = True) -> kombu.Connection:
    options = _transport_options(broker_url)
    if not confirm_each:
        options |= {"confirm_publish": False, "write_timeout": _CONNECT_S}
    return kombu.Connection(
        _url(broker_url),
        transport=_transport(broker_url),
        transport_options=options,
        connect_timeout=_CONNECT_S,
    )


class _translated:  # noqa: N801 - read as a verb: `with _translated():`
    """Raise Unavailable for whatever the transport raises when its broker is away."""

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        if error is not None and (isinstance(error, OperationalError | OSError) or _is_transport_error(error)):
            raise Unavailable(f"the broker does not answer ({type(error).__name__})") from error


def _is_transport_error(error: BaseException) -> bool:
    # amqp and psycopg keep error trees of their own, and which of them is installed depends on the broker.
    return type(error).__module__.split(".")[0] in ("amqp", "psycopg", "psycopg_pool", "kombu")


class Bell:
    """Rings for stages: publishes their ids on their queues; a message counts once the broker has confirmed it."""

    def __init__(self, broker_url: str, *, queues: Sequence[str] = QUEUES) -> None:
        """Connects at the first ring. Thread-safe: each call borrows a connection of its own."""
        self._app = celery_app("bell", broker_url, queues=queues)
        self._queues = {queue.name: queue for queue in self._app.conf.task_queues}
        self._letterhead = Letterhead()
        self._publisher: ConfirmedPublisher | None = None
        if not _is_embedded(broker_url):
            self._publisher = ConfirmedPublisher(lambda: _connection(broker_url, confirm_each=False), self._queues)

    def ring(self, queue: str, body: Mapping[str, object], *, timeout_s: float = 5.0) -> None:
        """Send the task of `queue` with `body` as its keyword arguments.

        Raises Unavailable: nothing was sent, or nobody knows; ring again.
        """
        for _ in self.ring_all([(queue, body)], timeout_s=timeout_s):
            pass

    def ring_all(self, rings: Sequence[tuple[str, Mapping[str, object]]], *, timeout_s: float = 5.0) -> Iterator[int]:
        """Send a task for each (queue, body); yields the index of each once the broker has it, in any order.

        Raises Unavailable when some were not sent, or nobody knows: ring again for what was not yielded.
        """
        messages = [self._letterhead.message(queue, TASKS[queue], body) for queue, body in rings]
        with _translated():
            if self._publisher is None:
                yield from self._send(messages)
            else:
                yield from self._publisher.publish(messages, timeout_s)

    def _send(self, messages: Sequence[Message]) -> Iterator[int]:
        with self._app.producer_pool.acquire(block=True) as producer:
            for index, message in enumerate(messages):
                producer.publish(
                    message.body,
                    exchange="",
                    routing_key=message.queue,
                    declare=[self._queues[message.queue]],
                    headers=message.headers,
                    retry=True,
                    retry_policy={"max_retries": 1, "interval_start": 0.1},
                    **CONTENT,
                    **message.properties,
                )
                yield index

    def close(self) -> None:
        """Close the connections."""
        if self._publisher is not None:
            self._publisher.close()
        self._app.close()


def work(
    app: celery.Celery, *, concurrency: int, on_ready: Callable[[], None] = lambda: None, level: str = "INFO"
) -> None:
    """Run a worker over the app's queues in this process until SIGTERM, then finish the tasks in hand and return.

    The pool is threads: gRPC hangs in forked children.
    """
    connected = worker_ready.connect(lambda **_: on_ready(), weak=False)
    del connected
    worker = app.Worker(
        concurrency=concurrency,
        pool="threads",
        loglevel=level,
        hostname=anon_nodename(),
        without_gossip=True,
        without_mingle=True,
        without_heartbeat=True,
        optimization="fair",
        quiet=True,
    )
    worker.start()
