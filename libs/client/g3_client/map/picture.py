"""The map as a picture: the world on top, below it a card for each photo with the surroundings of its answer."""

import io
from collections.abc import Iterator, Sequence

from PIL import Image, ImageDraw, ImageFont

from g3_client.map import land
from g3_client.map.frame import Frame, around, east, ring, world
from g3_client.map.scene import COLOURS, LEGEND, Located, Marker, facts, markers

WIDTH = 1600
HEADER = 56
CARD_HEIGHT = 360
INSET_WIDTH = 420
MAX_CARDS = 24
FINE = 2  # drawn in twice the pixels and reduced, for smooth edges

SEA, LAND, BORDER, GRID, INK, PAPER, FAINT = "#dce7ee", "#f3eee1", "#b9ae9a", "#c5d3dc", "#20262d", "#ffffff", "#5d6670"
RADII = {"answer": 9, "truth": 8, "reference": 4, "place": 12}
CANDIDATE_RADIUS = 6

WORLD = world(WIDTH)
"""The frame of the upper map; its top left corner is at (0, HEADER)."""

Font = ImageFont.FreeTypeFont | ImageFont.ImageFont


def render(jobs: Sequence[Located], *, title: str = "G3") -> Image.Image:
    """The picture, 1600 pixels wide, RGB."""
    cards = jobs[:MAX_CARDS]
    rows = (len(cards) + 1) // 2
    more = 30 if len(jobs) > len(cards) else 0
    image = Image.new("RGB", (WIDTH, HEADER + WORLD.height + rows * CARD_HEIGHT + more), PAPER)
    draw = ImageDraw.Draw(image)
    _header(draw, title)
    image.paste(_map(WORLD, jobs, details=len(jobs) == 1), (0, HEADER))
    for number, located in enumerate(cards):
        left, top = number % 2 * WIDTH // 2, HEADER + WORLD.height + number // 2 * CARD_HEIGHT
        _card(image, located, left, top)
    if more:
        draw.text((16, image.height - 24), f"and {len(jobs) - len(cards)} more: see the page", FAINT, _font(15))
    return image


def inset_frame(located: Located) -> Frame | None:
    """The view of a photo's card; None without an answer. Places too far off to be shown are left to the world map."""
    result = located.job.result
    if result is None:
        return None
    center = result.coordinates
    near = [c.coordinates for c in result.candidates[:5]] + [m.reference.coordinates for m in result.references[:5]]
    near = [p for p in near if abs(p.latitude - center.latitude) < 12 and abs(east(center.longitude, p.longitude)) < 18]
    truth = [located.truth] if located.truth is not None else []
    return around(center, near + truth, INSET_WIDTH, CARD_HEIGHT - 24)


def _header(draw: ImageDraw.ImageDraw, title: str) -> None:
    draw.text((16, 14), _printable(title), INK, _font(24))
    x = WIDTH - 16
    for kind, words in reversed(LEGEND):
        x -= int(draw.textlength(words, _font(15)))
        draw.text((x, 20), words, INK, _font(15))
        _symbol(draw, kind, (x - 16, 29), 1)
        x -= 44


def _card(image: Image.Image, located: Located, left: int, top: int) -> None:
    draw = ImageDraw.Draw(image)
    x, y = left + 12, top + 12
    frame = inset_frame(located)
    if frame is not None:
        image.paste(_map(frame, [located], details=True), (x, y))
        draw.rectangle((x, y, x + frame.width - 1, y + frame.height - 1), outline=BORDER)
        x += frame.width + 14
    width = left + WIDTH // 2 - 12 - x
    draw.text((x, y), _fitted(draw, located.title, width, _font(18)), INK, _font(18))
    y += 30
    for name, value in facts(located):
        draw.text((x, y), _fitted(draw, f"{name}: {value}", width, _font(14)), FAINT, _font(14))
        y += 20
    if located.thumbnail is not None:
        with Image.open(io.BytesIO(located.thumbnail)) as thumbnail:
            small = thumbnail.convert("RGB")
        small.thumbnail((width, top + CARD_HEIGHT - 12 - y - 6))
        image.paste(small, (x, y + 6))


def _map(frame: Frame, jobs: Sequence[Located], *, details: bool) -> Image.Image:
    fine = frame.times(FINE)
    image = Image.new("RGB", (fine.width, fine.height), SEA)
    draw = ImageDraw.Draw(image)
    _land(draw, fine)
    _grid(draw, fine)
    for located in jobs:
        _way(draw, fine, located)
        if details:
            _circle(draw, fine, located)
    for marker in _shown(jobs, details=details):
        x, y = fine.of(marker.coordinates)
        if fine.inside(x, y):
            _symbol(draw, marker.kind, (x, y), FINE)
    return image.resize((frame.width, frame.height), Image.Resampling.LANCZOS)


