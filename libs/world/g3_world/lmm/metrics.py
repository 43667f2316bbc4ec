"""What the server counts, under vLLM's names, so that whoever scales on a vLLM scales on this too."""

from prometheus_client import Counter, Gauge

from g3_world.lmm.questions import Answers

_LABELS = ("model_name", "engine")
RUNNING = Gauge("vllm:num_requests_running", "Requests being answered.", _LABELS)
WAITING = Gauge("vllm:num_requests_waiting", "Requests waiting for their turn.", _LABELS)
PREFIX_QUERIES = Counter("vllm:prefix_cache_queries", "Prompt tokens looked for among those computed before.", _LABELS)
PREFIX_HITS = Counter("vllm:prefix_cache_hits", "Prompt tokens that had been computed before.", _LABELS)
PROMPT_TOKENS = Counter("vllm:prompt_tokens", "Tokens of prompts.", _LABELS)
GENERATION_TOKENS = Counter("vllm:generation_tokens", "Tokens of answers.", _LABELS)
SUCCESS = Counter("vllm:request_success", "Answers by why they ended.", (*_LABELS, "finished_reason"))


class Figures:
    """What one engine tells of itself, for the model called `name`."""

    def __init__(self, name: str) -> None:
        """All at zero, so that they are there before the first request."""
        self._labels = (name, "0")
        self.waiting(0)
        self.running(0)
        for counter in (PREFIX_QUERIES, PREFIX_HITS, PROMPT_TOKENS, GENERATION_TOKENS):
            counter.labels(*self._labels)

    def waiting(self, count: int) -> None:
        """So many requests wait."""
        WAITING.labels(*self._labels).set(count)

    def running(self, count: int) -> None:
        """So many requests are being answered."""
        RUNNING.labels(*self._labels).set(count)

    def read(self, tokens: int, cached: int) -> None:
        """A prompt was read, `cached` of its tokens having been computed before."""
        PREFIX_QUERIES.labels(*self._labels).inc(tokens)
        PREFIX_HITS.labels(*self._labels).inc(cached)
        PROMPT_TOKENS.labels(*self._labels).inc(tokens)

    def answered(self, answers: Answers) -> None:
        """A request was answered."""
        GENERATION_TOKENS.labels(*self._labels).inc(sum(answer.tokens for answer in answers.answers))
        for answer in answers.answers:
            SUCCESS.labels(*self._labels, answer.finish.value).inc()
