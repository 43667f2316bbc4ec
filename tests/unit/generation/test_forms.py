"""Which form of an answer a server enforces, and what else it understands."""

import asyncio
import json
import re
from collections.abc import Callable, Sequence

import pytest
from g3_dialogue import JSON_SCHEMA, PATTERN
from g3_generation.dialect import BARE, Dialect, Speech
from g3_generation.form_finder import FormFinder
from g3_generation.forms import Form, Proof, proof_of
from g3_generation.server_metrics import Ledger, Report, report_of
from g3_kit.errors import G3Error, Rejected, Unavailable

from tests.servers.scripted_lmm import enforced

GOOD = '{"latitude": 48.8584, "longitude": 2.2945}'


@pytest.mark.parametrize("form", [Form.PATTERN, Form.SCHEMA])
def test_a_proof_asks_for_what_nobody_would_say_and_real_answers_look_like(form: Form) -> None:
    pins = set()
    for _ in range(300):
        proof = proof_of(form)
        said = enforced({**proof.fields}, {form.value})
        assert proof.holds(said)
        assert re.fullmatch(PATTERN, said), "it lies within the form of a real answer"
        assert not proof.holds(GOOD)
        assert not proof.holds("It warns ships.")
        pins.add(proof.pinned)
    assert len(pins) == 300


def test_the_proof_of_a_schema_has_every_keyword_of_the_real_one() -> None:
    asked = proof_of(Form.SCHEMA).fields["response_format"]["json_schema"]["schema"]
    for name in ("latitude", "longitude"):
        del asked["properties"][name]["enum"]
    assert asked == JSON_SCHEMA


def test_the_fields_are_the_servers() -> None:
    assert Form.PATTERN.fields == {"structured_outputs": {"regex": PATTERN}}
    assert Form.SCHEMA.fields["response_format"]["type"] == "json_schema"
    assert Form.OBJECT.fields == {"response_format": {"type": "json_object"}}
    assert Form.FREE.fields == {}


@pytest.mark.parametrize(
    ("text", "obeyed"),
    [
        (GOOD, {"pattern", "schema", "object", "free"}),
        ('{"longitude": 2, "latitude": 48}', {"schema", "object", "free"}),
        ('{"lat": 2}', {"object", "free"}),
        ("[]", {"free"}),
        ("[" * 100_000, {"free"}),
        ("It is Paris.", {"free"}),
    ],
    ids=["good", "other order", "other keys", "list", "deep", "prose"],
)
def test_an_answer_is_seen_to_obey(text: str, obeyed: set[str]) -> None:
    assert {form.value for form in Form if form.obeyed_by(text)} == obeyed


def server(
    enforces: Sequence[str] = (), *, refuses: Sequence[str] = (), breaks: Sequence[str] = (), says: str = "A light."
) -> Callable[[Proof], "asyncio.Future[str]"]:
    """A server by its manners: fields it enforces, refuses with 400, fails over with 500; else it says `says`."""

    async def put(proof: Proof) -> str:
        kind = {"structured_outputs": "pattern"}.get(next(iter(proof.fields), ""), "")
        kind = kind or {"json_schema": "schema", "json_object": "object"}.get(
            proof.fields.get("response_format", {}).get("type", ""), ""
        )
        if kind in refuses:
            raise Rejected("HTTP 400")
        if kind in breaks:
            raise Unavailable("HTTP 500")
        return enforced({**proof.fields}, set(enforces)) if kind in enforces else says

    return put  # type: ignore[return-value]


async def found(put: Callable[..., "asyncio.Future[str]"]) -> Form:
    finder = FormFinder(put, first_s=0.01)
    running = asyncio.create_task(finder.run())
    while not finder.known:
        await asyncio.sleep(0.001)
    running.cancel()
    return finder.form


@pytest.mark.parametrize(
    ("put", "form"),
    [
        (server(["pattern", "schema", "object"]), Form.PATTERN),
        (server(["schema", "object"]), Form.SCHEMA),
        (server(["object"]), Form.OBJECT),
        (server(), Form.FREE),
        (server(["schema"], refuses=["pattern"]), Form.SCHEMA),
        (server(["schema"], breaks=["pattern"]), Form.SCHEMA),
        (server(refuses=["pattern", "schema", "object"]), Form.FREE),
        (server(breaks=["pattern", "schema", "object"]), Form.FREE),
        # it answers in the right form whatever it is asked: that is the model's doing and proves nothing
        (server(says=GOOD), Form.FREE),
    ],
    ids=["all", "schema", "object", "ignores", "refuses", "fails", "refuses all", "fails over all", "natural"],
)
async def test_the_strictest_form_that_is_really_enforced_is_found(
    put: Callable[..., "asyncio.Future[str]"], form: Form
) -> None:
    assert await found(put) is form


class Moody:
    """A server that changes: `put` does what `manner` does at the time."""

    def __init__(self, manner: Callable[..., "asyncio.Future[str]"]) -> None:
        self.manner = manner
        self.asked = 0

    async def put(self, proof: Proof) -> str:
        self.asked += 1
        return await self.manner(proof)


def failing(error: G3Error) -> Callable[..., "asyncio.Future[str]"]:
    async def put(_: Proof) -> str:
        raise error

    return put  # type: ignore[return-value]


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not condition():
            await asyncio.sleep(0.001)


