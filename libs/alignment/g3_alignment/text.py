"""The sentence that stands for a place on the text side."""

from g3_kit.errors import Rejected


def place_text(city: str, state: str, country: str) -> str:
    """The reference's sentence; names that are empty are left out. Raises Rejected when all three are."""
    names = [name.strip() for name in (city, state, country) if name.strip()]
    if not names:
        raise Rejected("A place needs at least one of city, state and country.", field="place")
    return f"A street view photo taken in {', '.join(names)}"
