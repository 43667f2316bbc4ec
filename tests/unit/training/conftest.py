"""A tiny model and a few photos on disk."""

import csv
import io
import tarfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from g3_alignment import AlignmentConfiguration, AlignmentModel, GpsConfiguration, initialise
from PIL import Image

from tests.servers.training_runs import TINY_TOWER

HEADINGS = ("IMG_ID", "LAT", "LON", "neighbourhood", "city", "county", "state", "region", "country", "continent")
CITIES = (("Lyon", "ARA", "France"), ("Turin", "Piedmont", "Italy"), ("Porto", "Norte", "Portugal"))


@dataclass(frozen=True)
class Published:
    """The same photos as MP16-Pro publishes them and in a folder."""

    csv: Path
    archives: list[Path]
    folder: Path
    ids: list[str]


@pytest.fixture(scope="session")
def model() -> AlignmentModel:
    gps = GpsConfiguration(sigmas=(1.0, 256.0), rff_features=8, hidden=16, width=16)
    return initialise(AlignmentConfiguration.of_tower(TINY_TOWER, gps), seed=1)


@pytest.fixture(scope="session")
def published(tmp_path_factory: pytest.TempPathFactory) -> Published:
    """24 photos in two archives, and beside them what is of no use: see the tests."""
    root = tmp_path_factory.mktemp("published")
    rng = np.random.default_rng(5)
    ids, rows, files = [], [], {}
    for number in range(24):
        id_ = f"{number % 3:02x}/{number % 5:02x}/{number:06d}.jpg"
        photo = Image.fromarray(rng.integers(0, 256, (80, 60 + number, 3), dtype=np.uint8))
        held = io.BytesIO()
        photo.save(held, format="JPEG", quality=95)
        city = CITIES[number % 3]
        rows.append(
            (
                id_,
                40 + number / 10,
                5 - number / 10,
                "Old Town" if number % 2 else "",
                city[0],
                "",
                city[1],
                "",
                city[2],
                "",
            )
        )
        files[id_.replace("/", "_")] = held.getvalue()
        ids.append(id_)
    rows.append(("aa/bb/placeholder.jpg", 45, 5, "", "Lyon", "", "ARA", "", "France", ""))
    files["aa_bb_placeholder.jpg"] = b"\xff\xd8" + bytes(5000)
    rows.append(("aa/bb/broken.jpg", 45, 5, "", "Lyon", "", "ARA", "", "France", ""))
    files["aa_bb_broken.jpg"] = b"\xff\xd8\xff\xe0" + bytes(6000)
    rows.append(("aa/bb/sea.jpg", 45, 5, "", "", "", "", "", "", ""))
    rows.append(("aa/bb/gone.jpg", 45, 5, "", "Lyon", "", "ARA", "", "France", ""))
    rows.append((ids[0], 45, 5, "", "Lyon", "", "ARA", "", "France", ""))
    rows.append(("aa/bb/mars.jpg", 145, 5, "", "Lyon", "", "ARA", "", "France", ""))
    table = root / "MP16_Pro_places365.csv"
    with table.open("w", newline="") as file:
        csv.writer(file).writerows([HEADINGS, *rows])
    archives = [root / "mp-16-images-0.tar", root / "mp-16-images-1.tar"]
    for which, archive in enumerate(archives):
        with tarfile.open(archive, "w") as tar:
            # neither in the order of the table nor flat
            for name in sorted(files, reverse=True)[which::2]:
                member = tarfile.TarInfo(f"{name[:2]}/{name[3:5]}/{name}")
                member.size = len(files[name])
                tar.addfile(member, io.BytesIO(files[name]))
    folder = root / "photos"
    for name, data in files.items():
        path = folder / name[:2] / name[3:5] / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return Published(table, archives, folder, ids)
