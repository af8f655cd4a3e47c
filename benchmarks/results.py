"""`python -m benchmarks.results plan | keep FOLDER`: the rows of papers that have a number, and those to run next.

`keep` copies what proves a number from finished runs of presets into `results/PRESET/`, or `results/PRESET/KEY=VALUE/`
for a seed or a change: the configuration, results.json, and a thinned metrics.jsonl. Weights stay behind. Then it
writes RESULTS.md from all that is kept. `plan` lists all presets by cost.
"""

import argparse
import json
import sys
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml
from omegaconf import OmegaConf

from dgm_run.config.hydra_compose import compose_with_hydra, conf_dir
from dgm_run.config.presets import Preset, read_presets
from dgm_run.report.published import PublishedRow, collect_published, render_published
from dgm_run.report.runs import Run, collect_runs

RESULTS = Path(__file__).parents[1] / "results"
MAX_POINTS = 200
"""Largest number of points of a curve that are kept."""
PRIVATE = ("host", "command")
"""Fields of the session that are not kept."""
OF_THE_MACHINE = ("data_dir=", "trainer.compile=", "trainer.resume=", "trainer.threads=", "hydra.")
"""Overrides that are not kept."""


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.results", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("plan", help="lists all presets by cost, with the verdict on those that have run")
    commands.add_parser("keep", help="copies finished runs into results/").add_argument("folder", type=Path)
    arguments = parser.parse_args()
    if arguments.command == "keep":
        kept = keep_runs(arguments.folder, RESULTS)
        if not kept:
            sys.exit(f"{arguments.folder} holds no finished run of a preset")
        (RESULTS.parent / "RESULTS.md").write_text(render_published(collect_runs(RESULTS)), encoding="utf-8")
        print(*kept, "RESULTS.md", sep="\n")
    else:
        print("\n".join(describe_plan(list(read_presets(conf_dir() / "experiment")), collect_runs(RESULTS))))


def keep_runs(source: Path, target: Path) -> list[Path]:
    """Copies all finished runs of presets in a folder, and returns the folders of the copies."""
    return [_keep_run(run, target) for run in collect_runs(source) if run.state == "finished" and run.experiment]


def _keep_run(run: Run, target: Path) -> Path:
    assert run.experiment is not None
    overrides = [each for each in run.overrides if not each.startswith(OF_THE_MACHINE)]
    folder = target / run.experiment / ",".join(each for each in overrides if not each.startswith("+experiment="))
    (folder / ".hydra").mkdir(parents=True, exist_ok=True)
    # the preset may state its number better today
    published = OmegaConf.to_container(compose_with_hydra(overrides).published)
    config = yaml.safe_load((run.path / ".hydra" / "config.yaml").read_text()) | {"published": published}
    (folder / ".hydra" / "config.yaml").write_text(yaml.safe_dump(_replace_paths(config, config["data_dir"])))
    (folder / ".hydra" / "overrides.yaml").write_text(yaml.safe_dump(overrides))
    results = json.loads((run.path / "results.json").read_text()) | {"published": published}
    environment = results["environment"]
    results["environment"] = {
        key: len(value) if key == "packages" and isinstance(value, list) else value
        for key, value in environment.items()
        if key not in PRIVATE
    }
    (folder / "results.json").write_text(json.dumps(results, indent=2) + "\n")
    with open(folder / "metrics.jsonl", "w", encoding="utf-8") as file:
        file.writelines(_thin(run.path / "metrics.jsonl"))
    return folder


def _replace_paths(node: Any, data_dir: str) -> Any:
    """Replaces the folder of the data, which differs from machine to machine."""
    if isinstance(node, dict):
        return {key: _replace_paths(value, data_dir) for key, value in node.items()}
    if isinstance(node, list):
        return [_replace_paths(value, data_dir) for value in node]
    return node.replace(data_dir, "data") if isinstance(node, str) else node


def _thin(path: Path) -> Iterator[str]:
    """Yields the lines of metrics.jsonl, evenly thinned to `MAX_POINTS` of each quantity, with its last one."""
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    places = defaultdict(list)
    for position, line in enumerate(lines):
        places[json.loads(line)["name"]].append(position)
    kept = set()
    for positions in places.values():
        step = -(-len(positions) // MAX_POINTS)
        kept |= {*positions[::-1][::step]}
    yield from (line for position, line in enumerate(lines) if position in kept)


def describe_plan(presets: list[Preset], runs: list[Run]) -> list[str]:
    """Describes all presets, the cheapest first: hours on one core, verdicts, published numbers."""
    done: dict[str, list[PublishedRow]] = defaultdict(list)
    for row in collect_published(runs):
        done[row.preset].append(row)
    presets = sorted(presets, key=lambda each: (each.hours is None, each.hours or 0.0, each.name))
    lines = ["hours  verdict              preset"]
    for preset in presets:
        hours = "?" if preset.hours is None else f"{preset.hours:.3g}"
        verdicts = sorted({row.verdict for row in done[preset.name]})
        numbers = ", ".join(f"{name} {value}" for name, value in preset.values.items())
        lines.append(f"{hours:>5}  {', '.join(verdicts) or '-':<20} {preset.name}: {numbers} ({preset.kind})")
    papers = [each.name for each in presets if each.kind == "paper"]
    counted = [name for name in papers if done[name]]
    right = sum({row.verdict for row in done[name]} <= {"reproduced", "better"} for name in counted)
    lines.append(f"{len(counted)} of {len(papers)} rows of papers have a number, {right} of them reproduced or better")
    return lines


if __name__ == "__main__":
    main()
