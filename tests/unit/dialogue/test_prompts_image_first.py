"""The prompts of the order `image_first`, pinned word for word; those of one photo are prefixes of one another."""

import re
from itertools import pairwise
from pathlib import Path

import pytest
from g3_dialogue import Contrast, Prompt, PromptOrder, Reference, image_first, rendered
from hypothesis import given
from hypothesis import strategies as st

GOLDEN = Path(__file__).parent / "golden"
PLACES = ("Paris, Île-de-France, France", "", "Suva, Fiji")
SIMILAR = tuple(Reference(48.858370123456789 - k, 2.294481 + 10.0 * k, PLACES[k % 3]) for k in range(15))
HARD = tuple(Reference(-33.0 - k, 151.2093 + k, PLACES[(k + 2) % 3]) for k in range(15))


def text(count: int, contrast: Contrast = Contrast.HARD, others: int | None = None) -> str:
    prompt = Prompt(0, 5, SIMILAR[:count], HARD[: count if others is None else others], contrast)
    photo, shown = rendered(prompt, b"jpeg", PromptOrder.IMAGE_FIRST)
    assert photo == b"jpeg"
    assert isinstance(shown, str)
    return shown


@pytest.mark.parametrize("contrast", list(Contrast))
@pytest.mark.parametrize("count", [0, 5, 15])
def test_the_text_is_the_golden_one(count: int, contrast: Contrast) -> None:
    golden = GOLDEN / f"image-first-{contrast.value}-{count:02}.txt"
    assert text(count, contrast) + "\n" == golden.read_text("utf-8")


def test_each_prompt_is_a_prefix_of_the_next() -> None:
    shown = [text(count) for count in (0, 5, 10, 15)]
    for shorter, longer in pairwise(shown):
        assert longer.startswith(shorter + "\n")


@given(
    st.lists(
        st.builds(Reference, st.floats(-90, 90), st.floats(-180, 180), st.text(max_size=200)), min_size=1, max_size=5
    )
)
def test_a_reference_stays_on_its_line_whatever_its_name(references: list[Reference]) -> None:
    for kind in (tuple(references), ()):
        shown = image_first.text(tuple(references), kind, Contrast.HARD)
        lines = shown.removeprefix(image_first.OPENING[Contrast.HARD]).split("\n")[1:]
        assert len(lines) == len(references)
        for line, reference in zip(lines, references, strict=True):
            pattern = r"-?\d+\.\d{4}, -?\d+\.\d{4}( \([^()|\n]{1,80}\))?"
            assert re.fullmatch(rf"{pattern}( \| {pattern})?" if kind else pattern, line), line
            assert float(line.split(",")[0]) == pytest.approx(reference.latitude, abs=6e-5)


def test_no_number_stands_in_the_text_but_the_references() -> None:
    assert not re.search(r"\d", text(0)), "a number in the template is echoed as the answer"
    assert "{" not in text(15)


def test_one_kind_may_be_shorter_than_the_other() -> None:
    assert text(3, others=1).splitlines()[-1] == "46.8584, 22.2945 (Suva, Fiji)"
    assert " | " in text(3, others=1).splitlines()[-3]
    assert text(0, others=1).splitlines()[-1] == " | -33.0000, 151.2093 (Suva, Fiji)"


def test_a_zero_has_no_sign() -> None:
    assert image_first.shown(Reference(-0.00001, -0.0)) == "0.0000, 0.0000"
