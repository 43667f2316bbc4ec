import math

import numpy as np
import pytest
from g3_geography import clusters, haversine_km, medoid
from g3_kit.errors import Rejected
from hypothesis import given, settings
from hypothesis import strategies as st

points = st.lists(st.tuples(st.floats(-90, 90), st.floats(-180, 180)), min_size=1, max_size=25)
# Many points near each other, so that chains form.
close_points = st.lists(st.tuples(st.floats(-2, 2), st.floats(178, 182)), min_size=1, max_size=25)


def by_definition(latitude: list[float], longitude: list[float], radius_km: float) -> set[frozenset[int]]:
    """Grow each cluster by asking every member for its neighbours: slow and plain."""
    left, found = set(range(len(latitude))), set()
    while left:
        frontier = {left.pop()}
        group = set(frontier)
        while frontier:
            one = frontier.pop()
            near = {
                other
                for other in left
                if haversine_km(latitude[one], longitude[one], latitude[other], longitude[other]) <= radius_km
            }
            left -= near
            group |= near
            frontier |= near
        found.add(frozenset(group))
    return found


@settings(deadline=None)
@given(points | close_points, st.sampled_from([1.0, 25.0, 77.7, 200.0, 2500.0, 30_000.0]))
def test_clusters_are_the_connected_components(where: list[tuple[float, float]], radius_km: float) -> None:
    latitude, longitude = [p[0] for p in where], [p[1] for p in where]
    groups = clusters(latitude, longitude, radius_km)
    assert {frozenset(group) for group in groups} == by_definition(latitude, longitude, radius_km)
    assert sorted(index for group in groups for index in group) == list(range(len(where)))
    assert groups == sorted(groups, key=lambda group: (-len(group), group[0]))
    assert all(group == sorted(group) for group in groups)


def test_a_chain_is_one_cluster() -> None:
    assert clusters([0, 0, 0, 10], [0, 0.2, 0.4, 0], radius_km=25) == [[0, 1, 2], [3]]


def test_the_antimeridian_does_not_cut() -> None:
    assert clusters([0, 0, 0], [179.95, -179.95, 0], radius_km=25) == [[0, 1], [2]]
    assert clusters([5, 5], [180, -180], radius_km=0) == [[0, 1]]


def test_longitude_means_nothing_at_the_pole() -> None:
    assert clusters([89.99, 89.99, 89.99, -90], [0, 120, -120, 0], radius_km=5) == [[0, 1, 2], [3]]


def test_no_points_no_clusters() -> None:
    assert clusters([], [], radius_km=1) == []


@settings(deadline=None)
@given(points)
def test_medoid_has_the_least_sum_of_distances(where: list[tuple[float, float]]) -> None:
    latitude, longitude = np.array(where).T
    sums = [float(haversine_km(a, b, latitude, longitude).sum()) for a, b in where]
    assert sums[medoid(latitude, longitude)] == pytest.approx(min(sums), rel=1e-9, abs=1e-6)


def test_medoid_across_the_seam_and_by_weight() -> None:
    longitude = [179.0, -180.0, -179.0]
    assert medoid([0, 0, 0], longitude) == 1
    assert medoid([0, 0, 0], longitude, weights=[1, 1, 10]) == 2
    assert medoid([7, 7], [8, 8]) == 0


def test_medoid_of_more_points_than_one_block() -> None:
    latitude = np.concatenate([np.full(1500, 10.0), [0.0], np.full(1499, -10.0)])
    assert medoid(latitude, np.zeros(3000), weights=np.r_[np.zeros(1500), 1.0, np.zeros(1499)]) == 1500


@pytest.mark.parametrize("radius_km", [-1, math.nan])
def test_bad_radius_is_rejected(radius_km: float) -> None:
    with pytest.raises(Rejected, match="radius_km"):
        clusters([0], [0], radius_km)


def test_bad_points_and_weights_are_rejected() -> None:
    with pytest.raises(Rejected):
        clusters([0, math.nan], [0, 0], 1)
    with pytest.raises(Rejected, match="one length"):
        clusters(0, 0, 1)
    with pytest.raises(Rejected, match="at least one"):
        medoid([], [])
    for weights in ([1.0], [1, -1], [1, math.nan]):
        with pytest.raises(Rejected, match="weights"):
            medoid([0, 1], [0, 1], weights)
