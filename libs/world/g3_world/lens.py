"""The camera: tilt, blur, white balance, exposure and grain, in fractions of the picture: any size shows them."""

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from g3_world.scene import Painting

_GRAIN_PX = 64


def exposed(painting: Painting) -> NDArray[np.uint8]:
    """The finished photo of a painting: uint8 [size, size, 3]."""
    scene, canvas = painting.scene, painting.canvas
    dice, strength = scene.dice, scene.nuisance
    image = canvas.reduced(scene.conditions.roll)
    softness = 0.7 * float(dice.random()) ** 2 * strength
    if softness > 0.15:
        image = image.filter(ImageFilter.GaussianBlur(softness * canvas.size / 64.0))
    # Blue against red, green against both, and exposure; then contrast around the middle.
    balance, green, exposure, contrast = dice.uniform(-1.0, 1.0, 4) * strength
    gains = np.array([1.0 + 0.035 * balance, 1.0 + 0.02 * green, 1.0 - 0.035 * balance]) * (1.0 + 0.08 * exposure)
    pixels = np.asarray(image, dtype=np.float32) * gains.astype(np.float32)
    pixels = (pixels - 128.0) * np.float32(1.0 + 0.12 * contrast) + 128.0
    grain = dice.standard_normal((_GRAIN_PX, _GRAIN_PX), dtype=np.float32)
    if canvas.size != _GRAIN_PX:
        side = (canvas.size, canvas.size)
        grain = np.asarray(Image.fromarray(grain).resize(side, Image.Resampling.BILINEAR))
    pixels += np.float32(2.5 + 1.5 * strength * float(dice.random())) * grain[..., None]
    finished: NDArray[np.uint8] = np.clip(np.rint(pixels), 0, 255).astype(np.uint8)
    return finished
