"""What RabbitMQ alone promises: the arguments of its queues, dead letters, and a refusal when a queue is full."""

import contextlib
import os
import time
from typing import Any

import kombu
import pytest
from amqp.exceptions import MessageNacked, PreconditionFailed  # type: ignore[import-untyped]
from g3_kit import celery_app
from g3_kit.celery_app import Bell, declare, depths, purge

pytestmark = pytest.mark.needs("rabbitmq")


@pytest.mark.parametrize(
    ("argument", "other"),
    [
        ("x-queue-type", "classic"),
        ("x-dead-letter-exchange", "elsewhere"),
        ("x-dead-letter-routing-key", "elsewhere"),
        ("x-overflow", "drop-head"),
    ],
)
def test_rabbitmq_holds_each_queue_with_these_arguments(rabbitmq_url: str, argument: str, other: str) -> None:
    declare(rabbitmq_url)
    for queue in celery_app.celery_app("look", rabbitmq_url).conf.task_queues:
        with kombu.Connection(rabbitmq_url) as connection:
            queue(connection.default_channel).queue_declare()
            changed = kombu.Queue(
                queue.name, queue.exchange, queue.name, queue_arguments={**queue.queue_arguments, argument: other}
            )
            with pytest.raises(PreconditionFailed, match=argument):
                changed(connection.channel()).queue_declare()


def test_rabbitmq_keeps_what_nobody_can_handle_as_a_dead_letter(rabbitmq_url: str) -> None:
    declare(rabbitmq_url)
    purge(rabbitmq_url)
    bell = Bell(rabbitmq_url)
    bell.ring("generate", {"job_id": "poison", "stage": "generate", "attempt": 1})
    bell.close()
    deliveries = 0

    def give_back(body: object, message: Any) -> None:
        nonlocal deliveries
        deliveries += 1
        message.reject(requeue=True)

    with kombu.Connection(rabbitmq_url) as connection:
        dead = kombu.Queue("generate.dead", no_declare=True)(connection.default_channel)
        # A message without a known task, of another test, is a dead letter too.
        dead.purge()
        with connection.Consumer(kombu.Queue("generate", no_declare=True), callbacks=[give_back], accept=["json"]):
            ends = time.monotonic() + 30
            while time.monotonic() < ends and not dead.queue_declare(passive=True).message_count:
                with contextlib.suppress(TimeoutError):
                    connection.drain_events(timeout=0.2)
        letter = dead.get(accept=["json"])
        assert letter is not None
        letter.ack()
    # The limit counts what came back: the first delivery and twenty more.
    assert deliveries == 21
    assert letter.payload[1]["job_id"] == "poison"
    assert not any(depths(rabbitmq_url).values())


def test_rabbitmq_refuses_the_ring_when_its_queue_is_full(rabbitmq_url: str) -> None:
    """Overflow is reject-publish and the bell waits for confirms: the ringer learns that nobody heard it."""
    declare(rabbitmq_url)
    purge(rabbitmq_url)
    name = f"full{os.getpid()}"
    with kombu.Connection(rabbitmq_url, transport_options={"confirm_publish": True}) as connection:
        channel = connection.default_channel
        arguments = {"x-queue-type": "quorum", "x-overflow": "reject-publish", "x-max-length": 1}
        kombu.Queue(name, kombu.Exchange("g3", type="direct"), name, queue_arguments=arguments)(channel).declare()
    app = celery_app.celery_app("full", rabbitmq_url, queues=[*celery_app.QUEUES])

    def publish_ten() -> None:
        for _ in range(10):
            with app.producer_pool.acquire() as producer:
                producer.publish({}, exchange="g3", routing_key=name, confirm_timeout=5, retry=False)

    with pytest.raises(MessageNacked):
        publish_ten()
    app.close()
