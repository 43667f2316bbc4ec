"""Expressions and names that go to Milvus, without one."""

import ast

import grpc
import pytest
from g3_geography import BoundingBox
from g3_kit.errors import Late, Missing, Unavailable
from g3_retrieval.milvus_calls import translated
from g3_retrieval.milvus_catalogue import parsed, physical
from g3_retrieval.milvus_expressions import expression, literal, one_of
from g3_retrieval.references import Filter, Version
from hypothesis import given
from hypothesis import strategies as st
from pymilvus.exceptions import MilvusException


@given(st.text(alphabet=st.characters(codec="utf-8", exclude_characters="\0"), max_size=50))
def test_a_literal_is_closed_where_it_ends_and_means_the_text(text: str) -> None:
    written = literal(text)
    assert ast.literal_eval(written) == text
    assert "\n" not in written
    assert "\r" not in written


def test_texts_stay_inside_their_quotes() -> None:
    assert one_of("id", ['"] or id in ["', "\\"]) == 'id in ["\\"] or id in [\\"", "\\\\"]'


def test_nothing_filtered_is_no_expression() -> None:
    assert expression(Filter()) == ""


def test_every_part_joins() -> None:
    written = expression(Filter(("FR", "DE"), BoundingBox(-1, 2, 3, 4), ("a",), ("b",)))
    parts = written.split(" and ")
    assert parts[0] == 'country_code in ["FR", "DE"]'
    assert parts[-2:] == ['not (id in ["a"])', 'not (author in ["b"])']
    assert "latitude >= -1.0" in written


def test_a_box_over_the_antimeridian_is_either_side_of_it() -> None:
    assert " or " in expression(Filter(bounding_box=BoundingBox(-10, 170, 10, -170)))
    assert " or " not in expression(Filter(bounding_box=BoundingBox(-10, -170, 10, 170)))
    assert expression(Filter(bounding_box=BoundingBox(-10, 170, 10, 180))).endswith("longitude == -180.0)")


def test_small_degrees_are_written_without_an_exponent() -> None:
    written = expression(Filter(bounding_box=BoundingBox(1e-7, -1e-9, 1e-6, 1e-8)))
    assert "e-" not in written
    assert "0.00000010" in written


@pytest.mark.parametrize("name", ["v1", "a__b", "_", "references_2026__11", "x" * 100, "a__" + "b" * 64 + "__8"])
def test_a_physical_name_gives_back_its_version(name: str) -> None:
    version = Version(name, "0f" * 32, 768)
    assert parsed(physical(version)) == version
    assert len(physical(version)) <= 255


@pytest.mark.parametrize("name", ["", "other", "a__b", "a__b__c", "__m__8", "1a__m__8", "a__m__8__", "a__m-m__8"])
def test_other_peoples_collections_are_not_ours(name: str) -> None:
    assert parsed(name) is None


@pytest.mark.parametrize(
    ("raised", "becomes"),
    [
        (MilvusException(100, "collection not found"), Missing),
        (MilvusException(101, "not loaded"), Unavailable),
        (MilvusException(2, "Fail connecting"), Unavailable),
        (MilvusException(8, "rate limit"), Unavailable),
        (MilvusException(grpc.StatusCode.DEADLINE_EXCEEDED, "slow"), Late),
        (MilvusException(grpc.StatusCode.UNAVAILABLE, "away"), Unavailable),
        (MilvusException(65535, "delegator closed: channel not available[channel=x]"), Unavailable),
        (MilvusException(65535, "cannot parse expression"), MilvusException),
        (MilvusException(1100, "invalid parameter"), MilvusException),
    ],
)
def test_failures_say_what_the_caller_must_do(raised: Exception, becomes: type[Exception]) -> None:
    with pytest.raises(becomes) as told, translated("v1"):
        raise raised
    assert type(told.value) is becomes
    if becomes is not MilvusException:
        assert "Fail" not in str(told.value)
