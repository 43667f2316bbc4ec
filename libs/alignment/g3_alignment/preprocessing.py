"""From a photo to the image tower's input, bit for bit what open_clip's inference transform gives."""

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from g3_alignment.configuration import Preprocessing

_RESAMPLING = {"bicubic": Image.Resampling.BICUBIC, "bilinear": Image.Resampling.BILINEAR}


class PhotoPreprocessor:
    """Shortest side to size, centre crop, normalise. Holds no mutable state: one serves any number of threads."""

    def __init__(self, preprocessing: Preprocessing) -> None:
        """A table of the 256 values of each channel, float32 [3, 256], replaces arithmetic per pixel."""
        self.preprocessing = preprocessing
        levels = torch.arange(256, dtype=torch.uint8).to(torch.float32).div(255)
        mean = torch.tensor(preprocessing.mean, dtype=torch.float32).view(3, 1)
        std = torch.tensor(preprocessing.std, dtype=torch.float32).view(3, 1)
        self._table: NDArray[np.float32] = ((levels.expand(3, 256) - mean) / std).numpy()

    @property
    def levels(self) -> NDArray[np.float32]:
        """What each of the 256 values of a channel becomes, float32 [3, 256]."""
        return self._table

    def pixels(self, image: Image.Image) -> Tensor:
        """An RGB photo of any size → float32 [3, size, size]."""
        size = self.preprocessing.size
        photo = self._fitted(image if image.mode == "RGB" else image.convert("RGB"))
        left, top = round((photo.width - size) / 2), round((photo.height - size) / 2)
        values = np.asarray(photo.crop((left, top, left + size, top + size)))  # uint8 [size, size, 3]
        result = np.empty((3, size, size), dtype=np.float32)
        for channel in range(3):
            # numpy, not torch: torch would start its own threads under each thread of the decoding pool
            np.take(self._table[channel], values[:, :, channel], out=result[channel])
        return torch.from_numpy(result)

    def _fitted(self, photo: Image.Image) -> Image.Image:
        size = self.preprocessing.size
        short = min(photo.size)
        if short == size:
            return photo
        # the longer side is cut, not rounded, as torchvision does
        scaled = tuple(size if side == short else int(size * side / short) for side in photo.size)
        return photo.resize((scaled[0], scaled[1]), _RESAMPLING[self.preprocessing.interpolation])
