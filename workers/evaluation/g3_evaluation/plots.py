"""The figures of the report, drawn by matplotlib as SVG without a display. The same findings give the same bytes."""

from collections.abc import Sequence
from io import StringIO

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

from g3_evaluation.confidence import Covered
from g3_evaluation.curves import Curve
from g3_evaluation.metrics import THRESHOLDS_KM

_LABELS = [f"{threshold:g} km" for threshold in THRESHOLDS_KM]
# Text as text, so that it can be read and searched; ids by what is drawn, not by chance.
_SETTINGS = {"svg.fonttype": "none", "svg.hashsalt": "g3-evaluation", "font.family": "sans-serif"}


def hyperparameters(drawn: Sequence[Curve]) -> str:
    """Accuracy over each hyperparameter, a panel each, as an SVG document."""
    with mpl.rc_context(_SETTINGS):  # type: ignore[arg-type]
        figure = Figure(figsize=(3.1 * len(drawn), 3.2), layout="constrained")
        panels: list[Axes] = list(figure.subplots(1, len(drawn), squeeze=False, sharey=True)[0])
        for axes, curve in zip(panels, drawn, strict=True):
            for at, label in enumerate(_LABELS):
                shares = [shares[at] for shares in curve.within]
                colour = f"C{at}"
                axes.plot(curve.values, [100 * s.value for s in shares], "o-", ms=3, lw=1.2, color=colour, label=label)
                low, high = [100 * s.low for s in shares], [100 * s.high for s in shares]
                axes.fill_between(curve.values, low, high, color=colour, alpha=0.12, linewidth=0)
            axes.set(xlabel=f"{curve.name}: {curve.words}", ylim=(0, 100))
            axes.xaxis.label.set_fontsize(8)
            axes.grid(alpha=0.3)
        panels[0].set_ylabel("% within")
        panels[0].legend(fontsize=7)
        return _svg(figure)


def coverage(drawn: Sequence[Covered]) -> str:
    """Accuracy over coverage, a panel for each way of asking, as an SVG document."""
    with mpl.rc_context(_SETTINGS):  # type: ignore[arg-type]
        figure = Figure(figsize=(4.2 * len(drawn), 3.4), layout="constrained")
        panels: list[Axes] = list(figure.subplots(1, len(drawn), squeeze=False, sharey=True)[0])
        for axes, curve in zip(panels, drawn, strict=True):
            for label, shares in zip(_LABELS, curve.accuracy, strict=True):
                axes.plot(
                    [100 * c for c in curve.coverages], [100 * s for s in shares], "o-", ms=3, lw=1.2, label=label
                )
            axes.set(xlabel=f"% of the photos answered, surest first by {curve.by}", title=curve.ask, ylim=(0, 100))
            axes.grid(alpha=0.3)
        panels[0].set_ylabel("% within")
        panels[0].legend(fontsize=7)
        return _svg(figure)


def _svg(figure: Figure) -> str:
    FigureCanvasSVG(figure)
    file = StringIO()
    figure.savefig(file, format="svg", metadata={"Date": None})
    return file.getvalue()
