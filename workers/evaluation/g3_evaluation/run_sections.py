"""The report of a run as blocks."""

from collections.abc import Iterator

from g3_evaluation import accuracy_sections, evidence_sections
from g3_evaluation.blocks import Block, Heading, Paragraph, Points, Table
from g3_evaluation.costs import AskCost
from g3_evaluation.findings import Findings

_EXAMPLES = 20


def sections(found: Findings) -> list[Block]:
    """The whole report of one run."""
    return [
        *_opening(found),
        *accuracy_sections.overall(found),
        *accuracy_sections.differences(found),
        *accuracy_sections.ablation(found),
        *accuracy_sections.representation(found),
        *accuracy_sections.curves(found),
        *evidence_sections.confidence(found),
        *evidence_sections.failing(found),
        *evidence_sections.cases(found),
        *evidence_sections.leakage(found),
        *evidence_sections.costs(found),
        *_left_out(found),
    ]


def _opening(found: Findings) -> Iterator[Block]:
    yield Heading(f"G3 on {found.query_set}", 1)
    if found.synthetic:
        yield Paragraph(
            "These photos are synthetic, rendered from coordinates of an invented world: the figures say how the parts "
            "of the method compare on it, and nothing of photos of the real Earth. Printed figures stand beside them "
            "for their order alone."
        )
    releases = ", ".join(f"model {model[:12]} with {collection}" for model, collection in found.releases)
    yield Points(
        [
            f"{found.n} photos by {found.authors} known authors; {found.unfinished} of the query set are not done yet",
            f"LMM: {found.lmm or 'not named'}; {found.samples} samples of each prompt, {found.retrieved} retrieved",
            f"answered by {releases or 'nobody'}",
            "distances are geodesic (WGS 84); a photo counts within a threshold when it is strictly nearer",
            "photos without an answer are failures at every threshold",
            "intervals are 95 %: Wilson for shares, a bootstrap clustered by author for differences",
            *(_without_lmm(cost) for cost in found.costs if cost.degraded),
            *(f"{name} is missing: the server refused it ({words})" for name, words in found.refused.items()),
        ]
    )


def _without_lmm(cost: AskCost) -> str:
    share = f"{cost.degraded} of {cost.photos} photos"
    return f"WITHOUT THE LMM: {cost.ask} answered {share} from what was retrieved, and its rows say that"


def _left_out(found: Findings) -> Iterator[Block]:
    for title, rows in (
        ("Photos without an answer", [[photo, ask, why] for photo, ask, why in found.failures]),
        ("Rows left out", [[excluded.id, "", excluded.reason] for excluded in found.excluded]),
        ("Identical files", [[group[0], "", f"and {len(group) - 1} more"] for group in found.identical]),
    ):
        if rows:
            yield Heading(f"{title}: {len(rows)}")
            yield Table(["photo", "asked", "what"], rows[:_EXAMPLES])
            if len(rows) > _EXAMPLES:
                yield Paragraph(f"and {len(rows) - _EXAMPLES} more, listed in report.json.")
