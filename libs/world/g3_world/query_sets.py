"""Synthetic query sets in the formats of IM2GPS3K and YFCC4K: one table, JPEG files beside it.

IM2GPS3K's names contain `@`, and nearly all its files carry the true coordinates in a JPEG comment segment: so do
these, and whoever strips metadata can be tested. A few of YFCC4K's photos are one identical picture that says they
are gone.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from g3_kit.errors import Rejected

from g3_world import published
from g3_world.plan import Plan, degrees, replacing
from g3_world.sampling import Spot, spots
from g3_world.shards import rendered
from g3_world.world import ATTRIBUTE_NAMES, World

COLUMNS = (
    "IMG_ID", "AUTHOR", "LAT", "LON", "S3_Label", "S16_Label", "S365_Label", "Prob_indoor", "Prob_natural", "Prob_urban"
)  # fmt: skip
_SHARD = 100
_SCENES = (
    "Prob_urban is how densely the invented place is built, Prob_natural the rest, Prob_indoor 0; S3_Label is 1 for",
    "natural and 2 for urban. S16_Label and S365_Label are empty: nobody has classified these pictures.",
)


@dataclass(frozen=True, slots=True)
class QueryFormat:
    """What one published query set looks like.

    `count` is the original's; `commented` the share of files with coordinates in a comment; `gone` the share that is
    the placeholder; `notes` go into the folder's README.
    """

    name: str
    table: str
    count: int
    commented: float
    gone: float
    notes: tuple[str, ...]

    def img_id(self, plan: Plan, index: int, spot: Spot) -> str:
        """The file's name: Flickr's with the author in it for IM2GPS3K, a checksum for YFCC4K."""
        if self.commented:
            secret = published.hexadecimal(plan, index, 10)
            return (
                f"{published.number(plan, index)}_{secret}_{index % 90 + 10}_{published.flickr_author(plan, spot)}.jpg"
            )
        return f"{published.hexadecimal(plan, index, 32)}.jpg"


IM2GPS3K = QueryFormat(
    "IM2GPS3K",
    "im2gps3k_places365.csv",
    2997,
    commented=0.98,
    gone=0.0,
    notes=(
        "98 in a hundred files carry their true coordinates in a JPEG comment segment, as in the original.",
        *_SCENES,
    ),
)
YFCC4K = QueryFormat(
    "YFCC4K",
    "yfcc4k_places365.csv",
    4536,
    commented=0.0,
    gone=168 / 4536,
    notes=("Photos that are gone are one identical picture (in the original 168 of 4,536).", *_SCENES),
)


def write_queries(
    kind: QueryFormat,
    plan: Plan,
    folder: Path,
    *,
    jobs: int = 1,
    progress: Callable[[int], None] = lambda done: None,
) -> Path:
    """Renders what is missing in `folder` and gives the table's path, which appears last.

    Authors are never those of another seed. Raises `Rejected` for an impossible plan, `Conflict` when the folder
    holds another data set.
    """
    published.check(plan)
    if jobs < 1:
        raise Rejected("jobs must be at least 1", field="jobs")
    published.begin(plan, folder, kind.name, kind.notes, {})
    taken = spots(plan.count, plan.seed, plan.cities)
    shards = [(kind, plan, folder, at, taken[at : at + _SHARD]) for at in range(0, plan.count, _SHARD)]
    for done in rendered(_render, shards, jobs):
        progress(done)
    return published.write_table(folder / kind.table, COLUMNS, _rows(kind, plan, taken))


def _render(shard: tuple[QueryFormat, Plan, Path, int, list[Spot]]) -> int:
    kind, plan, folder, start, taken = shard
    world = World(plan.world)
    for index, spot in enumerate(taken, start):
        path = folder / kind.img_id(plan, index, spot)
        if not path.exists():
            with replacing(path) as part:
                part.write_bytes(_photo(kind, plan, world, index, spot))
    return len(taken)


def _photo(kind: QueryFormat, plan: Plan, world: World, index: int, spot: Spot) -> bytes:
    if published.share(plan, index, "gone") < kind.gone:
        return published.placeholder()
    comment = b""
    if published.share(plan, index, "comment") < kind.commented:
        latitude, longitude = degrees(spot.coordinates)
        comment = f"latitude: {latitude}\nlongitude: {longitude}\n".encode()
    return plan.jpeg(world, index, spot.coordinates, comment)


def _rows(kind: QueryFormat, plan: Plan, taken: list[Spot]) -> Iterator[tuple[object, ...]]:
    world = World(plan.world)
    column = ATTRIBUTE_NAMES.index("town_density")
    built = world.attributes(
        [spot.coordinates.latitude for spot in taken], [spot.coordinates.longitude for spot in taken]
    )[:, column]
    for index, (spot, urban) in enumerate(zip(taken, built.tolist(), strict=True)):
        author = published.flickr_author(plan, spot)
        label = 2 if urban >= 0.5 else 1
        scores = ("0.0000", f"{1.0 - urban:.4f}", f"{urban:.4f}")
        yield (kind.img_id(plan, index, spot), author, *degrees(spot.coordinates), label, "", "", *scores)
