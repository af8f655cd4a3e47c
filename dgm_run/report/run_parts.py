"""The part of the page about each run: its settings, curves, pictures, machine and log."""

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

from dgm_run.config.leaves import format_leaf
from dgm_run.report.cells import make_cell
from dgm_run.report.charts import draw_chart
from dgm_run.report.curves import Line
from dgm_run.report.groups import normalize
from dgm_run.report.html_table import link_run, make_anchor, render_table
from dgm_run.report.pictures import PictureStore, quote_path
from dgm_run.report.runs import Run

MAX_POINTS = 100
"""Largest number of points of a curve."""
MAX_EPOCHS = 6
"""Largest number of pictures of one name that are shown."""
DRAWN = "drawn"
"""Folder in that of a run which `dgm-sample` writes, with a folder for each seed and label."""
MAX_DRAWN = 6
"""Largest number of its folders that are shown."""
NUM_LOG_LINES = 40
FILES = ("results.json", "run.log", "metrics.jsonl", ".hydra/config.yaml", "error.txt", "values.npz")


def render_run(run: Run, configuration: str, best: Run | None, pictures: PictureStore) -> str:
    """Renders a collapsible part about one run.

    Args:
        run: the run.
        configuration: name of its configuration.
        best: the best run on the same data, from which the settings are told apart; None for none.
        pictures: the pictures of the page.
    """
    body = [
        f"<p>{escape(configuration)}. Files: {', '.join(_link_files(run))}.</p>",
        _render_facts(_collect_facts(run)),
        _render_changes(run, best),
        f"<details><summary>Configuration</summary>{_render_settings(run.settings)}</details>",
        *_render_curves(run),
        *_render_pictures(run, pictures),
        _render_log(run),
    ]
    head = f"<summary><b>{escape(run.name)}</b> <small>{escape(configuration)}; {run.state}</small></summary>"
    return (
        f'<details class=run id="{make_anchor(run.name)}" data-about="{escape(configuration)}">{head}'
        f"{''.join(body)}</details>"
    )


def _link_files(run: Run) -> Iterator[str]:
    """Yields links to the folder of a run and to its files, relative to the page."""
    folder = "." if run.path == run.root else run.name
    yield f'<a href="{quote_path(folder)}/">folder</a>'
    for file in FILES:
        if os.path.exists(run.path / file):  # False also in a folder that cannot be read
            yield f'<a href="{quote_path(f"{folder}/{file}")}">{file}</a>'


def _collect_facts(run: Run) -> dict[str, str]:
    """Returns seed, training, machine, start and versions of a run, without those that are not known."""
    training = run.results.get("training") or {}
    environment = run.results.get("environment") or {}
    host, start = _read_start(run.path)
    facts = {
        "seed": run.settings.get("seed"),
        "started": start,
        "host": host,
        **{
            name: environment.get(name)
            for name in ("device", "processor", "processes", "threads", "python", "torch", "dgm_run")
        },
        "commit": environment.get("commit"),
        "epochs": training.get("epochs"),
        "seconds": round(training["seconds"], 1) if training else None,
        "stopped by": training.get("stopped_by"),
        "parameters": f"{run.results['parameters']:,}" if run.results else None,
        "message": run.message,
    }
    return {name: str(value) for name, value in facts.items() if value not in (None, "")}


def _read_start(folder: Path) -> tuple[str, str]:
    """Reads the host of a run from the name of its first event file, and its start from its log; empty if unknown."""
    events = sorted(file.name for file in folder.glob("events.out.tfevents.*"))
    found = re.match(r"events\.out\.tfevents\.\d+\.(.+?)\.\d+\.\d+$", events[0]) if events else None
    begin = re.match(r"=== (\d{4}-\d\d-\d\d \d\d:\d\d:\d\d)", _read_log(folder)[:1000])
    return found[1] if found else "", begin[1] if begin else ""


def _read_log(folder: Path) -> str:
    try:
        return (folder / "run.log").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def _render_facts(facts: Mapping[str, str]) -> str:
    return f"<dl>{''.join(f'<div><dt>{escape(k)}</dt><dd>{escape(v)}</dd></div>' for k, v in facts.items())}</dl>"


