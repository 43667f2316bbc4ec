from pathlib import Path

import pytest
from g3_choice import Origin, Proposal
from g3_choice.pool_file import PooledPhoto, of_line, read_pools, to_line, write_pools
from g3_geography import Coordinates
from g3_kit.errors import Missing, Rejected
from hypothesis import given, settings
from hypothesis import strategies as st

points = st.builds(Coordinates, st.floats(-90, 90), st.floats(-180, 180, exclude_max=True))
cosines = st.none() | st.floats(-1, 1)
proposals = st.builds(
    Proposal, points, st.just(Origin.LMM), cosines, st.integers(0, 15), st.integers(0, 31)
) | st.builds(
    Proposal,
    points,
    st.sampled_from([Origin.RETRIEVED, Origin.GALLERY]),
    cosines,
    reference_id=st.text(max_size=8),
    rank=st.integers(0, 100),
    evidence=cosines,
)
photos = st.builds(
    PooledPhoto, st.text(min_size=1), points, st.lists(proposals, max_size=5).map(tuple), st.text(), st.text()
)


@given(photos)
@settings(max_examples=100, deadline=None)
def test_a_line_is_read_back(photo: PooledPhoto) -> None:
    line = to_line(photo)
    assert "\n" not in line
    assert of_line(line) == photo


def photo(number: int) -> PooledPhoto:
    return PooledPhoto(str(number), Coordinates(number, 2), (Proposal(Coordinates(1, 2), Origin.LMM, 0.5),), "model")


def test_a_file_is_read_back_line_by_line(tmp_path: Path) -> None:
    given_ = [photo(number) for number in range(3)]
    assert write_pools(tmp_path / "pools.jsonl", given_) == 3
    assert list(read_pools(tmp_path / "pools.jsonl")) == given_


def test_a_stopped_writing_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "pools.jsonl"
    write_pools(path, [photo(1)])

    def failing() -> object:
        yield photo(2)
        raise OSError("the disk is full")

    with pytest.raises(OSError, match="disk is full"):
        write_pools(path, failing())  # type: ignore[arg-type]
    assert [kept.photo_id for kept in read_pools(path)] == ["1"]
    assert [file.name for file in tmp_path.iterdir()] == ["pools.jsonl"]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ('{"photo_id": "a", "latitude": 91, "longitude": 0, "candidates": []}', "latitude"),
        ('{"photo_id": "a", "latitude": 1, "longitude": NaN, "candidates": []}', "line 2"),
        ('{"photo_id": "a", "latitude": 1, "longitude": 0}', "candidates: Field required"),
        (
            '{"photo_id": "a", "latitude": 1, "longitude": 0, "candidates": [{"origin": "guess"}]}',
            "candidates.0.origin",
        ),
        ('{"photo_id": "a", "latitude": 1, "longi', "line 2"),
        ("\x00\xff", "line 2"),
    ],
)
def test_a_bad_line_is_refused_by_its_number(tmp_path: Path, line: str, reason: str) -> None:
    path = tmp_path / "pools.jsonl"
    path.write_text(to_line(photo(1)) + "\n" + line + "\n", "latin-1")
    with pytest.raises(Rejected, match=reason):
        list(read_pools(path))


def test_no_file_is_missing(tmp_path: Path) -> None:
    with pytest.raises(Missing, match=r"no pools in absent\.jsonl"):
        list(read_pools(tmp_path / "absent.jsonl"))
