"""The report on a terminal."""

from rich.console import Console
from rich.table import Table
from rich.text import Text

from g3_evaluation.report import RetrievalReport
from g3_evaluation.report_markdown import HEADINGS


def show(report: RetrievalReport, console: Console) -> None:
    """Prints the accuracies and what to know about them."""
    table = Table(title=plain(f"{report.query_set}: % of {report.n} photos within"), title_justify="left", box=None)
    table.add_column("method", overflow="fold")
    for heading in (*HEADINGS, "median km"):
        table.add_column(heading, justify="right", no_wrap=True)
    for method, accuracy in report.accuracy.items():
        shares = [f"{100 * share.value:.1f}" for share in accuracy.within]
        table.add_row(method.words, *shares, f"{accuracy.median_km:,.0f}")
    console.print(table)
    recall = f"{report.recall.mean:.4f}" if report.recall else f"not measured ({report.recall_absent})"
    console.print(
        plain(
            f"{report.collection.count} references in {report.collection.name}, recall of the index {recall}; "
            f"{len(report.failures)} photos without an answer, {len(report.excluded)} rows left out"
        )
    )
    if not report.model.trained:
        console.print("The model is untrained: places found are noise.", style="yellow")


def plain(text: str) -> Text:
    """Names come from elsewhere: neither markup nor control characters of them reach the terminal."""
    return Text("".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in text))
