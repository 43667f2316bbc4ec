"""The sections of a run's report that say why: confidence, failures, single photos, leakage, cost."""

from collections.abc import Iterator

from g3_evaluation import cells, plots
from g3_evaluation.blocks import Block, Heading, Paragraph, Pictures, Plot, Points, Table
from g3_evaluation.failing import BANDS
from g3_evaluation.findings import Findings
from g3_evaluation.leakage import NEAR


def confidence(found: Findings) -> Iterator[Block]:
    if not found.covered:
        return
    yield Heading("Coverage and accuracy")
    uncalibrated = [curve.ask for curve in found.covered if curve.by == "similarity"]
    if uncalibrated:
        yield Paragraph(
            f"No calibrated confidence is stated by {', '.join(uncalibrated)}: photos are ordered by the image-GPS "
            "similarity of the answer, which is no probability."
        )
    yield Plot("coverage", "accuracy among the surest photos", plots.coverage(found.covered))
    for curve in found.covered:
        columns = list(zip(*curve.accuracy, strict=True))
        yield Table(
            [f"{curve.ask}: surest", *cells.WITHIN],
            [
                [f"{100 * coverage:.0f} %", *(f"{100 * value:.1f}" for value in values)]
                for coverage, values in zip(curve.coverages, columns, strict=True)
            ],
        )
    for ask, calibrated in found.calibrated.items():
        if calibrated:
            yield Paragraph(f"Calibration of {ask}: the mean stated probability against what came true.")
            yield Table(
                ["within", "photos", "stated %", "true %", "calibration error %"],
                [
                    [
                        f"{one.threshold_km:g} km",
                        str(one.photos),
                        *(f"{100 * v:.1f}" for v in (one.stated, one.true, one.error)),
                    ]
                    for one in calibrated
                ],
            )
    for ask, radii in found.radii.items():
        if radii is not None:
            yield Paragraph(
                f"Radii of {ask}: the truth lies within for {100 * radii.covered:.1f} % of {radii.photos} photos; "
                f"the median radius is {radii.median_km:,.0f} km."
            )


def failing(found: Findings) -> Iterator[Block]:
    for ask, groupings in found.failing.items():
        yield Heading(f"Failure analysis of {ask}: photos by distance band")
        for grouping in groupings:
            yield Table(
                [grouping.by, "photos", *BANDS, "median km"],
                [
                    [
                        group.name,
                        str(group.photos),
                        *(f"{count} ({100 * count / group.photos:.0f} %)" for count in group.bands),
                        cells.of_km(group.median_km),
                    ]
                    for group in grouping.groups
                ],
            )


def cases(found: Findings) -> Iterator[Block]:
    if not found.cases:
        return
    yield Heading("Retrieval case study")
    yield Paragraph("The photo and its most similar references with their similarity.")
    for number, case in enumerate(found.cases):
        yield Heading(f"{case.kind}: {case.photo.id}", 3)
        yield Paragraph(
            f"Taken at {case.truth} ({case.photo.caption}). The nearest reference is "
            f"{cells.of_km(case.nearest_km)} km off, the answer {cells.of_km(case.answer_km)} km."
        )
        pictures = [(f"the photo, {case.photo.caption}", case.photo.jpeg)]
        pictures += [(f"{shown.id}: {shown.caption}", shown.jpeg) for shown in case.references]
        yield Pictures(f"case-{number}", pictures)


def leakage(found: Findings) -> Iterator[Block]:
    yield Heading("Leakage")
    leak = found.leakage
    if leak is None:
        yield Paragraph("Nobody looked for near references: `near` was not among the ways of asking.")
        return
    authors = "left out" if leak.excluded_authors else "NOT left out"
    near = f"left out from {leak.excluded_near:g} on" if leak.excluded_near else "NOT left out (--exclude-near)"
    yield Points(
        [
            f"{leak.looked} photos were compared with the references nearest by plain CLIP",
            f"{leak.by_author} have a reference by their own author among them; those by the own author were {authors}",
            f"{leak.near} have a reference with a cosine of {NEAR} or more; such references were {near}",
        ]
    )
    lines = [
        [row.entry, words, str(accuracy.n), *map(cells.of_share, accuracy.within)]
        for row in leak.rows
        for words, accuracy in (("suspected", row.suspected), ("others", row.others))
        if accuracy is not None
    ]
    yield Table(["method", "photos", "n", *cells.WITHIN], lines)


def costs(found: Findings) -> Iterator[Block]:
    yield Heading("Cost of a photo")
    yield Table(
        ["way of asking", "photos", "without LMM", "prompt tokens", "answer tokens", "wall s", "failures"],
        [
            [
                cost.ask,
                str(cost.photos),
                str(cost.degraded),
                *(
                    "not stated" if tokens is None else f"{tokens:,.0f}"
                    for tokens in (cost.prompt_tokens, cost.answer_tokens)
                ),
                f"{cost.wall_mean_s:.2f}",
                ", ".join(f"{code} {count}" for code, count in cost.failures.items()) or "0",
            ]
            for cost in found.costs
        ],
    )
    yield Table(
        ["way of asking", "stage", "jobs", "worked s, mean", "median", "95 %", "waited s, mean", "attempts"],
        [
            [
                cost.ask,
                stage.stage,
                str(stage.jobs),
                *(f"{value:.3f}" for value in (stage.worked_mean_s, stage.worked_median_s, stage.worked_p95_s)),
                f"{stage.waited_mean_s:.3f}",
                str(stage.attempts),
            ]
            for cost in found.costs
            for stage in cost.stages
        ],
    )
    heard = [cost for cost in found.costs if cost.answers]
    if heard:
        yield Paragraph("What became of the LMM's answers, and whose candidate the similarity chose:")
        yield Table(
            ["way of asking", "answers", "dropped", "winners"],
            [
                [cost.ask, str(cost.answers), cells.of_counts(cost.dropped), cells.of_counts(cost.winners)]
                for cost in heard
            ],
        )
