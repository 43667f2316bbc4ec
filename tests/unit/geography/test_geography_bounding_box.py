import math

import numpy as np
import pytest
from g3_geography import BoundingBox, Coordinates
from g3_kit.errors import Rejected
from hypothesis import given, settings
from hypothesis import strategies as st

longitudes = st.floats(-180, 180)
latitudes = st.floats(-90, 90)
boxes = st.builds(
    lambda ns, west, east: BoundingBox(min(ns), west, max(ns), east),
    st.tuples(latitudes, latitudes),
    longitudes,
    longitudes,
)


@settings(deadline=None)
@given(boxes, latitudes, st.floats(-180, 180, exclude_max=True))
def test_containment_is_the_plain_comparison(box: BoundingBox, latitude: float, longitude: float) -> None:
    # The two names of one meridian.
    names = (longitude, 180.0) if longitude == -180.0 else (longitude,)
    if box.west > box.east:
        across = any(name >= box.west or name <= box.east for name in names)
    else:
        across = any(box.west <= name <= box.east for name in names)
    assert (Coordinates(latitude, longitude) in box) == (box.south <= latitude <= box.north and across)


@settings(deadline=None)
@given(boxes)
def test_corners_lie_inside(box: BoundingBox) -> None:
    assert box.contains([box.south, box.south, box.north, box.north], [box.west, box.east] * 2).all()


def test_fiji_crosses_the_antimeridian() -> None:
    fiji = BoundingBox(-21, 176, -12, -178)
    assert fiji.crosses_antimeridian
    assert fiji.width_deg == 6
    inside = fiji.contains([-18, -17, -18, -18, 0], [178, -179.5, 0, 175, 178])
    np.testing.assert_array_equal(inside, [True, True, False, False, False])


def test_the_whole_world_contains_everything() -> None:
    world = BoundingBox(-90, -180, 90, 180)
    assert world.contains(*np.meshgrid(np.linspace(-90, 90, 7), np.linspace(-180, 180, 9))).all()


def test_only_coordinates_can_be_inside() -> None:
    assert (0, 0) not in BoundingBox(-1, -1, 1, 1)


@pytest.mark.parametrize(
    "edges", [(1, 0, 0, 1), (-91, 0, 0, 1), (0, -181, 1, 1), (0, 0, 1, 181), (0, math.nan, 1, 1), (0, 0, math.inf, 1)]
)
def test_bad_boxes_are_rejected(edges: tuple[float, float, float, float]) -> None:
    with pytest.raises(Rejected):
        BoundingBox(*edges)
