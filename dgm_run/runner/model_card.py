"""Model card: what a model is, what it was trained on, its numbers with their errors, and how to use it."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

import dgm_run
from dgm_run.config.leaves import format_leaf
from dgm_run.recording.terminal import format_value

CARD = "README.md"
"""File of the card."""
HEAD = "---\nlibrary_name: dgm-run\n"
"""First lines of every card."""


def write_model_card(
    folder: Path, contents: Mapping[str, Any], config: Mapping[str, Any], file_format: str, programs: Sequence[str]
) -> None:  # fmt: skip
    """Writes README.md, whose head hubs of models read.

    Args:
        folder: folder of the exported model.
        contents: contents of results.json.
        config: configuration of the run.
        file_format: onnx | torch.
        programs: names of the programs.
    """
    head = {
        "library_name": "dgm-run",
        "tags": ["deep-generative-model", contents["model"].lower(), file_format],
        "datasets": [contents["dataset"]],
    }
    lines = [
        f"---\n{yaml.safe_dump(head, sort_keys=False)}---",
        f"# {contents['model']} of {contents['dataset']}",
        f"Trained and evaluated by dgm-run {dgm_run.__version__}. It has {contents['parameters']:,} parameters.",
        "## Numbers",
        f"Each is a mean over the test examples. Binarisation: {contents['preprocessing']}.",
        _make_table([row for row in contents["estimates"] if not row.get("dataset")]),
        "## Programs",
        _describe_programs(config["dataset"]["shape"], file_format, programs),
        "## The whole model",
        'It gives log-likelihoods, samples and imputations: `dgm_run.load("THIS_FOLDER")`. '
        "`.hydra/config.yaml` has all settings.",
    ]
    (folder / CARD).write_text("\n\n".join(lines) + "\n", encoding="utf-8")


def _make_table(estimates: Sequence[Mapping[str, Any]]) -> str:
    rows = ["| quantity | value | ± s.e. | 95% interval | unit | kind | estimator | settings |", "|" + " --- |" * 8]
    for row in estimates:
        stderr = "" if row["stderr"] is None else f"{row['stderr']:.3g}"
        interval = "" if row["interval"] is None else " to ".join(map(format_value, row["interval"]))
        settings = ", ".join(f"{name}={format_leaf(value)}" for name, value in row["settings"].items())
        words = (row["unit"], row["kind"].replace("_", " "), row["estimator"], settings)
        cells = (row["quantity"], format_value(row["value"]), stderr, interval, *words)
        rows.append(f"| {' | '.join(cells)} |")
    return "\n".join(rows)


def _describe_programs(shape: Sequence[int], file_format: str, programs: Sequence[str]) -> str:
    example = f"(N, {', '.join(map(str, shape))})"
    ends = {"onnx": ".onnx", "torch": ".pt2"}
    takes = {"encoder": f"x {example} -> mean of q(z \\| x)", "decoder": f"z (N, L) -> mean of p(x \\| z), {example}"}
    lines = ["| file | what it computes |", "| --- | --- |"]
    lines += [f"| {name}{ends[file_format]} | {takes[name]} |" for name in programs]
    first = f"{programs[0]}{ends[file_format]}"
    code = {
        "onnx": f'session = onnxruntime.InferenceSession("{first}")\n(values,) = session.run(None, {{NAME: array}})',
        "torch": f'program = torch.export.load("{first}").module()\nvalues = program(tensor)',
    }
    return "\n".join(lines) + f"\n\n```python\n{code[file_format].replace('NAME', _input_name(programs[0]))}\n```"


def _input_name(program: str) -> str:
    return '"x"' if program == "encoder" else '"z"'
