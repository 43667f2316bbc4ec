"""A report as blocks of plain words, written as Markdown or as one HTML page. Words from elsewhere are only words."""

import base64
import html
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from g3_evaluation.report_markdown import table, text

_STYLE = """
body{font:15px/1.45 system-ui,sans-serif;max-width:70rem;margin:2rem auto;padding:0 1rem;color:#222;background:#fff}
table{border-collapse:collapse;margin:.6rem 0 1.2rem;font-variant-numeric:tabular-nums;font-size:13.5px}
th,td{border-bottom:1px solid #ddd;padding:.25rem .6rem;text-align:right;vertical-align:top}
th:first-child,td:first-child{text-align:left}
th{border-bottom:2px solid #999;white-space:nowrap}
figure{display:inline-block;margin:.3rem .6rem .3rem 0;vertical-align:top;max-width:9rem;font-size:12px}
figure.plot{max-width:100%;display:block}
figure img{max-width:100%}
.wide{overflow-x:auto}
""".strip()


@dataclass(frozen=True)
class Heading:
    """A heading; level 1 is the title."""

    words: str
    level: int = 2


@dataclass(frozen=True)
class Paragraph:
    """Words."""

    words: str


@dataclass(frozen=True)
class Points:
    """A list."""

    items: list[str]


@dataclass(frozen=True)
class Table:
    """Headings and rows of words."""

    headings: Sequence[str]
    rows: Sequence[Sequence[str]]


@dataclass(frozen=True)
class Plot:
    """A drawing: `svg` is a whole SVG document, `name` the file that Markdown points to."""

    name: str
    words: str
    svg: str


@dataclass(frozen=True)
class Pictures:
    """Photos in a row: (caption, JPEG in base64 or ""), and the stem of the files that Markdown points to."""

    stem: str
    pictures: list[tuple[str, str]] = field(default_factory=list)


Block = Heading | Paragraph | Points | Table | Plot | Pictures


def markdown(blocks: Sequence[Block]) -> str:
    """The report as Markdown; plots and pictures are files beside it (`files`)."""
    lines: list[str] = []
    for block in blocks:
        lines += [*_markdown(block), ""]
    return "\n".join(lines)


def _markdown(block: Block) -> Iterator[str]:
    match block:
        case Heading(words, level):
            yield f"{'#' * level} {text(words)}"
        case Paragraph(words):
            yield text(words)
        case Points(items):
            yield from (f"- {text(item)}" for item in items)
        case Table(headings, rows):
            yield from table([text(cell) for cell in headings], [[text(cell) for cell in row] for row in rows])
        case Plot(name, words, _):
            yield f"![{text(words)}]({name}.svg)"
        case Pictures(stem, pictures):
            shown = [f"![]({stem}-{at}.jpg)" if jpeg else "(no picture)" for at, (_, jpeg) in enumerate(pictures)]
            yield from table(shown, [[text(caption) for caption, _ in pictures]])


def files(blocks: Sequence[Block]) -> dict[str, bytes]:
    """What the Markdown points to, by file name."""
    found: dict[str, bytes] = {}
    for block in blocks:
        if isinstance(block, Plot):
            found[f"{block.name}.svg"] = block.svg.encode()
        if isinstance(block, Pictures):
            for at, (_, jpeg) in enumerate(block.pictures):
                if jpeg:
                    found[f"{block.stem}-{at}.jpg"] = base64.b64decode(jpeg)
    return found


def page(title: str, blocks: Sequence[Block]) -> str:
    """The report as one HTML page that needs nothing else."""
    body = "\n".join(_html(block) for block in blocks)
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{html.escape(title)}</title>\n'
        f'<meta name="viewport" content="width=device-width"><style>{_STYLE}</style></head>\n'
        f"<body>\n{body}\n</body></html>\n"
    )


def _html(block: Block) -> str:
    match block:
        case Heading(words, level):
            return f"<h{level}>{html.escape(words)}</h{level}>"
        case Paragraph(words):
            return f"<p>{html.escape(words)}</p>"
        case Points(items):
            return "<ul>" + "".join(f"<li>{html.escape(item)}</li>" for item in items) + "</ul>"
        case Table(headings, rows):
            head = "".join(f"<th>{html.escape(cell)}</th>" for cell in headings)
            lines = "".join("<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in row) + "</tr>" for row in rows)
            return f'<div class="wide"><table><thead><tr>{head}</tr></thead><tbody>{lines}</tbody></table></div>'
        case Plot(_, words, svg):
            inline = svg[svg.index("<svg") :]
            return f'<figure class="plot">{inline}<figcaption>{html.escape(words)}</figcaption></figure>'
        case Pictures(_, pictures):
            return "<div>" + "".join(_figure(caption, jpeg) for caption, jpeg in pictures) + "</div>"


def _figure(caption: str, jpeg: str) -> str:
    image = f'<img alt="" src="data:image/jpeg;base64,{jpeg}">' if jpeg else "<i>no picture</i>"
    return f"<figure>{image}<figcaption>{html.escape(caption)}</figcaption></figure>"
