"""Errors as problem documents."""

import json

import pytest
from g3_kit.errors import BY_CODE, Exhausted, G3Error, Late, Rejected, Unauthenticated, Unavailable
from g3_orchestrator import problems


@pytest.mark.parametrize("kind", BY_CODE.values(), ids=BY_CODE.keys())
def test_every_error_of_the_tree_has_a_document_with_its_own_status_and_title(kind: type[G3Error]) -> None:
    document = problems.of_error(kind("What to do.", field="photo"), "/v1/jobs")
    assert document.status == kind.http_status
    assert document.type == f"urn:g3:problem:{kind.code}"
    assert document.detail == "What to do."
    assert document.instance == "/v1/jobs"
    assert [(fault.field, fault.detail) for fault in document.errors] == [("photo", "What to do.")]
    others = {problems.of_error(other("x"), "/").title for code, other in BY_CODE.items() if code != kind.code}
    assert document.title not in others


def test_the_answer_is_problem_json_and_is_not_cached() -> None:
    answer = problems.answer(problems.of_error(Rejected("No."), "/v1/jobs"))
    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["cache-control"] == "no-store"
    assert json.loads(bytes(answer.body))["code"] == "rejected"


@pytest.mark.parametrize(
    ("error", "headers"),
    [
        (Exhausted("x", retry_after_s=1.2), {"Retry-After": "2"}),
        (Exhausted("x"), {"Retry-After": "2"}),
        (Unavailable("x", retry_after_s=0), {"Retry-After": "1"}),
        (Unavailable("x"), {"Retry-After": "5"}),
        (Late("x"), {}),
        (Unauthenticated("x"), {"WWW-Authenticate": "Bearer"}),
        (Rejected("x"), {}),
    ],
)
def test_headers_say_when_to_come_back(error: G3Error, headers: dict[str, str]) -> None:
    assert problems.headers_of(error) == headers


def test_many_faults_are_cut_to_a_bearable_number_and_length() -> None:
    found = problems.faults_at(((f"f{n}" * 200, 3), "Wrong.") for n in range(100))
    assert len(found.errors) == 20
    assert all(len(fault.field) <= 128 for fault in found.errors)
