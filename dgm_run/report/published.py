"""A table of the numbers of presets' runs beside the published numbers that they should reach."""

from collections.abc import Mapping, Sequence
from typing import Any

from dgm_run.config.published import KINDS, split_source
from dgm_run.recording.estimate_id import describe_method
from dgm_run.report.markdown import escape, render_row
from dgm_run.report.runs import PublishedNumbers, Run
from dgm_run.report.verdict import judge

HEADS = ("preset", "data", "quantity", "published", "source", "ours", "method",
         "conservative side", "verdict", "epochs", "training")  # fmt: skip
ABOUT = """\
Each row compares the number of a run with the published number of its preset. A published number is a paper's, a run
of another program, an exact value, or a bound that no model passes. It may belong to another split, and has no error
here. Our number is the mean over the test examples ± its standard error, if it has one. The numbers of a row have the
decimals of the published number, and at least two. If AIS estimates log Z, reverse AIS gives a second, conservative
likelihood.

The verdict is *reproduced* within 0.5 nats, 0.02 bits per dimension or 1 point of an error rate. A difference within
two standard errors also counts, if these are below 1 nat or 0.05 bits, and in all other units. Otherwise the verdict is
*better* or *worse*, or *differs* if the quantity has no better direction. Beside a bound it is *a bound*. If the
conservative side has another verdict, the table gives both. *With a warning* means that the run warned about the number
or the model. The number may then be wrong by more than its error. The footnotes give the warnings.
"""
CONSERVATIVE = "log_likelihood_conservative"
"""Quantity of the conservative side of a likelihood."""
LIKELIHOODS = ("log_likelihood", CONSERVATIVE, "elbo", "bits_per_dim", "perplexity", "log_partition")
"""Quantities that share the warnings of their estimators."""


class Footnotes:
    """Texts below a table, numbered in the order of their first use; equal texts share a number."""

    def __init__(self):
        self._numbers: dict[str, int] = {}

    def mark(self, text: str) -> str:
        return f"[^{self._numbers.setdefault(text, len(self._numbers) + 1)}]"

    def lines(self) -> list[str]:
        return [f"[^{number}]: {escape(text)}" for text, number in self._numbers.items()]


def render_published(runs: Sequence[Run]) -> str:
    """Renders a table in Markdown, with a row for each estimate that has a published number; empty without one."""
    pairs = []
    for run in runs:
        quantities = run.published_numbers.values if run.published_numbers else ()
        pairs += [(run, row) for row in run.own_estimates if row["quantity"] in quantities]
    if not pairs:
        return ""
    pairs.sort(key=lambda pair: (pair[0].experiment or "", pair[1]["quantity"], pair[1]["estimator"]))
    footnotes = Footnotes()
    table = [render_row(HEADS), render_row(["---"] * len(HEADS))]
    table += [render_row(_make_cells(run, row, footnotes)) for run, row in pairs]
    return "\n".join(["# Published numbers and the numbers of our runs", "", ABOUT, *table, "", *footnotes.lines(), ""])


def _make_cells(run: Run, row: Mapping[str, Any], footnotes: Footnotes) -> list[str]:
    published = run.published_numbers
    training = run.results.get("training") or {}
    assert published is not None
    target = published.values[row["quantity"]]
    conservative = _find_conservative(run, row)
    decimals = max(2, len(str(target).partition(".")[2]))
    return [
        run.experiment or "",
        f"{run.results['dataset']}, {run.results['preprocessing']}",
        row["quantity"],
        _format_digits(target, decimals),
        _describe_source(published, footnotes),
        _format_number(row, decimals),
        describe_method(row["kind"], row["estimator"], row["settings"]),
        _format_number(conservative, decimals) if conservative else "",
        _judge_both(published, row, conservative) + _mark_warnings(_list_warnings(run, row), footnotes),
        str(training.get("epochs", "")),
        f"{training.get('seconds', 0.0) / 60:.1f} min",
    ]


def _describe_source(published: PublishedNumbers, footnotes: Footnotes) -> str:
    source, where = split_source(published.source)
    return ": ".join(filter(None, (KINDS.get(published.kind), where))) + footnotes.mark(source)


def _find_conservative(run: Run, row: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """Returns the conservative side of a likelihood by AIS: the next such row, of the same evaluation."""
    if row["quantity"] != "log_likelihood" or "ais" not in _split_estimators(row):
        return None
    rows = run.own_estimates
    position = next(i for i, each in enumerate(rows) if each is row)
    return next((each for each in [*rows[position:], *rows[:position]] if each["quantity"] == CONSERVATIVE), None)


def _judge_both(published: PublishedNumbers, row: Mapping[str, Any], conservative: Mapping[str, Any] | None) -> str:
    """Returns the verdict on a number, and that on its conservative side if it differs."""
    target = published.values[row["quantity"]]
    verdicts = [
        judge(row["quantity"], str(each.get("unit", "nats")), each["value"], each.get("stderr"), target, published.kind)
        for each in (row, conservative)
        if each
    ]
    if len(set(verdicts)) == 1:
        return verdicts[0]
    return f"{verdicts[0]}; {verdicts[1]} by the conservative side"


def _mark_warnings(warnings: Sequence[str], footnotes: Footnotes) -> str:
    return ", with a warning" + " ".join(map(footnotes.mark, warnings)) if warnings else ""


def _list_warnings(run: Run, row: Mapping[str, Any]) -> list[str]:
    """Returns the warnings about a number: its own, those of likelihoods with its estimator, and of a collapse."""
    found = []
    for each in run.own_estimates:
        warning = str(each.get("warning") or "")
        if warning and (each is row or "collapsed" in warning or _has_common_estimator(each, row)):
            topic = f"{run.experiment or run.name}, {each['quantity']}"
            found += [f"{topic}: {line}" for line in warning.splitlines()]
    return list(dict.fromkeys(found))


def _has_common_estimator(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Returns whether both are likelihoods by one estimator; reverse AIS counts as AIS."""
    if not {one["quantity"], other["quantity"]} <= set(LIKELIHOODS):
        return False
    return bool(_split_estimators(one) & _split_estimators(other))


def _split_estimators(row: Mapping[str, Any]) -> set[str]:
    names = set(row["estimator"].split(", "))
    return names | {"ais"} if row["quantity"] == CONSERVATIVE else names


def _format_number(row: Mapping[str, Any], decimals: int) -> str:
    error = "" if row.get("stderr") is None else f" ± {_format_digits(row['stderr'], decimals)}"
    return _format_digits(row["value"], decimals) + error


def _format_digits(value: float, decimals: int) -> str:
    return f"{value:.{decimals}f}" if abs(value) < 1e7 else f"{value:.4g}"
