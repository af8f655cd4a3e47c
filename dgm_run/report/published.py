"""What runs of presets have found, beside the numbers that they are to reach."""

from collections.abc import Mapping, Sequence
from typing import Any

from dgm_run.config.published import KINDS, split_source
from dgm_run.recording.estimate_id import describe_method
from dgm_run.report.markdown import escaped, line
from dgm_run.report.runs import Published, Run
from dgm_run.report.verdict import judge

HEADS = ("preset", "data", "quantity", "published", "whose number", "ours", "how ours was found",
         "conservative side", "verdict", "epochs", "training")  # fmt: skip
ABOUT = """\
Each row holds what a run of a preset has found beside the number that the preset is to reach. That number is a
paper's, a run of another program, an exact value, or a bound that no model passes. It may be of another split, and
has no error here. Ours is the mean over the test examples ± its standard error, where it has one. All numbers of a
row have the decimals of the published one, and two at least. Where log Z is estimated by AIS, a likelihood by
reverse AIS stands beside it: the conservative side.

The verdict is *reproduced* within 0.5 nats, 0.02 bits of a dimension or 1 point of an error rate. It is so within
two standard errors too, where two are less than 1 nat or 0.05 bits; of other units always. Else it is *better* or
*worse*, and *differs* where neither end is better. Beside a bound it is *a bound*. Where the conservative side has
another verdict, both stand there. *With a warning*, the run warned of the number, which may then be wrong by more
than its error, or of the model: below stands all that it said.
"""
CONSERVATIVE = "log_likelihood_conservative"
"""The quantity of a likelihood's conservative side."""
LIKELIHOODS = ("log_likelihood", CONSERVATIVE, "elbo", "bits_per_dim", "perplexity", "log_partition")
"""Quantities that share what their estimators warn of."""


class Footnotes:
    """Texts below a table, numbered in the order in which they are asked for; equal ones have one number."""

    def __init__(self):
        self._numbers: dict[str, int] = {}

    def mark(self, text: str) -> str:
        return f"[^{self._numbers.setdefault(text, len(self._numbers) + 1)}]"

    def lines(self) -> list[str]:
        return [f"[^{number}]: {escaped(text)}" for text, number in self._numbers.items()]


def published(runs: Sequence[Run]) -> str:
    """A table in Markdown with a row for every way in which a run has found a number of its preset."""
    found = [
        (run, row)
        for run in runs
        if run.published
        for row in run.results["estimates"]
        if row["quantity"] in run.published.values
    ]
    if not found:
        return ""
    found.sort(key=lambda pair: (pair[0].experiment or "", pair[1]["quantity"], pair[1]["estimator"]))
    footnotes = Footnotes()
    table = [line(HEADS), line(["---"] * len(HEADS)), *(line(_cells(run, row, footnotes)) for run, row in found)]
    return "\n".join(["# Numbers of presets, and what their runs found", "", ABOUT, *table, "", *footnotes.lines(), ""])


def _cells(run: Run, row: Mapping[str, Any], footnotes: Footnotes) -> list[str]:
    wanted, training = run.published, run.results.get("training") or {}
    assert wanted is not None
    target = wanted.values[row["quantity"]]
    low = _conservative(run, row)
    decimals = max(2, len(str(target).partition(".")[2]))
    return [
        run.experiment or "",
        f"{run.results['dataset']}, {run.results['preprocessing']}",
        row["quantity"],
        _digits(target, decimals),
        _whose(wanted, footnotes),
        _number(row, decimals),
        describe_method(row["kind"], row["estimator"], row["settings"]),
        _number(low, decimals) if low else "",
        _verdict(wanted, row, low) + _warned(_warnings(run, row), footnotes),
        str(training.get("epochs", "")),
        f"{training.get('seconds', 0.0) / 60:.1f} min",
    ]


def _whose(wanted: Published, footnotes: Footnotes) -> str:
    source, where = split_source(wanted.source)
    return ": ".join(filter(None, (KINDS.get(wanted.kind), where))) + footnotes.mark(source)


def _conservative(run: Run, row: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """The row of the conservative side of a likelihood that rests on AIS: of several the next, as they are written."""
    if row["quantity"] != "log_likelihood" or "ais" not in _estimators(row):
        return None
    rows = run.results["estimates"]
    place = next(i for i, each in enumerate(rows) if each is row)
    return next((each for each in [*rows[place:], *rows[:place]] if each["quantity"] == CONSERVATIVE), None)


def _verdict(wanted: Published, row: Mapping[str, Any], low: Mapping[str, Any] | None) -> str:
    target = wanted.values[row["quantity"]]
    verdicts = [
        judge(row["quantity"], str(each.get("unit", "nats")), each["value"], each.get("stderr"), target, wanted.kind)
        for each in (row, low)
        if each
    ]
    if len(set(verdicts)) == 1:
        return verdicts[0]
    return f"{verdicts[0]}; {verdicts[1]} by the conservative side"


def _warned(warnings: Sequence[str], footnotes: Footnotes) -> str:
    return ", with a warning" + " ".join(map(footnotes.mark, warnings)) if warnings else ""


def _warnings(run: Run, row: Mapping[str, Any]) -> list[str]:
    """What the run warned of that concerns a number: of itself, of a likelihood that it shares, of a collapse."""
    found = []
    for each in run.results["estimates"]:
        warning = str(each.get("warning") or "")
        if warning and (each is row or "collapsed" in warning or _share_estimator(each, row)):
            found.append(f"{run.experiment or run.name}, {each['quantity']}: {warning}")
    return list(dict.fromkeys(found))


def _share_estimator(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Whether both are likelihoods that rest on one estimate; reverse AIS is told beside AIS."""
    if not {one["quantity"], other["quantity"]} <= set(LIKELIHOODS):
        return False
    return bool(_estimators(one) & _estimators(other))


def _estimators(row: Mapping[str, Any]) -> set[str]:
    names = set(row["estimator"].split(", "))
    return names | {"ais"} if row["quantity"] == CONSERVATIVE else names


def _number(row: Mapping[str, Any], decimals: int) -> str:
    error = "" if row.get("stderr") is None else f" ± {_digits(row['stderr'], decimals)}"
    return _digits(row["value"], decimals) + error


def _digits(value: float, decimals: int) -> str:
    return f"{value:.{decimals}f}" if abs(value) < 1e7 else f"{value:.4g}"
