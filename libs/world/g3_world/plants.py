"""What grows: trees by climate, bushes, and flowers at the roadside."""

import math

from g3_world.backdrop import WHITE
from g3_world.canvas import Colour, darker, mixed
from g3_world.scene import Painting, Scene


def _leaf(scene: Scene) -> Colour:
    green = scene.lit(scene.between("leaf_hue", 0.13, 0.42), 0.65, 0.46)
    turned = (
        green
        if scene.climate.temperature < 0.5
        else mixed(green, scene.lit(0.06, 0.8, 0.7), 0.55 * scene.conditions.autumn)
    )
    return mixed(turned, WHITE, 0.45 * scene.climate.snow)


def paint_tree(painting: Painting, lateral: float, nearness: float) -> None:
    """One tree: conifer where it is cold, palm where hot, cactus where dry, broadleaf between."""
    scene, canvas = painting.scene, painting.canvas
    x, y = scene.ground(lateral, nearness)
    height = scene.between("tree_height", 0.28, 0.75) * nearness * scene.chance(0.85, 1.15)
    trunk = scene.far(scene.lit(scene.between("trunk_hue", 0.0, 0.16), 0.45, scene.between("trunk_hue", 0.3, 0.7)), 0.1)
    leaf = scene.far(_leaf(scene), 0.3 * (1.0 - nearness))
    climate = scene.climate
    wide = 0.055 * nearness
    scene.shadow(canvas, x, y, height * 0.3)
    canvas.rectangle(x - wide / 2, y - height * 0.7, x + wide / 2, y, trunk)
    if climate.aridity > 0.55 and climate.temperature > 0.5:
        _cactus(painting, x, y, height, leaf)
    elif climate.temperature > 0.78:
        _palm(painting, x, y - height * 0.7, height, leaf)
    elif climate.temperature < 0.5:
        spread = height * scene.between("crown_shape", 0.16, 0.34)
        for level in range(3):
            top, base = y - height * (1.0 - 0.2 * level), y - height * (0.55 - 0.2 * level)
            grown = spread * (0.55 + 0.25 * level)
            canvas.polygon([(x, top), (x + grown, base), (x - grown, base)], darker(leaf, 0.12 + 0.06 * level))
    else:
        lit_leaf = mixed(leaf, WHITE, 0.12)
        wide_crown = height * scene.between("crown_shape", 0.16, 0.42)
        canvas.ellipse(x, y - height * 0.72, wide_crown, height * 0.34, leaf)
        canvas.ellipse(x - wide_crown * 0.3, y - height * 0.8, wide_crown * 0.5, height * 0.18, lit_leaf)


def _palm(painting: Painting, x: float, y: float, height: float, leaf: Colour) -> None:
    scene, canvas = painting.scene, painting.canvas
    reach = height * scene.between("crown_shape", 0.25, 0.5)
    for step in range(7):
        angle = math.radians(-160.0 + 140.0 * step / 6.0)
        tip = (x + reach * math.cos(angle), y + reach * 0.6 * math.sin(angle) + reach * 0.25)
        bow = (x + reach * 0.5 * math.cos(angle), y + reach * 0.75 * math.sin(angle))
        canvas.line([(x, y), bow, tip], height * 0.06, leaf)


def _cactus(painting: Painting, x: float, y: float, height: float, leaf: Colour) -> None:
    scene, canvas = painting.scene, painting.canvas
    tall, thick = height * 0.7, height * 0.12
    canvas.line([(x, y), (x, y - tall)], thick, leaf)
    arm = height * scene.between("crown_shape", 0.14, 0.28)
    for side, level in ((-1, 0.35), (1, 0.5)):
        bend = y - tall * level
        canvas.line([(x, bend), (x + side * arm, bend), (x + side * arm, bend - tall * 0.3)], thick * 0.7, leaf)


def tree_places(scene: Scene) -> list[tuple[float, float]]:
    """Where trees stand, (lateral, nearness): a row on each side, closer and more where more grows."""
    count = round(scene.between("vegetation", 0.0, 6.0) * (1.0 - 0.6 * scene.climate.aridity))
    ratio = scene.between("tree_spacing", 0.55, 0.85)
    places = []
    for side in (-1, 1):
        nearness = 0.5 + scene.chance(-0.04, 0.04)
        for _ in range(count):
            if scene.shows():
                places.append(
                    (scene.verge(side, (0.2 if side == scene.own_side else 0.35) + scene.chance(0.0, 0.4)), nearness)
                )
            nearness *= ratio
    return places


def paint_bushes(painting: Painting) -> None:
    """Low growth along both verges."""
    scene, canvas = painting.scene, painting.canvas
    count = round(scene.between("bush_density", 0.0, 9.0))
    colour = mixed(scene.lit(scene.between("bush_hue", 0.05, 0.5), 0.6, 0.5), WHITE, 0.5 * scene.climate.snow)
    for step in range(count):
        side, nearness = (-1, 1)[step % 2], 0.25 + 0.65 * (step + scene.chance(0.0, 0.8)) / 9.0
        x, y = scene.ground(scene.verge(side, 0.2 + scene.chance(0.0, 0.15)), nearness)
        canvas.ellipse(x, y - 0.03 * nearness, 0.085 * nearness, 0.055 * nearness, colour)


def paint_flowers(painting: Painting) -> None:
    """Flowers in the near grass on the driver's side."""
    scene, canvas = painting.scene, painting.canvas
    colour = scene.lit(scene["flower_hue"], 0.75, 0.95)
    for _ in range(round(scene.between("flower_density", 0.0, 26.0) * (1.0 - scene.climate.snow))):
        side = -1 if scene.chance() < 0.5 else 1
        x, y = scene.ground(scene.verge(side, 0.1 + scene.chance(0.0, 0.5)), scene.chance(0.3, 1.0))
        canvas.ellipse(x, y, 0.009, 0.009, colour)
