"""Maps of answers without a network: a picture (PNG) and a page (HTML) that needs nothing but itself."""

import os
from collections.abc import Sequence
from pathlib import Path

from g3_client.map import page, picture
from g3_client.map.scene import Located

__all__ = ["Located", "write"]


def write(path: str | os.PathLike[str], jobs: Sequence[Located], *, title: str = "G3") -> tuple[Path, Path]:
    """Writes FILE.html and FILE.png, whatever of the two suffixes `path` has; returns both paths.

    Raises OSError when they cannot be written.
    """
    path = Path(path)
    stem = path.with_suffix("") if path.suffix.lower() in {".png", ".html", ".htm"} else path
    html = path if path.suffix.lower() in {".html", ".htm"} else stem.with_name(stem.name + ".html")
    png = path if path.suffix.lower() == ".png" else stem.with_name(stem.name + ".png")
    html.write_text(page.render(jobs, title=title), encoding="utf-8")
    picture.render(jobs, title=title).save(png, "PNG", optimize=False)
    return html, png
