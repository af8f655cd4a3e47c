"""The command `dgm-score`, which states log p(x) of the examples in files."""

import re
import sys
from pathlib import Path
from typing import Any

from dgm_run.cli.exit_status import exit_with_status
from dgm_run.cli.run_commands import parse_folder_command
from dgm_run.errors import ConfigError
from dgm_run.recording.output import guard_output

SETTINGS = ("num_samples", "seed", "out", "device")


@guard_output()
def score() -> None:
    """Runs `dgm-score RUN_DIR FILE...`, with the exit statuses of `main`."""
    folder, own, arguments = parse_folder_command(SCORE_HELP)

    def run() -> None:
        paths, settings = _parse(arguments)
        from dgm_run.runner.run_folder import load  # imports torch
        from dgm_run.runner.score import score_files, summarize_scores, write_scores

        model = load(folder, own.packages).to(settings["device"])
        scores = score_files(model, paths, settings["num_samples"], settings["seed"])
        more = f"_and_{len(paths) - 1}_more" if len(paths) > 1 else ""
        out = settings["out"] or folder / "scores" / f"{paths[0].name}{more}.csv"
        files = write_scores(scores, out)
        sys.stdout.writelines(f"{line}\n" for line in (*summarize_scores(scores), *map(str, files)))

    exit_with_status(run)


def _parse(arguments: list[str]) -> tuple[list[Path], dict[str, Any]]:
    """Splits files from settings.

    Raises:
        ConfigError: there is no file, or a setting has no such value.
    """
    settings: dict[str, Any] = {"num_samples": None, "seed": 0, "out": None, "device": "cpu"}
    paths = []
    for argument in arguments:
        name, _, value = argument.partition("=")
        if name not in SETTINGS or not value:
            paths.append(Path(argument))
        elif name in ("out", "device"):
            settings[name] = Path(value) if name == "out" else value
        elif re.fullmatch(r"\d{1,9}", value) and (name == "seed" or int(value) > 0):
            settings[name] = int(value)
        else:
            raise ConfigError(f"{argument}: {name} is a {'positive ' * (name == 'num_samples')}whole number")
    if not paths:
        raise ConfigError(f"dgm-score needs files: {SCORE_HELP.splitlines()[0]}")
    return paths, settings


SCORE_HELP = """dgm-score RUN_DIR FILE... [num_samples=N] [seed=0] [out=FILE.csv] [device=cpu] [--package NAME]

Computes log p(x) of the examples in files by the model of a run, and writes a row for each: its standard error, the
effective sample size and the Pareto k of its weights, and a flag where the number is doubtful. The table goes to
RUN_DIR/scores/FILE.csv, and as Parquet beside it if pyarrow is installed. A summary is printed.

A file is an array (.npy, or .npz with an array x), a table of numbers (.csv, .tsv, .parquet), an image, a folder of
images, or text with a sentence in each line (.txt). A model of a table finds its columns by their names. An empty field
or NaN is a missing value. Examples are binarised or standardised as the test examples of the run were.
"""
