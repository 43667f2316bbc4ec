"""What an LMM server says of itself at `/metrics`, in vLLM's names (`vllm/v1/metrics/loggers.py`)."""

import math
from dataclasses import dataclass, field

from prometheus_client import Gauge
from prometheus_client.parser import text_string_to_metric_families

_SEQUENCES = Gauge("g3_generation_lmm_server_sequences", "Sequences in the LMM server, as it reports them.", ["state"])
_CACHE = Gauge(
    "g3_generation_lmm_server_cache",
    "The LMM server's own counters of a cache since its start; prefix in tokens, multimodal in photos.",
    ["cache", "kind"],
)
_HIT_RATE = Gauge(
    "g3_generation_lmm_server_cache_hit_rate", "Hits per query of that cache while this worker has looked.", ["cache"]
)
WAITING, RUNNING = "vllm:num_requests_waiting", "vllm:num_requests_running"
CACHES = {"prefix": "vllm:prefix_cache", "multimodal": "vllm:mm_cache"}
_NAMES = (WAITING, RUNNING, *(f"{stem}_{kind}" for stem in CACHES.values() for kind in ("queries", "hits")))


@dataclass(frozen=True)
class Report:
    """One look at a server. `caches`: (queries, hits) since its start, by the name of the cache."""

    waiting: float
    running: float
    caches: dict[str, tuple[float, float]] = field(default_factory=dict)


def report_of(text: str) -> Report | None:
    """Reads a page of metrics, all engines together. None when it has not what is looked for, or is none."""
    lines = [line for line in text.splitlines() if line.startswith(_NAMES)]
    totals: dict[str, float] = {}
    try:
        for family in text_string_to_metric_families("\n".join(lines) + "\n"):
            for sample in family.samples:
                value = sample.value if math.isfinite(sample.value) else 0.0
                totals[sample.name] = totals.get(sample.name, 0.0) + max(0.0, value)
    except (ValueError, KeyError, IndexError):
        return None
    if WAITING not in totals or RUNNING not in totals:
        return None
    caches = {
        cache: (totals[f"{stem}_queries_total"], totals.get(f"{stem}_hits_total", 0.0))
        for cache, stem in CACHES.items()
        if f"{stem}_queries_total" in totals
    }
    return Report(totals[WAITING], totals[RUNNING], caches)


class Ledger:
    """Exports the reports of one server, and the hit rates since the first of them."""

    def __init__(self) -> None:
        """Nothing was reported yet."""
        self._before: dict[str, tuple[float, float]] = {}
        self._since: dict[str, tuple[float, float]] = {}

    def enter(self, report: Report) -> None:
        """Takes a report in. A counter that went back is a server that started anew."""
        _SEQUENCES.labels("waiting").set(report.waiting)
        _SEQUENCES.labels("running").set(report.running)
        for cache, now in report.caches.items():
            before = self._before.get(cache, now)
            if now[0] < before[0]:
                before = (0.0, 0.0)
            since = self._since.get(cache, (0.0, 0.0))
            since = (since[0] + now[0] - before[0], since[1] + max(0.0, now[1] - before[1]))
            self._before[cache], self._since[cache] = now, since
            _CACHE.labels(cache, "queries").set(now[0])
            _CACHE.labels(cache, "hits").set(now[1])
            if since[0] > 0:
                _HIT_RATE.labels(cache).set(since[1] / since[0])

    def hit_rate(self, cache: str) -> float | None:
        """Hits per query since the first report; None without queries."""
        queries, hits = self._since.get(cache, (0.0, 0.0))
        return hits / queries if queries > 0 else None
