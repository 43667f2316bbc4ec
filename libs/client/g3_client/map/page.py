"""The map as a page: one HTML file with everything in it. It asks the network for nothing, and its policy forbids it.

Names and labels come from elsewhere (people, gazetteers, models): every one of them passes `_text`.
"""

import base64
import hashlib
import html
from collections.abc import Iterator, Sequence
from importlib.resources import files

from g3_client.map import land
from g3_client.map.frame import around, east, ring
from g3_client.map.scene import COLOURS, LEGEND, Located, Marker, facts, markers, point, voices
from g3_client.models import Match, Result

_SHAPES = {
    "answer": '<circle r="9"/>',
    "truth": '<path d="M0-9L9 0L0 9L-9 0z"/>',
    "reference": '<rect x="-4.5" y="-4.5" width="9" height="9"/>',
    # by shape as well as by colour: who sees no colours tells an LMM's answer from a reference and the gallery
    "lmm": '<path d="M0-7L6.5 5.5H-6.5z"/>',
    "gallery": '<path d="M-5.5-5.5L5.5 5.5M5.5-5.5L-5.5 5.5" class="cross" stroke="#8b46b5"/>',
    "place": '<circle r="12" class="hollow" stroke="#20262d"/>',
}
_CANDIDATE = '<circle r="6"/>'


def render(jobs: Sequence[Located], *, title: str = "G3") -> str:
    """The page."""
    style, script = _file("page.css"), _file("page.js")
    policy = (
        "default-src 'none'; img-src data:; base-uri 'none'; form-action 'none'; "
        f"style-src '{_sha256(style)}'; script-src '{_sha256(script)}'"
    )
    cards = "\n".join(_card(str(number), located) for number, located in enumerate(jobs))
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{_text(title)}</title>
<style>{style}</style>
</head>
<body>
<main>
{_map(jobs)}
<div class="tools"><button id="in" aria-label="closer">+</button><button id="out" aria-label="farther">&minus;</button>
<button id="all">whole world</button></div>
<div class="legend">{"".join(_legend(kind, words) for kind, words in LEGEND)}</div>
<div class="tip" hidden></div>
</main>
<aside>
<h1>{_text(title)}</h1>
<p class="hint">{len(jobs)} {"photo" if len(jobs) == 1 else "photos"}. Similarity is a cosine, not a probability.
Land and borders: Natural Earth.</p>
{cards}
</aside>
<script>{script}</script>
</body>
</html>
"""


def _map(jobs: Sequence[Located]) -> str:
    ground, marks = land.load(), "\n".join(_marks(jobs))
    grid = "".join(f"M{x}-90V90" for x in range(-180, 180, 15)) + "".join(f"M-180 {y}H180" for y in range(-75, 90, 15))
    step = 1 / ground.scale
    return f"""<svg class="map" viewBox="-180 -90 360 180" role="img" aria-label="world map of the answers">
<g id="ground">
<g transform="scale({step} -{step})"><path class="land" d="{ground.path}"/>
<path class="borders" d="{ground.borders_path}"/></g>
<path class="grid" d="{grid}"/>
</g>
<use href="#ground" x="-360"/><use href="#ground" x="360"/>
<g id="marks">
{marks}
</g>
<use href="#marks" x="-360"/><use href="#marks" x="360"/>
</svg>"""


def _marks(jobs: Sequence[Located]) -> Iterator[str]:
    for number, located in enumerate(jobs):
        yield _way(str(number), located)
        yield _circle(str(number), located)
    every = [(str(number), marker) for number, located in enumerate(jobs) for marker in markers(located)]
    # answers and truths of all photos lie above the evidence of any
    yield from (_mark(n, marker, "m detail") for n, marker in every if marker.kind not in {"answer", "truth"})
    yield from (_mark(n, marker, "m") for n, marker in every if marker.kind in {"answer", "truth"})


def _mark(photo: str, marker: Marker, classes: str) -> str:
    x, y = _degrees(marker.coordinates.longitude), _degrees(-marker.coordinates.latitude)
    return (
        f'<g class="{classes}" data-photo="{photo}" data-kind="{marker.kind}" data-x="{x}" data-y="{y}" '
        f'fill="{COLOURS[marker.kind]}" transform="translate({x} {y}) scale(.3)">'
        f"{_SHAPES.get(marker.kind, _CANDIDATE)}<title>{_text(marker.text)}</title></g>"
    )


def _way(photo: str, located: Located) -> str:
    if located.truth is None or located.job.result is None:
        return ""
    start, end = located.job.result.coordinates, located.truth
    # past the antimeridian rather than across the whole map
    reach = start.longitude + east(start.longitude, end.longitude)
    line = f"M{_degrees(start.longitude)} {_degrees(-start.latitude)}L{_degrees(reach)} {_degrees(-end.latitude)}"
    return f'<path class="way" data-photo="{photo}" stroke="{COLOURS["truth"]}" d="{line}"/>'


def _circle(photo: str, located: Located) -> str:
    """Within it lies the truth, with the stated coverage."""
    result = located.job.result
    if result is None or result.radius_km is None:
        return ""
    line = "L".join(f"{_degrees(x)} {_degrees(-y)}" for x, y in ring(result.coordinates, result.radius_km))
    told = f"{result.radius_km:,.1f} km around the answer" + (
        "" if result.coverage is None else f": holds the truth for {result.coverage:.0%} of photos"
    )
    colour = COLOURS["answer"]
    return (
        f'<path class="radius" data-photo="{photo}" stroke="{colour}" fill="{colour}" d="M{line}z">'
        f"<title>{_text(told)}</title></path>"
    )


def _card(number: str, located: Located) -> str:
    result = located.job.result
    picture = ""
    if located.thumbnail is not None:
        encoded = base64.b64encode(located.thumbnail).decode("ascii")
        picture = f'<img alt="" src="data:image/jpeg;base64,{encoded}">'
    told = "".join(f"<dt>{_text(name)}</dt><dd>{_text(value)}</dd>" for name, value in facts(located))
    evidence = ""
    if result is not None:
        evidence = _places(result) + _candidates(result) + _references(result.references) + _answers(result)
    return f"""<article data-photo="{number}"{_view(located)}>