@pytest.mark.parametrize("error", [Unavailable("away"), Rejected("HTTP 401")])
async def test_a_server_that_is_away_keeps_no_work_and_is_asked_again(error: G3Error) -> None:
    moody = Moody(failing(error))
    finder = FormFinder(moody.put, first_s=0.01)
    running = asyncio.create_task(finder.run())
    async with asyncio.timeout(1):
        await finder.settled(30)
    assert (finder.form, finder.known) == (Form.FREE, False)
    moody.manner = server(["pattern"])
    await until(lambda: finder.form is Form.PATTERN)
    running.cancel()


async def test_a_proof_that_hangs_keeps_work_for_a_bounded_time() -> None:
    async def never(_: Proof) -> str:
        await asyncio.sleep(60)
        return ""

    finder = FormFinder(never, proof_s=30)
    running = asyncio.create_task(finder.run())
    async with asyncio.timeout(1):
        await finder.settled(0.05)
        await finder.settled(30)
    running.cancel()


async def test_a_doubt_is_looked_into_beside_the_work_and_not_too_often() -> None:
    moody = Moody(server(["pattern"]))
    finder = FormFinder(moody.put, first_s=0.01, rest_s=0.1)
    running = asyncio.create_task(finder.run())
    await until(lambda: finder.known)
    before = moody.asked
    moody.manner = server(["schema"])
    for _ in range(50):
        finder.doubt("an answer has not the form")
    assert finder.form is Form.PATTERN, "it is used until something else is found"
    await until(lambda: finder.form is Form.SCHEMA)
    assert moody.asked - before == 2
    running.cancel()


async def test_a_form_that_is_refused_is_asked_for_no_more() -> None:
    finder = FormFinder(server(["pattern"]), rest_s=30)
    running = asyncio.create_task(finder.run())
    await until(lambda: finder.form is Form.PATTERN)
    finder.refused()
    assert finder.form is Form.FREE
    running.cancel()


def spoken(refused_for: set[str], *, asked: int = 5, questions: int = 6) -> tuple[Dialect, int]:
    """How a server that refuses these things is spoken to in the end, and how many requests it refused."""
    speech, refusals = Speech(), 0
    for _ in range(questions):
        used = speech.dialect
        said = {name for name in ("many", "seed", "form") if getattr(used, name)}
        if said & refused_for:
            refusals += 1
            speech.refused(used, asked=asked, formed=True)
        else:
            speech.accepted(used, asked=asked, got=asked if used.many else 1)
    return speech.dialect, refusals


@pytest.mark.parametrize(
    ("refused_for", "dialect", "refusals"),
    [
        (set(), Dialect(), 0),
        ({"many"}, Dialect(many=False), 1),
        ({"seed"}, Dialect(seed=False), 2),
        ({"form"}, Dialect(form=False), 3),
        ({"many", "seed"}, BARE, 4),
    ],
)
def test_what_is_refused_is_found_by_leaving_one_thing_out(
    refused_for: set[str], dialect: Dialect, refusals: int
) -> None:
    assert spoken(refused_for) == (dialect, refusals)


def test_calls_that_were_refused_together_count_once() -> None:
    speech = Speech()
    used = speech.dialect
    for _ in range(5):
        speech.refused(used, asked=5, formed=False)
    assert speech.dialect == Dialect(many=False)


PAGE = """# HELP vllm:num_requests_running Number of requests
# TYPE vllm:num_requests_running gauge
vllm:num_requests_running{engine="0",model_name="a/}b c"} 5.0
vllm:num_requests_running{engine="1",model_name="a/}b c"} 7.0
vllm:num_requests_waiting{engine="0",model_name="m"} 3.0
vllm:num_requests_waiting_by_reason{engine="0",model_name="m",reason="capacity"} 3.0
vllm:prefix_cache_queries_total{engine="0",model_name="m"} 1000.0
vllm:prefix_cache_hits_total{engine="0",model_name="m"} 400.0
vllm:prefix_cache_queries_created{engine="0",model_name="m"} 1.7e+09
vllm:mm_cache_queries_total{engine="0",model_name="m"} 4.0
vllm:mm_cache_hits_total{engine="0",model_name="m"} 3.0
process_open_fds 12
"""


def test_a_page_of_metrics_is_read() -> None:
    assert report_of(PAGE) == Report(3.0, 12.0, {"prefix": (1000.0, 400.0), "multimodal": (4.0, 3.0)})


@pytest.mark.parametrize(
    "page",
    ["", "<html>", "vllm:num_requests_running", "vllm:num_requests_running{", 'vllm:num_requests_waiting{a="} 1', "\0"],
)
def test_what_is_no_page_of_metrics_says_nothing(page: str) -> None:
    assert report_of(page) is None


def test_odd_numbers_are_none() -> None:
    page = "vllm:num_requests_running NaN\nvllm:num_requests_waiting -4\nvllm:num_requests_waiting +Inf\n"
    assert report_of(page) == Report(0.0, 0.0)


def test_hit_rates_survive_a_restart_of_the_server() -> None:
    ledger = Ledger()
    assert ledger.hit_rate("prefix") is None
    for queries, hits in ((1000.0, 400.0), (1100.0, 450.0), (100.0, 10.0)):
        ledger.enter(Report(0, 0, {"prefix": (queries, hits)}))
    assert ledger.hit_rate("prefix") == pytest.approx((50 + 10) / (100 + 100))
    assert json.dumps(ledger.hit_rate("multimodal")) == "null"
