"""The gallery of presets: what their papers state, what our runs reached, and what a run costs."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path

from dgm_run.config.presets import Preset, read_presets
from dgm_run.config.published import split_source
from dgm_run.report.markdown import escape, render_row
from dgm_run.report.published import PublishedRow, collect_published
from dgm_run.report.runs import collect_runs

HEADS = ("preset, row", "data", "published", "ours", "verdict", "hours")
ABOUT = """\
`dgm-run +experiment=NAME` runs a preset. *Hours* are of training on one core of a CPU, measured where a number of ours
stands and estimated elsewhere. [Published numbers](published.md) has the method, the warnings and the machine of each
number of ours.
"""


RowsByPreset = Mapping[tuple[str, str], Sequence[PublishedRow]]
"""Rows of our runs by preset and quantity."""


def describe_presets(conf: Path, results: Path) -> str:
    """Returns the page in Markdown."""
    done = _collect_rows(results)
    by_source: dict[str, list[Preset]] = defaultdict(list)
    for preset in read_presets(conf / "experiment"):
        by_source[split_source(preset.source)[0]].append(preset)
    lines = ["# Presets", "", ABOUT]
    for title, presets in by_source.items():
        name, _, address = title.partition(", http")
        lines += [f"## {escape(name)}", "", f"<http{address}>", ""] if address else [f"## {escape(name)}", ""]
        lines += [render_row(HEADS), render_row(["---"] * len(HEADS))]
        lines += [*_render_presets(presets, done), ""]
    return "\n".join(lines)


def show_numbers(conf: Path, results: Path, papers: Sequence[str]) -> str:
    """Returns a table of the presets of some papers that have run here; a paper is a folder of conf/experiment/."""
    done = _collect_rows(results)
    presets = [
        each
        for each in read_presets(conf / "experiment")
        if each.name.partition("/")[0] in papers and any((each.name, quantity) in done for quantity in each.values)
    ]
    if not presets:
        return "None of these presets has run here yet: see [presets](../reference/presets.md)."
    return "\n".join([render_row(HEADS), render_row(["---"] * len(HEADS)), *_render_presets(presets, done)])


@cache
def _collect_rows(results: Path) -> RowsByPreset:
    done: dict[tuple[str, str], list[PublishedRow]] = defaultdict(list)
    for row in collect_published(collect_runs(results)):
        done[row.preset, row.quantity].append(row)
    return dict(done)


def _render_presets(presets: Sequence[Preset], done: RowsByPreset) -> Iterator[str]:
    for preset in presets:
        for quantity in preset.values:
            yield _render_preset(preset, quantity, done.get((preset.name, quantity), []))


def _render_preset(preset: Preset, quantity: str, rows: Sequence[PublishedRow]) -> str:
    original = [each for each in rows if "; changed: " not in each.published.source]
    hours = preset.hours
    if original:
        seconds = [run.results["training"]["seconds"] for run in original[0].row.group.runs]
        hours = sum(seconds) / len(seconds) / 3600
    return render_row(
        [
            ": ".join(filter(None, (preset.name, split_source(preset.source)[1]))),
            preset.dataset,
            f"{quantity} {preset.values[quantity]:g}",
            " or ".join(f"{each.row.mean:.2f}" for each in original),
            " or ".join(dict.fromkeys(each.verdict for each in original)),
            "?" if hours is None else f"{hours:.0f}" if hours >= 10 else f"{hours:.2g}",
        ]
    )
