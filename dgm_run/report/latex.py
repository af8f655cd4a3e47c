"""The comparison as LaTeX: tables with booktabs, to be put into a paper."""

import math
from collections.abc import Iterator, Mapping, Sequence
from statistics import median
from typing import NamedTuple

from dgm_run.report.comparison import Comparison
from dgm_run.report.overview import Overview, make_details, make_overviews
from dgm_run.report.rows import Row
from dgm_run.report.tables import EstimateSpec

MAX_COLUMNS = 4
"""Largest number of columns of numbers that fit the width of a page."""
MAX_DECIMALS = 4
HEAD = """\
% Put \\usepackage{booktabs} into the preamble, and \\input this file.
% It needs UTF-8, which LaTeX reads by default.
"""
SPECIAL = {
    "\\": r"\textbackslash{}", "{": r"\{", "}": r"\}", "$": r"\$", "&": r"\&", "#": r"\#", "%": r"\%", "_": r"\_",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "<": r"\textless{}", ">": r"\textgreater{}",
    "|": r"\textbar{}", "\n": " ", "±": r"$\pm$", "−": r"$-$", "→": r"$\to$",
}  # fmt: skip
"""Characters that LaTeX does not take as they are."""
ARROWS = {"higher": r" $\uparrow$", "lower": r" $\downarrow$"}


def render_latex(comparison: Comparison) -> str:
    """Renders a table of the main quantities of each data set, then tables of all other quantities."""
    overviews = [*make_overviews(comparison.tables), *make_details(comparison.tables)]
    parts = [(overview, heads) for overview in overviews for heads in _split_columns(list(overview.specs))]
    tables = [_render_table(overview, heads, number) for number, (overview, heads) in enumerate(parts, 1)]
    return "\n".join([HEAD, *tables])


def escape(text: str) -> str:
    """Escapes text so that LaTeX prints it as it is."""
    return "".join(SPECIAL.get(character, character) for character in text)


def _split_columns(heads: Sequence[str]) -> Iterator[Sequence[str]]:
    for first in range(0, len(heads), MAX_COLUMNS):
        yield heads[first : first + MAX_COLUMNS]


def _render_table(overview: Overview, heads: Sequence[str], number: int) -> str:
    """Renders some columns of an overview, with the configurations that have a number in them."""
    kept = [i for i in range(len(overview.names)) if any(overview.rows[head][i] for head in heads)]
    rows = {head: [overview.rows[head][i] for i in kept] for head in heads}
    is_over_runs = any(row.has_several_runs for column in rows.values() for row in column if row)
    columns = [[escape(overview.cells[name][i].shown) for i in kept] for name in overview.settings]
    columns += [
        _render_numbers(column, [overview.cells[head][i].is_best for i in kept], is_over_runs)
        for head, column in rows.items()
    ]
    specs = {head: overview.specs[head] for head in heads}
    names = _name_columns(specs)
    titles = [escape(name) for name in overview.settings]
    titles += [
        escape(name) + ARROWS.get(spec.better or "", "") for name, spec in zip(names, specs.values(), strict=True)
    ]
    alignment = "l" * len(overview.settings) + "r" * len(heads)
    if is_over_runs:
        columns.append([_count_runs(line) for line in zip(*rows.values(), strict=True)])
        titles.append("runs")
        alignment += "r"
    published = _collect_published(list(rows.values()))
    body = [" & ".join(line) + r" \\" for line in zip(*columns, strict=True)]
    caption = escape(
        " ".join([
            f"Data: {overview.data}.", *_describe_signs(body, is_over_runs), *_describe_methods(names, specs),
            *_describe_published(published),
        ])
    )  # fmt: skip
    body += _render_published(published, columns[: len(overview.settings)], len(titles))
    return "\n".join([
        r"\begin{table}", r"\centering", rf"\caption{{{caption}}}", rf"\label{{tab:comparison-{number}}}",
        rf"\begin{{tabular}}{{{alignment}}}", r"\toprule", " & ".join(titles) + r" \\", r"\midrule",
        *body, r"\bottomrule", r"\end{tabular}", r"\end{table}", "",
    ])  # fmt: skip


class PublishedLine(NamedTuple):
    """Published numbers of a configuration.

    Attributes:
        position: position of the configuration in the table.
        values: its numbers, one for each column; None where there is none.
        source: their source.
    """

    position: int
    values: tuple[float | None, ...]
    source: str


def _collect_published(columns: Sequence[Sequence[Row | None]]) -> list[PublishedLine]:
    """Returns the published numbers of each configuration, without repetition."""
    lines: dict[tuple, PublishedLine] = {}
    for position, line in enumerate(zip(*columns, strict=True)):
        known = [row.published if row else None for row in line]
        source = next((each[1] for each in known if each), None)
        if source is not None:
            values = tuple(each[0] if each else None for each in known)
            lines.setdefault((values, source), PublishedLine(position, values, source))
    return list(lines.values())


