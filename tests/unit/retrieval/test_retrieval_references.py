"""The nouns: what they refuse, and the one stored vector that serves every question."""

import numpy as np
import pytest
from g3_geography import Coordinates, Place
from g3_kit.errors import G3Error, Mismatch, Rejected
from g3_retrieval.references import (
    MAX_DIMENSION,
    MAX_TEXT_BYTES,
    Filter,
    ImageVectors,
    Reference,
    ReferenceVectors,
    RetrievalVector,
    Vectors,
    Version,
    check_model,
    check_name,
    similarity,
)
from hypothesis import given, settings
from hypothesis import strategies as st

NOWHERE = Place("", "", "", "")
HERE = Coordinates(0, 0)


def drawn(generator: np.random.Generator, dimension: int) -> ImageVectors:
    rows = generator.normal(size=(3, dimension))
    return ImageVectors(*(rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32))


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), dimension=st.integers(1, 96), compared=st.sampled_from(RetrievalVector))
def test_the_product_is_the_mean_cosine_of_what_is_compared(
    seed: int, dimension: int, compared: RetrievalVector
) -> None:
    generator = np.random.default_rng(seed)
    asked, kept = drawn(generator, dimension), drawn(generator, dimension)
    cosines = [
        float(np.dot(getattr(asked, name).astype(np.float64), getattr(kept, name).astype(np.float64)))
        for name, used in zip(("clip", "text_aligned", "gps_aligned"), compared.compared, strict=True)
        if used
    ]
    product = float(np.dot(asked.query(compared).astype(np.float64), kept.stored().astype(np.float64)))
    assert product == pytest.approx(np.mean(cosines), abs=1e-6)


def test_what_is_stored_is_a_unit_vector_and_rows_are_stored_as_one_is() -> None:
    generator = np.random.default_rng(0)
    pairs = [(Reference(str(number), HERE, NOWHERE), drawn(generator, 16)) for number in range(4)]
    rows = ReferenceVectors.of(pairs, 16).stored()
    assert rows.shape == (4, 48)
    assert rows.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(rows, axis=1), 1.0, atol=1e-6)
    for row, (_, vectors) in zip(rows, pairs, strict=True):
        np.testing.assert_array_equal(row, vectors.stored())


def test_no_references_have_a_shape_all_the_same() -> None:
    assert ReferenceVectors.of([], 16).stored().shape == (0, 48)


def test_the_last_of_each_id_stays_where_it_was() -> None:
    generator = np.random.default_rng(0)
    pairs = [(Reference(name, HERE, NOWHERE, author=str(n)), drawn(generator, 4)) for n, name in enumerate("abacb")]
    kept = ReferenceVectors.of(pairs, 4).last_of_each()
    assert [(r.id, r.author) for r in kept.references] == [("a", "2"), ("c", "3"), ("b", "4")]
    np.testing.assert_array_equal(kept.clip[2], pairs[4][1].clip)


def unit(dimension: int = 4) -> Vectors:
    first = np.zeros(dimension, np.float32)
    first[0] = 1
    return first


@pytest.mark.parametrize(
    "bad",
    [
        np.zeros(4, np.float32),
        unit() * 1.01,
        unit(5),
        np.zeros(0, np.float32),
        np.array([np.nan, 1, 0, 0], np.float32),
        np.array([np.inf, 0, 0, 0], np.float32),
        np.eye(2, dtype=np.float32),
        unit(MAX_DIMENSION + 1),
    ],
    ids=["zero", "long", "wide", "empty", "nan", "infinite", "matrix", "too wide"],
)
@pytest.mark.parametrize("position", range(3))
def test_vectors_that_are_no_unit_vectors_of_one_width_are_rejected(bad: Vectors, position: int) -> None:
    three = [unit(), unit(), unit()]
    three[position] = bad
    with pytest.raises(Rejected):
        ImageVectors(*three)


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("id", {"id": ""}),
        ("id", {"id": "x" * (MAX_TEXT_BYTES + 1)}),
        ("id", {"id": "é" * (MAX_TEXT_BYTES // 2 + 1)}),
        ("id", {"id": "a\0"}),
        ("author", {"author": "x" * (MAX_TEXT_BYTES + 1)}),
        ("place.city", {"place": Place("x" * (MAX_TEXT_BYTES + 1), "", "", "")}),
        ("place.state", {"place": Place("", "a\0", "", "")}),
        ("place.country", {"place": Place("", "", "x" * (MAX_TEXT_BYTES + 1), "")}),
        ("place.country_code", {"place": Place("", "", "", "fr")}),
        ("place.country_code", {"place": Place("", "", "", "FRA")}),
        ("place.country_code", {"place": Place("", "", "", "F\n")}),
    ],
)
def test_a_bad_reference_is_rejected_by_field(name: str, told: dict[str, object]) -> None:
    with pytest.raises(Rejected) as refused:
        Reference(**{"id": "x", "coordinates": HERE, "place": NOWHERE, **told})  # type: ignore[arg-type]
    assert refused.value.field == name


def test_texts_as_long_as_allowed_pass() -> None:
    longest = "é" * (MAX_TEXT_BYTES // 2)
    assert Reference(longest, HERE, Place(longest, longest, longest, "FR"), longest).author == longest


@pytest.mark.parametrize("bad", ["", "1a", "a-b", "a b", "é", "a\n", "x" * 101, 'a"', "a.b"])
def test_names_are_letters_digits_and_underscores(bad: str) -> None:
    with pytest.raises(Rejected):
        check_name(bad, "collection")
    check_name("_A1" + "x" * 97, "collection")


@pytest.mark.parametrize("bad", ["", "x" * 65, "a_b", "sha256:00", "é"])
def test_models_are_fingerprints(bad: str) -> None:
    with pytest.raises(Rejected):
        check_model(bad)
    check_model("0f" * 32)


def test_filters_are_checked_and_know_when_they_filter_nothing() -> None:
    assert Filter().passes_all
    assert not Filter(excluded_authors=("",)).passes_all
    bad: list[dict[str, tuple[str, ...]]] = [
        {"country_codes": ("FR", "xx")},
        {"excluded_ids": ("x" * 201,)},
        {"excluded_authors": ("a\0",)},
    ]
    for told in bad:
        with pytest.raises(Rejected):
            Filter(**told)  # type: ignore[arg-type]


def test_a_version_takes_its_own_model_and_width_alone() -> None:
    version = Version("v", "a" * 64, 8)
    version.check("a" * 64)
    version.check("a" * 64, 8)
    refused: list[tuple[str, int | None]] = [("b" * 64, None), ("b" * 64, 8), ("a" * 64, 9)]
    for model, dimension in refused:
        with pytest.raises(Mismatch):
            version.check(model, dimension)
    assert issubclass(Mismatch, G3Error)


def test_similarities_are_clamped_and_rounded() -> None:
    assert similarity(1.0000001) == 1.0
    assert similarity(-1.2) == -1.0
    assert similarity(0.12345649) == 0.123456
    assert str(similarity(-1e-9)) == "0.0"