def _shown(jobs: Sequence[Located], *, details: bool) -> Iterator[Marker]:
    every = [marker for located in jobs for marker in markers(located)]
    yield from (m for m in every if m.kind not in {"answer", "truth"} and details)
    yield from (m for m in every if m.kind in {"answer", "truth"})


def _land(draw: ImageDraw.ImageDraw, frame: Frame) -> None:
    for rings in land.load().polygons:
        for turn in _turns(frame, rings[0]):
            for number, shore in enumerate(rings):
                draw.polygon([frame.at(x + turn, y) for x, y in shore.points], SEA if number else LAND, BORDER)
    for border in land.load().borders:
        for turn in _turns(frame, border):
            draw.line([frame.at(x + turn, y) for x, y in border.points], BORDER, FINE)


def _turns(frame: Frame, line: land.Line) -> Iterator[int]:
    (west, far_east), (left, right) = line.span, frame.longitudes
    yield from (turn for turn in (-720, -360, 0, 360, 720) if west + turn <= right and far_east + turn >= left)


def _grid(draw: ImageDraw.ImageDraw, frame: Frame) -> None:
    (left, right), (south, north) = frame.longitudes, frame.latitudes
    for span, along in ((right - left, True), (north - south, False)):
        step = next((step for step in (0.5, 1, 2, 5, 10, 15) if span / step <= 8), 30)
        first = int((left if along else south) // step) + 1
        for at in (number * step for number in range(first, first + int(span / step) + 1)):
            ends = ((at, south), (at, north)) if along else ((left, at), (right, at))
            draw.line([frame.at(*end) for end in ends], GRID, 1)


def _way(draw: ImageDraw.ImageDraw, frame: Frame, located: Located) -> None:
    """A line from the answer to the true place, the shorter way round."""
    if located.truth is None or located.job.result is None:
        return
    start, end = located.job.result.coordinates, located.truth
    reach = east(start.longitude, end.longitude)
    for turn in (-360, 0, 360):
        first = frame.longitude + east(frame.longitude, start.longitude) + turn
        draw.line([frame.at(first, start.latitude), frame.at(first + reach, end.latitude)], COLOURS["truth"], FINE)


def _circle(draw: ImageDraw.ImageDraw, frame: Frame, located: Located) -> None:
    """Within it lies the truth, with the stated coverage."""
    result = located.job.result
    if result is None or result.radius_km is None:
        return
    for turn in (-360, 0, 360):
        first = frame.longitude + east(frame.longitude, result.coordinates.longitude) - result.coordinates.longitude
        line = [frame.at(x + first + turn, y) for x, y in ring(result.coordinates, result.radius_km)]
        draw.line(line, COLOURS["answer"], FINE)


def _symbol(draw: ImageDraw.ImageDraw, kind: str, at: tuple[float, float], fine: int) -> None:
    (x, y), colour, edge = at, COLOURS[kind], PAPER
    r = RADII.get(kind, CANDIDATE_RADIUS) * fine
    if kind == "truth":
        draw.polygon([(x, y - r), (x + r, y), (x, y + r), (x - r, y)], colour, edge, fine)
    elif kind == "lmm":
        draw.polygon([(x, y - r * 1.2), (x + r * 1.1, y + r * 0.9), (x - r * 1.1, y + r * 0.9)], colour, edge, fine)
    elif kind == "gallery":
        for slope in (-1, 1):
            draw.line([(x - r, y - r * slope), (x + r, y + r * slope)], colour, 3 * fine)
    elif kind == "place":
        draw.ellipse((x - r, y - r, x + r, y + r), None, colour, fine)
    elif kind == "reference":
        draw.rectangle((x - r, y - r, x + r, y + r), colour, edge, fine)
    else:
        draw.ellipse((x - r, y - r, x + r, y + r), colour, edge, fine * (2 if kind == "answer" else 1))


def _fitted(draw: ImageDraw.ImageDraw, text: str, width: int, font: Font) -> str:
    text = _printable(text)
    while text and draw.textlength(text, font) > width:
        text = text[:-2].rstrip() + "…" if len(text) > 2 else ""
    return text


def _printable(text: str) -> str:
    return "".join(character if character.isprintable() else " " for character in text)[:300]


def _font(size: int) -> Font:
    try:
        return ImageFont.truetype("DejaVuSans.ttf", size)  # knows more scripts than Pillow's own
    except OSError:
        return ImageFont.load_default(size)
