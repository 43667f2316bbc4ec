"""What leaves the machine of a photo: its pixels."""

from io import BytesIO
from pathlib import Path

import pytest
from g3_evaluation.photos import carries_metadata, content_of, identical, stripped
from g3_kit.errors import Missing, Rejected
from g3_photo import Limits

from tests.servers.photos import SECRET, jpeg, picture, unacceptable, with_metadata


def test_nothing_that_says_where_survives() -> None:
    photo = with_metadata()
    assert SECRET in photo
    assert carries_metadata(photo)
    sent = stripped(photo)
    assert SECRET not in sent
    assert not carries_metadata(sent)


@pytest.mark.parametrize("what", ["comment", "exif", "tail"])
def test_each_hiding_place_is_seen(what: str) -> None:
    plain = jpeg()
    assert not carries_metadata(plain)
    file = BytesIO()
    if what == "comment":
        picture().save(file, "JPEG", comment=SECRET)
    elif what == "exif":
        picture().save(file, "JPEG", exif=b"Exif\x00\x00" + SECRET)
    else:
        file.write(plain + SECRET)
    assert carries_metadata(file.getvalue())


@pytest.mark.parametrize("kind", unacceptable())
def test_what_is_no_photo_is_refused(kind: str) -> None:
    with pytest.raises(Rejected):
        stripped(unacceptable()[kind])
    with pytest.raises(Rejected):
        carries_metadata(b"GIF89a")


def test_files_are_judged_before_they_are_read(tmp_path: Path) -> None:
    with pytest.raises(Missing):
        content_of(tmp_path / "absent.jpg")
    with pytest.raises(Rejected):
        content_of(tmp_path)
    huge = tmp_path / "huge.jpg"
    with huge.open("wb") as file:
        file.truncate(Limits().max_bytes + 1)
    with pytest.raises(Rejected, match="too large"):
        content_of(huge)


def test_identical_files_are_grouped_largest_first() -> None:
    digests = {"a": "1", "b": "2", "c": "1", "d": "3", "e": "2", "f": "1"}
    assert identical(digests) == [["a", "c", "f"], ["b", "e"]]
    assert identical({}) == []
