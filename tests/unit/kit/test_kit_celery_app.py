"""How Celery is set up for each broker; what it then does is tested on real brokers."""

from typing import Any

import pytest
from g3_kit import celery_app
from g3_kit.errors import Rejected
from psycopg.conninfo import conninfo_to_dict

RABBITMQ, EMBEDDED = "amqp://guest:guest@127.0.0.1:5672//", "pgmq://me:hunter2@/g3?host=/run/pg"


def settings(url: str, **options: Any) -> Any:
    return celery_app.celery_app("room", url, **options).conf


@pytest.mark.parametrize("url", [RABBITMQ, EMBEDDED])
def test_what_both_brokers_have_in_common(url: str) -> None:
    conf = settings(url)
    assert conf.task_acks_late
    assert conf.task_reject_on_worker_lost
    assert conf.task_acks_on_failure_or_timeout
    assert conf.worker_detect_quorum_queues
    assert conf.worker_prefetch_multiplier == 1
    assert conf.worker_pool == "threads"
    assert (conf.task_serializer, conf.accept_content) == ("json", ["json"])
    assert conf.result_backend is None
    assert conf.task_ignore_result
    assert not conf.worker_enable_remote_control
    assert [queue.name for queue in conf.task_queues] == list(celery_app.QUEUES)
    assert {queue.exchange.type for queue in conf.task_queues} == {"direct"}
    assert dict(conf.task_routes) == {f"g3.{name}": {"queue": name} for name in celery_app.QUEUES}


def test_rabbitmq_queues_are_quorum_queues_that_lose_nothing() -> None:
    conf = settings(RABBITMQ)
    assert conf.broker_transport_options["confirm_publish"]
    for queue in conf.task_queues:
        assert queue.durable
        assert queue.queue_arguments == {
            "x-queue-type": "quorum",
            "x-delivery-limit": 20,
            "x-dead-letter-exchange": "g3.dead",
            "x-dead-letter-routing-key": queue.name,
            "x-dead-letter-strategy": "at-least-once",
            "x-overflow": "reject-publish",
        }


def test_the_embedded_broker_is_told_where_and_how() -> None:
    options = settings(EMBEDDED).broker_transport_options
    assert conninfo_to_dict(options["conn_string"]) == {
        "host": "/run/pg",
        "dbname": "g3",
        "user": "me",
        "password": "hunter2",
        "connect_timeout": "5",
    }
    assert options["init_extension"] is False
    assert options["use_notify"] is True
    assert options["visibility_timeout"] == celery_app.VISIBILITY_S == 60
    assert settings(EMBEDDED, visibility_s=3).broker_transport_options["visibility_timeout"] == 3
    assert not any(queue.queue_arguments for queue in settings(EMBEDDED).task_queues)


@pytest.mark.parametrize("url", ["redis://host", "sqla+sqlite://", "postgresql://host/g3", "", "nonsense"])
def test_other_brokers_are_refused_by_name(url: str) -> None:
    with pytest.raises(Rejected, match="G3_BROKER_URL") as raised:
        celery_app.celery_app("room", url)
    assert "amqp://, amqps:// or pgmq://" in raised.value.message


def test_a_room_works_the_queues_it_names() -> None:
    conf = settings(RABBITMQ, queues=["generate"], concurrency=7)
    assert [queue.name for queue in conf.task_queues] == ["generate"]
    assert (conf.task_default_queue, conf.worker_concurrency) == ("generate", 7)


def test_a_bell_knows_its_queues_only() -> None:
    bell = celery_app.Bell(EMBEDDED)
    with pytest.raises(KeyError):
        bell.ring("nowhere", {})
    bell.close()
