"""The prompts of the order `paper`, pinned word for word."""

import json
import re
from pathlib import Path

import pytest
from g3_dialogue import Prompt, Reference, paper, rendered

GOLDEN = Path(__file__).parent / "golden"
SIMILAR = tuple(Reference(48.858370123456789 - k, 2.294481 + 10.0 * k) for k in range(15))
DISSIMILAR = tuple(Reference(-33.0 - k, 151.2093 + k) for k in range(15))


def prompt(count: int) -> Prompt:
    return Prompt(index=0, samples=5, similar=SIMILAR[:count], dissimilar=DISSIMILAR[:count])


def text(shown: Prompt) -> str:
    return paper.text(shown.similar, shown.dissimilar)


@pytest.mark.parametrize("count", [0, 5, 10, 15])
def test_the_text_is_the_golden_one(count: int) -> None:
    assert text(prompt(count)) + "\n" == (GOLDEN / f"paper-{count:02}.txt").read_text("utf-8")


def test_text_comes_first_and_the_photo_last() -> None:
    assert rendered(prompt(5), b"jpeg") == (text(prompt(5)), b"jpeg")


def test_no_number_stands_in_the_text_but_the_references() -> None:
    assert not re.search(r"\d", text(prompt(0))), "a number in the template is echoed as the answer"
    numbers = re.findall(r"-?\d+\.\d+", text(prompt(10)))
    given = [value for point in (*SIMILAR[:10], *DISSIMILAR[:10]) for value in (point.latitude, point.longitude)]
    assert [float(number) for number in numbers] == given


def test_coordinates_keep_every_decimal_and_no_exponent() -> None:
    shown = text(Prompt(0, 1, (Reference(1e-05, -179.99999999999997),)))
    assert "(0.00001, -179.99999999999997)" in shown


def test_the_form_of_the_answer_is_told_without_a_template() -> None:
    shown = text(prompt(0))
    assert '"latitude"' in shown
    assert '"longitude"' in shown
    with pytest.raises(json.JSONDecodeError):
        json.loads(shown[shown.index("{") :] if "{" in shown else shown)
    assert "{" not in shown


def test_only_one_kind_of_reference_is_fine() -> None:
    assert "look like" in text(Prompt(0, 1, similar=SIMILAR[:1]))
    assert "unlike" not in text(Prompt(0, 1, similar=SIMILAR[:1]))
    assert "unlike" in text(Prompt(0, 1, dissimilar=DISSIMILAR[:1]))
