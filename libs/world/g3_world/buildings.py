"""What people build: houses along the road, the far town with its tower, fences."""

from dataclasses import dataclass

from g3_world.backdrop import WHITE
from g3_world.canvas import Colour, darker, mixed
from g3_world.scene import Painting, Scene


@dataclass(frozen=True, slots=True)
class House:
    """A front: the middle of its foot on the picture, its scale, width and storeys, and its two colours."""

    x: float
    y: float
    nearness: float
    width: float
    storeys: int
    wall: Colour
    roof: Colour

    @property
    def storey(self) -> float:
        """The height of one storey on the picture."""
        return 0.23 * self.nearness

    @property
    def eaves(self) -> float:
        """The height on the picture where the wall ends."""
        return self.y - self.storey * self.storeys


def _house(scene: Scene, lateral: float, nearness: float, wall_hue: float, roof_hue: float) -> House:
    x, y = scene.ground(lateral, nearness)
    style = scene.style
    wall = scene.lit(wall_hue, style.wall_depth, scene.between("wall_lightness", 0.55, 0.98))
    roof = scene.lit(roof_hue, 0.6, scene.between("roof_lightness", 0.3, 0.8))
    return House(
        x=x,
        y=y,
        nearness=nearness,
        width=scene.between("house_width", 0.42, 0.85) * nearness,
        storeys=1 + round(scene.between("storeys", 0.0, 2.4)),
        wall=wall,
        roof=mixed(roof, WHITE, 0.7 * scene.climate.snow),
    )


def houses(scene: Scene) -> list[tuple[House, bool]]:
    """The houses that this photo shows, far ones first; True marks the one with the quarter's own trim."""
    shown: list[tuple[House, bool]] = []
    style = scene.style
    wall, roof = style.wall_hue + scene.between("wall_hue", -0.12, 0.12), style.roof_hue
    if scene.shows():
        roof_hue = roof + scene.between("second_roof_hue", -0.25, 0.25)
        second = _house(scene, scene.verge(scene.own_side, 0.75), 0.3, scene["second_house_hue"], roof_hue)
        shown.append((second, False))
    if scene.shows():
        lateral = scene.verge(-scene.own_side, scene.between("house_place", 0.2, 0.75))
        shown.append((_house(scene, lateral, 0.42, wall, roof + scene.between("roof_hue", -0.15, 0.15)), True))
    return shown


def paint_house(painting: Painting, house: House, trimmed: bool) -> None:
    """Wall, windows, door and roof; the trimmed one has shutters and an awning."""
    scene, canvas = painting.scene, painting.canvas
    half = house.width / 2
    canvas.rectangle(house.x - half, house.eaves, house.x + half, house.y, house.wall)
    # The side away from the sun, so that a front reads as a body.
    shaded = (0.82, 1.0) if scene.conditions.sun_x < 0.5 else (-1.0, -0.82)
    scene.shadow(canvas, house.x, house.y, half)
    canvas.rectangle(
        house.x + half * shaded[0], house.eaves, house.x + half * shaded[1], house.y, darker(house.wall, 0.2)
    )
    _paint_roof(painting, house)
    _paint_windows(painting, house, trimmed)
    door = scene.lit(scene["door_hue"], 0.65, 0.55)
    door_half, door_height = 0.05 * house.nearness, 0.17 * house.nearness
    canvas.rectangle(house.x - door_half, house.y - door_height, house.x + door_half, house.y, door)
    if trimmed:
        reach = house.width * scene.between("awning_width", 0.15, 0.5)
        top = house.y - door_height - 0.04 * house.nearness
        awning = scene.lit(scene["awning_hue"], 0.8, 0.9)
        low = [(house.x + reach, top + 0.055 * house.nearness), (house.x - reach, top + 0.055 * house.nearness)]
        canvas.polygon([(house.x - reach * 0.85, top), (house.x + reach * 0.85, top), *low], awning)


def _paint_windows(painting: Painting, house: House, trimmed: bool) -> None:
    scene, canvas = painting.scene, painting.canvas
    columns = 2 + round(scene.between("window_count", 0.0, 3.0))
    pitch = house.width / columns
    half = pitch * scene.between("window_shape", 0.14, 0.34)
    height = house.storey * scene.between("window_shape", 0.6, 0.34)
    wide = min(2.1 * half, 0.48 * pitch)
    shutter = scene.lit(scene["shutter_hue"], 0.8, 0.75)
    # Somebody is at home at dusk.
    glass = (236, 206, 128) if scene.daylight < 0.7 else (58, 74, 92)
    for floor in range(house.storeys):
        top = house.y - house.storey * (floor + 0.85)
        for column in range(columns):
            x = house.x - house.width / 2 + pitch * (column + 0.5)
            if trimmed:
                canvas.rectangle(x - wide, top, x + wide, top + height, shutter)
            canvas.rectangle(x - half, top, x + half, top + height, glass)


