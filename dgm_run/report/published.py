"""A table of the numbers of presets' runs beside the published numbers that they should reach."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from math import prod
from typing import Any

from dgm_run.config.published import KINDS, split_source
from dgm_run.recording.estimate_id import describe_method
from dgm_run.report.groups import Group, group_runs
from dgm_run.report.markdown import escape, render_row
from dgm_run.report.rows import Row
from dgm_run.report.runs import PublishedNumbers, Run
from dgm_run.report.tables import EstimateSpec, make_spec
from dgm_run.report.verdict import Target, Verdict, judge

HEADS = ("preset", "published", "ours", "verdict", "method", "training")
ABOUT = """\
Each row compares the number of a preset's runs with its published number: a paper's, that of a run of another program,
an exact value, or a bound that no model passes. ± is a standard error. That of a published number is shown if its
source states one. Ours is over the test examples for one run, and over the runs for several, which differ by their
seeds alone; then their number and the standard deviation stand beside it. The numbers of a row have the decimals of the
published number, and at least two. If AIS estimates log Z, reverse AIS gives a second, conservative likelihood.

The verdict is *reproduced* within 0.5 nats, 0.02 bits per dimension or 1 point of an error rate. Densities of grey
values are judged in bits per dimension, also if they are in nats. A difference within two standard errors also counts,
if these are below 1 nat or 0.05 bits, and in all other units. Otherwise the verdict is *better* or *worse*, or
*differs* if the quantity has no better direction. Beside a bound it is *a bound*. If the conservative side has another
verdict, the table gives both. *With a warning* means that a run warned about the number or the model. The number may
then be wrong by more than its error. The footnotes give the warnings.
"""
CONSERVATIVE = "log_likelihood_conservative"
"""Quantity of the conservative side of a likelihood."""
LIKELIHOODS = ("log_likelihood", CONSERVATIVE, "elbo", "bits_per_dim", "perplexity", "log_partition")
"""Quantities that share the warnings of their estimators."""
DENSITIES = ("log_likelihood", CONSERVATIVE, "elbo")
"""Quantities that are densities for grey values with noise."""


@dataclass(frozen=True)
class PublishedRow:
    """The number of a preset beside the published number that it should reach.

    Attributes:
        preset: name of the preset; of the run where there is none.
        quantity, unit: as in results.json.
        row: the number of the runs that differ by their seeds alone.
        conservative: conservative side of a likelihood by AIS; None for others.
        published: published numbers of the preset.
    """

    preset: str
    quantity: str
    unit: str
    row: Row
    conservative: Row | None
    published: PublishedNumbers

    @property
    def target(self) -> Target:
        """The published number."""
        value = self.published.values[self.quantity]
        return Target(value, self.published.stderr.get(self.quantity, 0.0), self.published.kind)

    @property
    def verdict(self) -> Verdict:
        """Verdict on the number."""
        return self._judge(self.row)

    @property
    def conservative_verdict(self) -> Verdict | None:
        """Verdict on the conservative side; None where there is none."""
        return self._judge(self.conservative) if self.conservative else None

    def _judge(self, row: Row) -> Verdict:
        num_grey = _count_grey(row.group.runs[0].settings) if self.quantity in DENSITIES else None
        return judge(self.quantity, self.unit, row.mean, row.stderr, self.target, num_grey)


def _count_grey(settings: Mapping[str, Any]) -> int | None:
    """Returns the number of grey values of an example, which noise makes continuous; None for other data."""
    shape = settings.get("dataset.shape")
    has_noise = settings.get("dataset.dequantize") and settings.get("dataset.num_levels")
    return prod(shape) if has_noise and isinstance(shape, list) else None


def collect_published(runs: Sequence[Run]) -> list[PublishedRow]:
    """Returns a row for each estimate that has a published number, in the order of presets and quantities."""
    by_preset: dict[tuple[str, str], list[Run]] = {}
    for run in runs:
        if run.published_numbers:
            by_preset.setdefault((run.experiment or run.name, run.published_numbers.source), []).append(run)
    rows = [
        row
        for (preset, _), members in by_preset.items()
        for group in group_runs(members)
        for row in _collect_of_group(preset, group)
    ]
    return sorted(rows, key=lambda row: (row.preset, row.quantity, row.row.estimates[0]["estimator"]))


def _collect_of_group(preset: str, group: Group) -> Iterator[PublishedRow]:
    """Yields the rows of a group; runs with other test examples by their seeds share a row."""
    published = group.runs[0].published_numbers
    assert published is not None
    by_spec: dict[EstimateSpec, list[tuple[Run, Mapping[str, Any]]]] = {}
    for run in group.runs:
        for estimate in run.own_estimates:
            if estimate["quantity"] in published.values:
                by_spec.setdefault(replace(make_spec(run, estimate), preprocessing="", data=""), []).append(
                    (run, estimate)
                )
    for spec, pairs in by_spec.items():
        runs, estimates = zip(*pairs, strict=True)
        row = Row(replace(group, runs=runs), estimates, "", None)
        yield PublishedRow(preset, spec.quantity, spec.unit, row, _find_conservative(row), published)


def _find_conservative(row: Row) -> Row | None:
    """Returns the conservative side of a likelihood by AIS: in each run the next such row, of the same evaluation."""
    found = [_find_next_conservative(*pair) for pair in zip(row.group.runs, row.estimates, strict=True)]
    pairs = [(run, each) for run, each in zip(row.group.runs, found, strict=True) if each]
    if not pairs:
        return None
    runs, estimates = zip(*pairs, strict=True)
    return replace(row, group=replace(row.group, runs=runs), estimates=estimates)


def _find_next_conservative(run: Run, estimate: Mapping[str, Any]) -> Mapping[str, Any] | None:
    if estimate["quantity"] != "log_likelihood" or "ais" not in _split_estimators(estimate):
        return None
    rows = run.own_estimates
    position = next(i for i, each in enumerate(rows) if each is estimate)
    return next((each for each in [*rows[position:], *rows[:position]] if each["quantity"] == CONSERVATIVE), None)


class Footnotes:
    """Texts below a table, numbered in the order of their first use; equal texts share a number."""

    def __init__(self):
        self._numbers: dict[str, int] = {}

    def mark(self, text: str) -> str:
        return f"[^{self._numbers.setdefault(text, len(self._numbers) + 1)}]"

    def lines(self) -> list[str]:
        return [f"[^{number}]: {escape(text)}" for text, number in self._numbers.items()]


def render_published(runs: Sequence[Run]) -> str:
    """Renders tables in Markdown, one for each source, with a row for each estimate that has a published number.

    Returns:
        The document; empty if no estimate has a published number.
    """
    by_source: dict[tuple[str, str], list[PublishedRow]] = {}
    for row in (rows := collect_published(runs)):
        title, _ = split_source(row.published.source)
        by_source.setdefault((title, row.published.kind), []).append(row)
    if not rows:
        return ""
    footnotes = Footnotes()
    lines = ["# Published numbers and the numbers of our runs", "", ABOUT, *_count_verdicts(rows), ""]
    for (title, kind), members in by_source.items():
        name, _, address = title.partition(", http")
        lines += [f"## {escape(name)}", "", *([f"<http{address}>", ""] if address else [])]
        lines += [f"The published number is {KINDS[kind]}.", ""] if kind in KINDS else []
        lines += [render_row(HEADS), render_row(["---"] * len(HEADS))]
        lines += [*(render_row(_make_cells(row, footnotes)) for row in members), ""]
    return "\n".join([*lines, *footnotes.lines(), ""])


def _count_verdicts(rows: Sequence[PublishedRow]) -> Iterator[str]:
    """Yields a line with the number of verdicts for each kind of published numbers."""
    for kind, name in KINDS.items():
        counts = Counter(row.verdict for row in rows if row.published.kind == kind)
        if counts:
            numbers = ", ".join(f"{count} {verdict}" for verdict, count in counts.most_common())
            yield f"- {name}: {counts.total()} rows, {numbers}"


def _make_cells(row: PublishedRow, footnotes: Footnotes) -> list[str]:
    target = row.target
    results = row.row.group.runs[0].results
    decimals = max(2, len(str(target.value).partition(".")[2]))
    _, where = split_source(row.published.source)
    first = row.row.estimates[0]
    data = footnotes.mark(f"{results['dataset']}: {results['preprocessing']}")
    return [
        ": ".join(filter(None, (row.preset, where))) + data,
        f"{row.quantity} {_format_number(target.value, target.stderr or None, decimals)}",
        _describe_number(row, decimals),
        _describe_verdict(row, footnotes),
        describe_method(first["kind"], first["estimator"], first["settings"]),
        _describe_cost(row.row.group.runs, footnotes),
    ]


def _describe_number(row: PublishedRow, decimals: int) -> str:
    """Describes our number, the number of runs if there are several, and the conservative side if there is one."""
    texts = [_format_number(row.row.mean, row.row.stderr, decimals)]
    if row.row.has_several_runs:
        deviation = _format_digits(row.row.variance**0.5, decimals)
        texts[0] += f" ({len(row.row.values)} runs, standard deviation {deviation})"
    if row.conservative:
        texts.append(f"conservative {_format_number(row.conservative.mean, row.conservative.stderr, decimals)}")
    return "; ".join(texts)


def _describe_verdict(row: PublishedRow, footnotes: Footnotes) -> str:
    """Describes the verdict on a number, that on its conservative side if it differs, the note and the warnings."""
    texts: list[str] = [row.verdict]
    if row.conservative_verdict not in (None, row.verdict):
        texts = [f"{row.verdict}; {row.conservative_verdict} by the conservative side"]
    if row.published.note:
        texts[0] += footnotes.mark(f"{row.preset}: {row.published.note}")
    if warnings := _list_warnings(row):
        texts.append("with a warning" + " ".join(map(footnotes.mark, warnings)))
    return ", ".join(texts)


def _describe_cost(runs: Sequence[Run], footnotes: Footnotes) -> str:
    """Describes the mean training of the runs, with the machine as a footnote."""
    training = [run.results.get("training") or {} for run in runs]
    epochs, seconds, speed = (
        sum(each.get(name) or 0.0 for each in training) / len(runs)
        for name in ("epochs", "seconds", "examples_per_second")
    )
    minutes = seconds / 60
    duration = f"{minutes:.1f} min" if minutes < 60 else f"{minutes / 60:.1f} h"
    text = f"{epochs:.0f} epochs, {duration}, {speed:,.0f} examples/s"
    machine = _describe_machine(runs[0].results.get("environment") or {})
    return text + (footnotes.mark(machine) if machine else "")


def _describe_machine(environment: Mapping[str, Any]) -> str:
    processor = environment.get("processor")
    if environment.get("device", "cpu") != "cpu":
        processor = environment["device"]
    elif processor and environment.get("threads"):
        processor += f", threads: {environment['threads']}"
    version = f"torch {environment['torch']}" if environment.get("torch") else None
    return ", ".join(filter(None, [processor, version]))


def _list_warnings(row: PublishedRow) -> list[str]:
    """Returns the warnings about a number: its own, those of likelihoods with its estimator, and of a collapse."""
    found = []
    for run, estimate in zip(row.row.group.runs, row.row.estimates, strict=True):
        for each in run.own_estimates:
            warning = str(each.get("warning") or "")
            if warning and (each is estimate or "collapsed" in warning or _has_common_estimator(each, estimate)):
                found += [f"{row.preset}, {each['quantity']}: {line}" for line in warning.splitlines()]
    return list(dict.fromkeys(found))


def _has_common_estimator(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Returns whether both are likelihoods by one estimator; reverse AIS counts as AIS."""
    if not {one["quantity"], other["quantity"]} <= set(LIKELIHOODS):
        return False
    return bool(_split_estimators(one) & _split_estimators(other))


def _split_estimators(estimate: Mapping[str, Any]) -> set[str]:
    names = set(estimate["estimator"].split(", "))
    return names | {"ais"} if estimate["quantity"] == CONSERVATIVE else names


def _format_number(value: float, stderr: float | None, decimals: int) -> str:
    error = "" if stderr is None else f" ± {_format_digits(stderr, decimals)}"
    return _format_digits(value, decimals) + error


def _format_digits(value: float, decimals: int) -> str:
    return f"{value:.{decimals}f}" if abs(value) < 1e7 else f"{value:.4g}"
