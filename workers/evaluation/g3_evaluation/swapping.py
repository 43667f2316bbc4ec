"""Whether the headings of latitude and longitude stand over each other's columns: all rows are then wrong."""

import numpy as np
from g3_geography import Gazetteer
from g3_kit.errors import Rejected
from numpy.typing import NDArray

# A world of photos whose headings are swapped shows about two rows in five beyond 90°; slips of the pen are rare.
_SHARE, _LEAST = 0.1, 3
# And where every row is possible both ways: photos are taken near places, and swapped ones lie in the oceans.
_FARTHER, _ROWS = 4.0, 20
_ADVICE = "swap the headings of latitude and longitude, or take a mended copy of the table."


def possible_only_swapped(latitude: float, longitude: float) -> bool:
    """Whether a pair of degrees is a place the other way round and none as it is."""
    return 90 < abs(latitude) <= 180 and abs(longitude) <= 90


def require_possible(what: str, swapped: int, rows: int) -> None:
    """Raises Rejected when `swapped` of `rows` are possible only the other way round, more than slips of the pen."""
    if swapped >= max(_LEAST, _SHARE * rows):
        raise Rejected(f"{what} is possible only with its columns swapped in {swapped} rows: {_ADVICE}")


def require_unswapped(what: str, latitudes: NDArray[np.float64], longitudes: NDArray[np.float64]) -> None:
    """Raises Rejected when photos (float64 [n] degrees twice) would lie near places if the two were exchanged.

    An old copy of IM2GPS3K is so. Fewer than twenty rows, or one beyond 90°, say nothing.
    """
    if len(latitudes) < _ROWS or (np.abs(longitudes) > 90).any():
        return
    gazetteer = Gazetteer()
    _, as_given_km = gazetteer.rows_near(latitudes, longitudes)
    _, as_swapped_km = gazetteer.rows_near(longitudes, latitudes)
    given_km, swapped_km = float(np.median(as_given_km)), float(np.median(as_swapped_km))
    if given_km > _FARTHER * max(swapped_km, 5.0):
        raise Rejected(
            f"{what} looks swapped: as it is half of the photos lie more than {given_km:.0f} km from any place, "
            f"the other way round {swapped_km:.0f} km: {_ADVICE}"
        )
