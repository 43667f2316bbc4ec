"""Whatever the form allows is a place on Earth, and every place on Earth can be written in it."""

import json
import re

import pytest
from g3_dialogue import JSON_SCHEMA, PATTERN, Point, read
from hypothesis import given
from hypothesis import strategies as st


@given(st.from_regex(PATTERN, fullmatch=True))
def test_what_the_pattern_allows_is_read_as_it_stands(answer: str) -> None:
    stated = json.loads(answer)
    assert list(stated) == JSON_SCHEMA["required"]
    assert read(answer) == Point(stated["latitude"], stated["longitude"])
    assert abs(stated["latitude"]) <= 90
    assert abs(stated["longitude"]) <= 180


@given(st.floats(-90, 90), st.floats(-180, 180))
def test_every_place_can_be_written(latitude: float, longitude: float) -> None:
    assert re.fullmatch(PATTERN, f'{{"latitude": {latitude:.4f}, "longitude": {longitude:.4f}}}')


@pytest.mark.parametrize(
    "answer",
    [
        '{"latitude": 90.0001, "longitude": 0.0000}',
        '{"latitude": 91.0000, "longitude": 0.0000}',
        '{"latitude": 0.0000, "longitude": 180.0001}',
        '{"latitude": 0.0000, "longitude": 190.0000}',
        '{"latitude": 012.0000, "longitude": 0.0000}',
        '{"latitude": 1, "longitude": 2}',
    ],
)
def test_nothing_else_is_allowed(answer: str) -> None:
    assert not re.fullmatch(PATTERN, answer)
