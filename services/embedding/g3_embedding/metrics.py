"""What the batcher tells Prometheus. The autoscaler's signal is the queue wait."""

from g3_kit.telemetry import SECONDS
from prometheus_client import Counter, Gauge, Histogram

QUEUE_WAIT_SECONDS = Histogram(
    "g3_embedding_queue_wait_seconds", "From an item's arrival to its forward pass.", ["lane"], buckets=SECONDS
)
FORWARD_SECONDS = Histogram(
    "g3_embedding_forward_seconds", "One forward pass, retries after a failure included.", ["lane"], buckets=SECONDS
)
BATCH_ITEMS = Histogram(
    "g3_embedding_batch_items", "Items in a forward pass.", ["lane"], buckets=(1, 2, 4, 8, 16, 32, 64, 128, 256, 512)
)
QUEUE_ITEMS = Gauge("g3_embedding_queue_items", "Items that wait for the device, staged ones included.")
DROPPED = Counter("g3_embedding_dropped_total", "Items that got no forward pass, by reason.", ["reason"])
ITEM_FAILURES = Counter("g3_embedding_item_failures_total", "Items that got an error of their own.", ["lane"])