<h2>{_text(located.title)}</h2>
{picture}<dl>{told}</dl>
<button>show on the map</button>
{evidence}
</article>"""


def _view(located: Located) -> str:
    result = located.job.result
    if result is None:
        return ""
    points = [likely.coordinates for likely in result.places[:3]] or [c.coordinates for c in result.candidates[:5]]
    points += [] if located.truth is None else [located.truth]
    frame = around(result.coordinates, points, 300, 200)
    x, y, half = result.coordinates.longitude, -result.coordinates.latitude, frame.height / 2 / frame.scale
    return f' data-x="{_degrees(x)}" data-y="{_degrees(y)}" data-half="{half:.3f}"'


def _places(result: Result) -> str:
    if not result.places:
        return ""
    rows = "".join(
        _row(
            "-" if p.probability is None else f"{p.probability:.0%}",
            str(p.place),
            point(p.coordinates),
            f"{p.radius_km:,.1f} km",
            str(p.candidates),
        )
        for p in result.places
    )
    head = "<tr><th>probability<th>place<th>coordinates<th>radius<th>candidates</tr>"
    return f"<details open><summary>{len(result.places)} places</summary><table>{head}{rows}</table></details>"


def _answers(result: Result) -> str:
    if not result.answers:
        return ""
    why = {(dropped.prompt, dropped.sample): f"dropped: {dropped.reason}" for dropped in result.dropped}
    rows = "".join(
        _row(f"{a.prompt}/{a.sample}", str(a.candidate) if a.candidate else why.get((a.prompt, a.sample), "-"), a.text)
        for a in result.answers
    )
    head = "<tr><th>prompt/sample<th>candidate<th>text</tr>"
    return f"<details><summary>{len(result.answers)} answers of the LMM</summary><table>{head}{rows}</table></details>"


def _candidates(result: Result) -> str:
    rows = "".join(
        _row(str(c.rank), str(c.place), point(c.coordinates), _cosine(c.similarity), voices(c))
        for c in result.candidates
    )
    head = "<tr><th>rank<th>place<th>coordinates<th>similarity<th>origin</tr>"
    return f"<details><summary>{len(result.candidates)} candidates</summary><table>{head}{rows}</table></details>"


def _references(matches: Sequence[Match]) -> str:
    rows = "".join(
        _row(_cosine(m.similarity), str(m.reference.place), point(m.reference.coordinates), m.reference.id)
        for m in matches
    )
    head = "<tr><th>similarity<th>place<th>coordinates<th>reference</tr>"
    return f"<details><summary>{len(matches)} references</summary><table>{head}{rows}</table></details>"


def _row(*cells: str) -> str:
    return "<tr>" + "".join(f"<td>{_text(cell)}</td>" for cell in cells) + "</tr>"


def _legend(kind: str, words: str) -> str:
    shape = _SHAPES.get(kind, _CANDIDATE)
    return f'<div><svg viewBox="-13 -13 26 26" fill="{COLOURS[kind]}">{shape}</svg>{_text(words)}</div>'


def _cosine(similarity: float | None) -> str:
    return "-" if similarity is None else f"{similarity:.4f}"


def _degrees(value: float) -> str:
    return f"{value:.6f}".rstrip("0").rstrip(".")


def _text(text: str) -> str:
    """Text as it may stand in an element or a quoted attribute; control characters are no text."""
    return html.escape("".join(c if c.isprintable() else " " for c in text), quote=True)


def _sha256(text: str) -> str:
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode('ascii')}"


def _file(name: str) -> str:
    return (files("g3_client.map") / "data" / name).read_text(encoding="utf-8")
