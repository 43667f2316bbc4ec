"""A synthetic data set in the format of MP16-Pro: `MP16_Pro_places365.csv` and tar archives of JPEGs.

An id is `ab/cd/name.jpg`; the archive's member is `ab/cd/ab_cd_name.jpg`. As in the original, cells are empty, some
rows have no country, and some photos are the placeholder of 5,120 bytes or less.
"""

import io
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path

from g3_geography import Gazetteer
from g3_kit.errors import Rejected

from g3_world import jpeg, published
from g3_world.plan import Plan, degrees, place_names, replacing
from g3_world.sampling import Spot, spots
from g3_world.shards import rendered
from g3_world.world import World

TABLE = "MP16_Pro_places365.csv"
COLUMNS = ("IMG_ID", "LAT", "LON", "neighbourhood", "city", "county", "state", "region", "country", "continent")
ARCHIVE_ROWS = 2000

_PLACEHOLDERS, _NO_COUNTRY, _NO_CITY, _NO_STATE = 0.02, 0.01, 0.06, 0.03
_NOTES = (
    "MP16_Pro_places365.csv: IMG_ID ab/cd/name.jpg is the member ab/cd/ab_cd_name.jpg of the archive.",
    "Names come from GeoNames (CC BY 4.0). neighbourhood is the nearest named place where that is not the city;",
    "region and continent are always empty, county where GeoNames has none; as in the original some cities, states",
    "and countries are empty (6, 3 and 1 in a hundred) and 2 in a hundred photos are one placeholder of at most",
    "5,120 bytes. A photo that would be as small is written at a higher JPEG quality.",
)


def write_mp16_pro(
    plan: Plan,
    folder: Path,
    *,
    jobs: int = 1,
    progress: Callable[[int], None] = lambda done: None,
    archive_rows: int = ARCHIVE_ROWS,
    one_archive: bool = True,
) -> Path:
    """Renders `plan` into `folder` and gives the table's path, which appears last.

    Parts of `archive_rows` photos are written by `jobs` processes, each whole or not at all; a stopped run goes on.
    At the end they are joined to `mp-16-images.tar`, as the original has it, unless `one_archive` is False: then
    they stay as `mp-16-images-00000.tar`, ….
    Raises `Rejected` for an impossible plan, `Conflict` when the folder holds another data set.
    """
    published.check(plan)
    if jobs < 1 or archive_rows < 1:
        raise Rejected("neither jobs nor the rows of an archive may be less than 1")
    extra = {"archive_rows": archive_rows, "one_archive": one_archive}
    published.begin(plan, folder, "MP16-Pro", _NOTES, dict(extra))
    if (folder / TABLE).exists():
        progress(plan.count)
        return folder / TABLE
    taken = spots(plan.count, plan.seed, plan.cities)
    whole = folder / "mp-16-images.tar"
    if one_archive and whole.exists():
        progress(plan.count)
    else:
        parts = [folder / f"mp-16-images-{at:05d}.tar" for at in range(-(-plan.count // archive_rows))]
        starts = range(0, plan.count, archive_rows)
        shards = [(plan, part, at, taken[at : at + archive_rows]) for part, at in zip(parts, starts, strict=True)]
        for done in rendered(_render, shards, jobs):
            progress(done)
        if one_archive:
            _join(parts, whole)
    if one_archive:
        for part in folder.glob("mp-16-images-*.tar"):
            part.unlink()
    return published.write_table(folder / TABLE, COLUMNS, _rows(plan, taken))


def img_id(plan: Plan, index: int) -> str:
    """The id of row `index`: two folders of the name's checksum, then digits."""
    digits = published.hexadecimal(plan, index, 4)
    return f"{digits[:2]}/{digits[2:]}/{published.number(plan, index)}.jpg"


def member_name(id_: str) -> str:
    """Where the photo lies in the archive: the id's folders, then the id with underscores for slashes."""
    first, second, _ = id_.split("/")
    return f"{first}/{second}/{id_.replace('/', '_')}"


def _photo(plan: Plan, world: World, index: int, spot: Spot) -> bytes:
    if published.share(plan, index, "placeholder") < _PLACEHOLDERS:
        return published.placeholder()
    pixels = plan.pixels(world, index, spot.coordinates)
    for quality in range(jpeg.quality_of(plan.photo_seed(index)), 101, 5):
        data = jpeg.encoded(pixels, quality)
        if len(data) > published.PLACEHOLDER_BYTES:
            return data
    # Noise-free pictures of 192 pixels are several times as large at quality 95 and more.
    raise AssertionError(f"photo {index} takes {published.PLACEHOLDER_BYTES} bytes or less at every quality")


def _render(shard: tuple[Plan, Path, int, list[Spot]]) -> int:
    plan, path, start, taken = shard
    if not path.exists():
        world = World(plan.world)
        with replacing(path) as part, tarfile.open(part, "w", format=tarfile.USTAR_FORMAT) as archive:
            for index, spot in enumerate(taken, start):
                data = _photo(plan, world, index, spot)
                member = tarfile.TarInfo(member_name(img_id(plan, index)))
                member.size = len(data)
                archive.addfile(member, io.BytesIO(data))
    return len(taken)


def _join(parts: list[Path], whole: Path) -> None:
    with replacing(whole) as joined, tarfile.open(joined, "w", format=tarfile.USTAR_FORMAT) as archive:
        for part in parts:
            with tarfile.open(part) as members:
                for member in members:
                    archive.addfile(member, members.extractfile(member))


def _rows(plan: Plan, taken: list[Spot]) -> Iterator[tuple[str, ...]]:
    counties = Gazetteer().cities().counties
    for index, (spot, names) in enumerate(zip(taken, place_names(taken), strict=True)):
        lost = {name: published.share(plan, index, name) for name in ("city", "state", "country")}
        yield (
            img_id(plan, index),
            *degrees(spot.coordinates),
            names.neighbourhood,
            "" if lost["city"] < _NO_CITY else names.city,
            counties[spot.city_row],
            "" if lost["state"] < _NO_STATE else names.state,
            "",
            "" if lost["country"] < _NO_COUNTRY else names.country,
            "",
        )
