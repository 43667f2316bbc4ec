"""Photos from MP16-Pro's archives, from a folder and from arrays are the same photos."""

import gzip
import json
import os
from pathlib import Path

import numpy as np
import pytest
from g3_alignment import AlignmentModel
from g3_kit.errors import Missing, Rejected
from g3_training.pixels import PixelLoader
from g3_training.sources import FolderSource, TarSource, WorldSource
from g3_training.table import PlaceNames, read_table
from g3_training.tar_index import TarIndex

from tests.servers.training_runs import write_arrays
from tests.unit.training.conftest import Published


def test_an_archive_reads_as_the_folder_it_was_made_of(published: Published, tmp_path: Path) -> None:
    tar = TarSource(published.csv, published.archives, tmp_path)
    folder = FolderSource(published.folder, published.csv)
    assert sorted(tar.table.ids) == sorted(folder.table.ids)
    row_of = {id_: row for row, id_ in enumerate(folder.table.ids)}
    for row, id_ in enumerate(tar.table.ids):
        other = row_of[id_]
        assert tar.table.coordinates[row].tolist() == folder.table.coordinates[other].tolist()
        assert tar.table.places[tar.table.place[row]] == folder.table.places[folder.table.place[other]]
        if id_ in published.ids:
            assert tar.photo(row).tobytes() == folder.photo(other).tobytes()


def test_what_is_of_no_use_is_named_with_a_reason(published: Published, tmp_path: Path) -> None:
    source = TarSource(published.csv, published.archives, tmp_path)
    reasons = {reject.id: reject.reason for reject in source.table.rejects}
    assert reasons == {
        "aa/bb/sea.jpg": "no country",
        "aa/bb/gone.jpg": "no such file in the archives",
        published.ids[0]: "the id came before",
        "aa/bb/mars.jpg": "the coordinates are out of range",
    }
    with pytest.raises(Rejected, match="placeholder"):
        source.photo(source.table.ids.index("aa/bb/placeholder.jpg"))
    with pytest.raises(Rejected):
        source.photo(source.table.ids.index("aa/bb/broken.jpg"))


def test_archives_are_read_forwards_and_their_index_is_kept(published: Published, tmp_path: Path) -> None:
    source = TarSource(published.csv, published.archives, tmp_path)
    assert source._places[:, :2].tolist() == sorted(source._places[:, :2].tolist())
    kept = sorted(tmp_path.glob("tar-*.npz"))
    assert len(kept) == 2
    before = [path.stat().st_mtime_ns for path in kept]
    assert TarSource(published.csv, published.archives, tmp_path).table.ids == source.table.ids
    assert [path.stat().st_mtime_ns for path in kept] == before


def test_an_archive_that_changed_is_read_anew(published: Published, tmp_path: Path) -> None:
    archive = tmp_path / "photos.tar"
    archive.write_bytes(published.archives[0].read_bytes())
    first = TarIndex.of(archive, tmp_path)
    archive.write_bytes(published.archives[1].read_bytes())
    os.utime(archive, (1, 1))
    assert TarIndex.of(archive, tmp_path).names == TarIndex.of(published.archives[1]).names != first.names


def test_archives_that_cannot_be_read_in_place_are_rejected(published: Published, tmp_path: Path) -> None:
    whole = published.archives[0].read_bytes()
    (tmp_path / "photos.tar.gz").write_bytes(gzip.compress(whole))
    with pytest.raises(Rejected, match="no plain tar"):
        TarIndex.of(tmp_path / "photos.tar.gz")
    index = TarIndex.of(published.archives[0])
    (tmp_path / "short.tar").write_bytes(whole[: int(index.offsets[-1]) + 10])
    with pytest.raises(Rejected, match=r"cut short|no plain tar"):
        TarIndex.of(tmp_path / "short.tar")
    with pytest.raises(Missing, match="no archive"):
        TarIndex.of(tmp_path / "none.tar")


def test_no_id_leads_out_of_the_folder(published: Published, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "secret.jpg").write_bytes(b"x" * 6000)
    (tmp_path / "t.csv").write_text("img_id,lat,lon,country\n../secret.jpg,1,1,France\n/etc/passwd,1,1,France\n")
    assert len(FolderSource(tmp_path / "in", tmp_path / "t.csv").table) == 0


def test_arrays_read_at_once_are_what_photos_read_one_by_one_are(model: AlignmentModel, tmp_path: Path) -> None:
    source = WorldSource([write_arrays(tmp_path / "a", 11), write_arrays(tmp_path / "b", 5, seed=9)])
    assert len(source.table) == 16
    rows = np.array([15, 3, 3, 11, 0])
    fast = PixelLoader(source, model.configuration.preprocessing, threads=1)
    slow = PixelLoader(source, model.configuration.preprocessing, threads=1)
    slow._fast = False
    assert fast._fast
    assert fast.block(rows).pixels.equal(slow.block(rows).pixels)
    assert [block.rows.tolist() for block in fast.blocks([rows[:2], rows[2:]])] == [[15, 3], [3, 11, 0]]
    fast.close()
    slow.close()


def test_arrays_that_do_not_fit_their_table_are_rejected(tmp_path: Path) -> None:
    folder = write_arrays(tmp_path / "a", 4)
    with (folder / "table.csv").open("a") as table:
        table.write("more.jpg,1,1,Lyon,ARA,France\n")
    with pytest.raises(Rejected, match="does not fit"):
        WorldSource([folder])
    with pytest.raises(Missing):
        WorldSource([tmp_path])


def test_tables_without_a_column_are_rejected(tmp_path: Path) -> None:
    table = tmp_path / "t.csv"
    table.write_text("IMG_ID,LAT,country\n")
    with pytest.raises(Rejected, match="longitude"):
        read_table(table)
    table.write_bytes(b"IMG_ID,LAT,LON,country\n\xff\xfe,1,1,x\n")
    with pytest.raises(Rejected, match="UTF-8"):
        read_table(table)
    with pytest.raises(Missing):
        read_table(tmp_path / "none.csv")


def test_texts_of_places() -> None:
    names = PlaceNames("Montmartre", "Paris", "Île-de-France", "France")
    assert names.text() == "A street view photo taken in Paris, Île-de-France, France"
    assert names.text(neighbourhood=True) == "A street view photo taken in Montmartre, Paris, Île-de-France, France"
    assert PlaceNames("", "", "", "France").text(neighbourhood=True) == "A street view photo taken in France"


def test_the_identity_of_a_source_changes_with_its_rows(published: Published, tmp_path: Path) -> None:
    before = json.dumps(FolderSource(published.folder, published.csv).identity())
    table = tmp_path / "t.csv"
    table.write_text(published.csv.read_text().replace("Turin", "Torino"))
    assert json.dumps(FolderSource(published.folder, table).identity()) != before
