"""What a photo may be before it is looked at."""

from dataclasses import dataclass

from PIL import Image

FORMATS = ("JPEG", "PNG", "WEBP", "TIFF", "BMP")


@dataclass(frozen=True)
class Limits:
    """Bounds on a photo, all checked before its pixels are decoded.

    `max_bytes` of the file; `max_pixels` (width times height) as its header states them; `min_side_px` of the shorter
    side, below which there is nothing to place; `max_aspect_ratio` of long side to short; `max_frames`, more of them
    are an animation or a document; `formats`, Pillow's names of what is taken at all.
    """

    max_bytes: int = 20 * 1024 * 1024
    max_pixels: int = 64_000_000
    min_side_px: int = 16
    max_aspect_ratio: float = 20.0
    max_frames: int = 1
    formats: tuple[str, ...] = FORMATS

    def __post_init__(self) -> None:
        """Raises ValueError for bounds that mean nothing or that Pillow's own bomb warning would undercut."""
        for name in ("max_bytes", "max_pixels", "min_side_px", "max_frames"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1")
        if self.max_aspect_ratio < 1:
            raise ValueError("max_aspect_ratio must be at least 1")
        if Image.MAX_IMAGE_PIXELS is not None and self.max_pixels > Image.MAX_IMAGE_PIXELS:
            raise ValueError(f"max_pixels must be at most {Image.MAX_IMAGE_PIXELS}, where Pillow refuses by itself")
        if not self.formats:
            raise ValueError("formats must name at least one format")