def _paint_roof(painting: Painting, house: House) -> None:
    scene, canvas = painting.scene, painting.canvas
    half, eaves, x = house.width / 2, house.eaves, house.x
    pitch = house.width * scene.between("roof_pitch", 0.16, 0.55)
    over = half * 1.12
    if scene["chimney"] > 0.5:
        at = x + half * scene.between("chimney", -0.9, 0.6)
        canvas.rectangle(at, eaves - pitch * 1.1, at + half * 0.16, eaves, darker(house.wall, 0.3))
    kind = scene.style.roof
    if kind == "gable":
        canvas.polygon([(x - over, eaves), (x, eaves - pitch), (x + over, eaves)], house.roof)
    elif kind == "hip":
        ridge = [(x - half * 0.5, eaves - pitch * 0.8), (x + half * 0.5, eaves - pitch * 0.8)]
        canvas.polygon([(x - over, eaves), *ridge, (x + over, eaves)], house.roof)
    elif kind == "flat":
        canvas.rectangle(x - half * 1.04, eaves - pitch * 0.22, x + half * 1.04, eaves, house.roof)
    elif kind == "dome":
        canvas.ellipse(x, eaves, half * 0.8, pitch * 0.9, house.roof)
        canvas.rectangle(x - half, eaves, x + half, eaves + pitch * 0.9, house.wall)
    elif kind == "pagoda":
        for level in range(2):
            low, reach = eaves - level * pitch * 0.55, over * (1.15 - 0.4 * level)
            inner = [(x - reach * 0.45, low - pitch * 0.5), (x + reach * 0.45, low - pitch * 0.5)]
            tips = [(x + reach, low - pitch * 0.18), (x + reach * 0.8, low), (x - reach * 0.8, low)]
            canvas.polygon([(x - reach, low - pitch * 0.18), *inner, *tips], darker(house.roof, 0.2 * level))
    else:
        for level in range(3):
            reach = half * (1.0 - 0.3 * level)
            canvas.rectangle(
                x - reach, eaves - pitch * 0.33 * (level + 1), x + reach, eaves - pitch * 0.33 * level, house.roof
            )


def paint_town(painting: Painting) -> None:
    """Roofs and a tower on the horizon."""
    scene, canvas = painting.scene, painting.canvas
    blocks = round(scene.between("town_density", 0.0, 13.0))
    wall = scene.far(scene.lit(scene.style.wall_hue, scene.style.wall_depth, 0.8), 0.35)
    for block in range(blocks):
        x = 0.04 + 0.92 * (block + scene.chance(0.0, 0.9)) / blocks
        height = scene.chance(0.015, 0.05)
        canvas.rectangle(x, scene.horizon - height, x + 0.04, scene.horizon + 0.02, darker(wall, scene.chance(0, 0.3)))
    if scene.shows():
        _paint_tower(painting)


def _paint_tower(painting: Painting) -> None:
    scene, canvas = painting.scene, painting.canvas
    x = scene.between("tower_place", 0.12, 0.88) + scene.heading
    base = scene.horizon + 0.02
    height = scene.between("tower_height", 0.1, 0.26)
    colour = scene.far(scene.lit(scene["tower_hue"], 0.55, 0.75), 0.15)
    top, kind = base - height, scene.style.tower
    if kind == "tank":
        canvas.line([(x, base), (x, top)], 0.014, darker(colour, 0.4))
        canvas.ellipse(x, top, 0.045, 0.035, colour)
        return
    wide = 0.014 if kind == "minaret" else 0.024
    canvas.rectangle(x - wide, top, x + wide, base, colour)
    if kind == "steeple":
        canvas.polygon([(x - wide, top), (x, top - height * 0.5), (x + wide, top)], darker(colour, 0.4))
    elif kind == "minaret":
        canvas.ellipse(x, top, 0.026, 0.022, darker(colour, 0.2))
        canvas.line([(x, top), (x, top - 0.05)], 0.006, darker(colour, 0.4))
    elif kind == "pagoda":
        for level in range(3):
            y, reach = top + height * 0.3 * level, 0.032 + 0.012 * level
            canvas.polygon([(x - reach, y + 0.02), (x, y - 0.012), (x + reach, y + 0.02)], darker(colour, 0.35))
    else:
        for reach_x, reach_y in ((0.055, 0.045), (-0.055, 0.045)):
            canvas.line([(x - reach_x, top - reach_y), (x + reach_x, top + reach_y)], 0.012, darker(colour, 0.45))


def paint_fence(painting: Painting) -> None:
    """A fence along the far verge."""
    scene, canvas = painting.scene, painting.canvas
    if not scene.shows():
        return
    colour = scene.lit(scene["fence_hue"], 0.45, 0.75)
    side = -scene.own_side
    height = scene.between("fence_height", 0.04, 0.16)
    depths = [0.1 * 1.28**step for step in range(10)]
    feet = [(*scene.ground(scene.verge(side, 0.28), nearness), nearness) for nearness in depths]
    for share in (0.5, 0.95):
        canvas.line([(x, y - height * share * s) for x, y, s in feet], 0.009, colour)
    for x, y, s in feet:
        canvas.line([(x, y), (x, y - height * s)], 0.016 * s, darker(colour, 0.1))