def _render_changes(run: Run, best: Run | None) -> str:
    """Renders the settings in which a run differs from the best run of its data set."""
    if best is None:
        return ""
    if best.path == run.path:
        return "<p>This is the best run on its data, by the first table.</p>"
    changes = find_changes(run.settings, best.settings)
    if not changes:
        return f"<p>It has the settings of the best run, {link_run(best.name)}.</p>"
    columns = {
        "setting": [make_cell(key) for key in changes],
        "this run": [make_cell(_format_setting(run.settings, key)) for key in changes],
        "best run": [make_cell(_format_setting(best.settings, key)) for key in changes],
    }
    return f"<p>Difference to the best run, {link_run(best.name)}:</p>{render_table(columns, list(changes))}"


def find_changes(settings: Mapping[str, Any], others: Mapping[str, Any]) -> list[str]:
    """Returns the keys whose values differ, or that only one of both has."""
    keys = dict.fromkeys([*settings, *others])
    return [
        key
        for key in keys
        if (key in settings, normalize(settings.get(key))) != (key in others, normalize(others.get(key)))
    ]


def _format_setting(settings: Mapping[str, Any], key: str) -> str:
    return format_leaf(settings[key]) if key in settings else ""


def _render_settings(settings: Mapping[str, Any]) -> str:
    lines = "\n".join(f"{key}={format_leaf(value)}" for key, value in settings.items())
    return f"<pre>{escape(lines)}</pre>"


def _render_curves(run: Run) -> Iterator[str]:
    """Yields a chart for each logged value, with its splits in one chart."""
    charts: dict[str, list[Line]] = {}
    for name, (epochs, values) in run.curves.items():
        split, _, value = name.rpartition("/")
        if len(epochs) > 1:
            charts.setdefault(value, []).append(Line(split or name, epochs, values))
    if charts:
        drawn = "".join(
            f"<figure><figcaption>{escape(name)}</figcaption>{draw_chart(lines, MAX_POINTS)}</figure>"
            for name, lines in charts.items()
        )
        yield f"<details><summary>Curves</summary><div class=charts>{drawn}</div></details>"


def _render_pictures(run: Run, pictures: PictureStore) -> Iterator[str]:
    """Yields the pictures of each name over the epochs, then those that `dgm-sample` has drawn."""
    names = sorted({file.parent.name for file in run.path.glob("*/*.png")})
    shown = "".join(_render_row(name, _choose_evenly(run.pictures(name), MAX_EPOCHS), pictures) for name in names)
    if shown:
        yield f"<details><summary>Pictures</summary>{shown}</details>"
    folders = sorted({file.parent.name for file in run.path.glob(f"{DRAWN}/*/*.png")})[:MAX_DRAWN]
    shown = "".join(_render_row(name, run.pictures(f"{DRAWN}/{name}"), pictures) for name in folders)
    if shown:
        yield f"<details><summary>Drawn by dgm-sample</summary>{shown}</details>"


def _render_row(name: str, files: Sequence[Path], pictures: PictureStore) -> str:
    """Renders pictures in a row with their names; empty without one."""
    figures = "".join(
        f"<figure>{pictures.render(file)}<figcaption>{escape(file.stem)}</figcaption></figure>" for file in files
    )
    return f"<h4>{escape(name)}</h4><div class=pictures>{figures}</div>" if figures else ""


def _choose_evenly(files: Sequence[Path], num: int) -> list[Path]:
    """Chooses at most `num` files at even distances, among them the last."""
    step = -(-len(files) // num)
    return list(files[::-1][:: max(1, step)][::-1])


def _render_log(run: Run) -> str:
    lines = _read_log(run.path).splitlines()
    if not lines:
        return ""
    cut = f"last {NUM_LOG_LINES} of {len(lines)} lines" if len(lines) > NUM_LOG_LINES else "whole"
    text = escape("\n".join(lines[-NUM_LOG_LINES:]))
    return f"<details><summary>Log <small>({cut})</small></summary><pre>{text}</pre></details>"