def _render_published(
    lines: Sequence[PublishedLine], names: Sequence[Sequence[str]], num_columns: int
) -> Iterator[str]:  # fmt: skip
    """Yields the lines of published numbers, with the settings of the configurations that they belong to.

    Args:
        lines: the published numbers.
        names: cells of the columns that name the configurations.
        num_columns: number of columns of the table.
    """
    if lines:
        yield r"\midrule"
    for number, line in enumerate(lines):
        cells = [column[line.position] for column in names]
        cells[0] = f"published ({_letter(number)})" + (f", {cells[0]}" if len(names[0]) > 1 else "")
        cells += [
            "" if value is None else f"${_format_number(value, _count_decimals(value))}$" for value in line.values
        ]
        yield " & ".join(cells + [""] * (num_columns - len(cells))) + r" \\"


def _describe_published(lines: Sequence[PublishedLine]) -> Iterator[str]:
    """Yields the source of each line of published numbers."""
    if lines:
        sources = "; ".join(f"({_letter(number)}) {line.source}" for number, line in enumerate(lines))
        yield f"Published numbers, which may be of other data and have no error here: {sources}."


def _letter(number: int) -> str:
    return chr(ord("a") + number) if number < 26 else str(number + 1)


def _count_decimals(value: float) -> int:
    """Counts the decimals that a published number states."""
    return min(len(str(value).partition(".")[2]), MAX_DECIMALS) if abs(value) < 1e7 and value % 1 else 0


def _count_runs(line: Sequence[Row | None]) -> str:
    """Counts the runs of a configuration: those of its number with the most runs."""
    return str(max(len(row.values) for row in line if row))


def _name_columns(specs: Mapping[str, EstimateSpec]) -> list[str]:
    """Returns the names of columns: their quantities, or their heads where two columns have one quantity."""
    quantities = [spec.quantity for spec in specs.values()]
    return [spec.quantity if quantities.count(spec.quantity) == 1 else head for head, spec in specs.items()]


def _render_numbers(rows: Sequence[Row | None], are_best: Sequence[bool], is_over_runs: bool) -> list[str]:
    """Renders a column of numbers with common decimals, and ± where the convention of the table gives an error.

    Args:
        rows: the numbers; None for a configuration without one.
        are_best: whether each number is printed in bold.
        is_over_runs: whether ± is the standard error over runs, which a single run does not have.
    """
    errors = [row.stderr if row and row.has_several_runs >= is_over_runs else None for row in rows]
    has_order = sum(row is not None for row in rows) > 1
    decimals = _choose_decimals([row.mean for row in rows if row], [error for error in errors if error])
    cells = []
    for row, error, is_best in zip(rows, errors, are_best, strict=True):
        if row is None:
            cells.append("")
            continue
        number = _format_number(row.mean, decimals)
        if error is not None:
            number += rf" \pm {_format_number(error, decimals)}"
        cells.append(rf"$\mathbf{{{number}}}$" if is_best and has_order else f"${number}$")
    return cells


def _choose_decimals(values: Sequence[float], errors: Sequence[float]) -> int:
    """Returns the decimals that show two digits of the usual error; without errors three, or none for whole numbers."""
    finite = [error for error in errors if math.isfinite(error)]
    if finite:
        return min(max(1 - math.floor(math.log10(median(finite))), 0), MAX_DECIMALS)
    return 0 if all(value.is_integer() for value in values) else 3


def _format_number(value: float, decimals: int) -> str:
    if not math.isfinite(value):
        return rf"\mathrm{{{'nan' if math.isnan(value) else 'inf'}}}" if not value < 0 else r"-\mathrm{inf}"
    if abs(value) < 1e7:
        return f"{value:.{decimals}f}"
    digits, _, exponent = f"{value:.3e}".partition("e")
    return rf"{digits} \cdot 10^{{{int(exponent)}}}"


def _describe_signs(body: Sequence[str], is_over_runs: bool) -> Iterator[str]:
    """Yields the meaning of ± and of bold numbers, where a table has them."""
    has_errors = any(r"\pm" in line for line in body)
    if is_over_runs:
        yield "± is the standard error of the mean over runs; a single run has none."
    elif has_errors:
        yield "Each number is of one trained model, with ± its standard error over the test examples and of computing."
    else:
        yield "Each number is of one trained model."
    if any(r"\mathbf" in line for line in body):
        yield (
            "Bold numbers are the best of a column, and all that do not differ from it significantly "
            "(95% for all pairs of a column together)."
        )


def _describe_methods(names: Sequence[str], specs: Mapping[str, EstimateSpec]) -> Iterator[str]:
    """Yields each method with the columns that it has estimated."""
    names_by_method: dict[str, list[str]] = {}
    for name, spec in zip(names, specs.values(), strict=True):
        method = f"{spec.describe_method()}; {spec.num_examples} examples"
        names_by_method.setdefault(method, []).append(name)
    for method, each in names_by_method.items():
        yield f"{', '.join(each)}: {method}."
