"""The commands on a run folder: `dgm-eval`, `dgm-sample` and `dgm-report`."""

import re
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from omegaconf import DictConfig, OmegaConf

import dgm_run
from dgm_run.cli.arguments import check_overrides
from dgm_run.cli.exit_status import exit_if_refused, exit_with_status, outcome
from dgm_run.cli.report_options import parse_report_options
from dgm_run.cli.resume import add_start, describe_own_code, fix_data_paths
from dgm_run.config.commands import evaluate_run, run_estimators, sample_run
from dgm_run.config.compose import as_config, compose, override_config
from dgm_run.config.overrides import read_key
from dgm_run.config.own_code import OwnCode, make_importable, take_options
from dgm_run.config.start import load_start
from dgm_run.errors import CheckpointError, UserError
from dgm_run.recording.output import guard_output

if TYPE_CHECKING:
    from dgm_run.data.dataset import LoadedDataset
    from dgm_run.models.base import GenerativeModel

VERSION = f"dgm-run {dgm_run.__version__}\n"
"""Text that all commands print for --version."""


@guard_output()
def evaluate() -> None:
    """Runs `dgm-eval RUN_DIR [overrides of the estimators]`, with the exit statuses of `main`."""
    folder, own, overrides = parse_folder_command(EVALUATE_HELP)
    exit_if_refused(lambda: check_overrides(overrides))

    def run() -> None:
        from dgm_run.runner.evaluate_again import evaluate  # imports torch
        from dgm_run.runner.results import read
        from dgm_run.runner.run_folder import refuse_foreign_networks

        cfg = _compose_run(folder, own, overrides, lambda code: evaluate_run(folder, overrides, code))
        named = [read_key(each) for each in overrides]
        refuse_foreign_networks(cfg, named, lambda network: evaluate_run(folder, [*overrides, network], own))
        outcome.run_folders.append(folder)
        failed = evaluate(cfg, folder, own.packages)["failed_estimators"]
        chosen = cfg.estimators or {}
        if failed_now := {name: reason for name, reason in failed.items() if name in chosen}:
            outcome.has_failed = True
            data = [each for each in overrides if read_key(each).partition("/")[0].startswith("dataset")]
            sys.stderr.write(f"{describe_failed_estimators(failed_now, folder, data)}\n")
        elif not failed and not read(folder / "results.json").get("failed_estimators"):
            (folder / "error.txt").unlink(missing_ok=True)

    exit_with_status(run)


@guard_output()
def sample() -> None:
    """Runs `dgm-sample RUN_DIR [n=64] [seed=0] [label=LABEL]`, with the exit statuses of `main`."""
    folder, own, arguments = parse_folder_command(SAMPLE_HELP)
    n, seed, label = _parse_sample_settings(arguments)

    def run() -> None:
        from dgm_run.memory import out_of_memory  # imports torch

        with out_of_memory(f"n={n} samples are too many: lower n"):
            files = (
                _draw_pictures(folder, own, n, seed, arguments)
                if label is None
                else _draw_label(folder, own, n, seed, label)
            )
        sys.stdout.writelines(f"{file}\n" for file in files)

    exit_with_status(run)


def _draw_pictures(folder: Path, own: OwnCode, n: int, seed: int, arguments: list[str]) -> list[Path]:
    """Draws all pictures, or sentences, of the model; returns their files."""
    import torch

    from dgm_run.models.base import get_like
    from dgm_run.runner.run_folder import load_model
    from dgm_run.runner.sample import draw_sentences, write_sentences
    from dgm_run.runner.text_samples import is_sentence_model

    has_start = load_start(folder)
    cfg = _compose_run(folder, own, [], lambda code: sample_run(folder, arguments, code)) if has_start else None
    model = load_model(folder, own.packages)
    torch.set_default_dtype(get_like(model).dtype)
    data = _load_data_or_warn(cfg, folder)
    target = folder / "drawn" / f"seed_{seed}"
    if is_sentence_model(model):
        return write_sentences(draw_sentences(model, folder, data, n, seed), target)
    return _draw_examples(model, folder, data, n, seed, target)


def _draw_examples(
    model: "GenerativeModel", folder: Path, data: "LoadedDataset | None", n: int, seed: int, target: Path
) -> list[Path]:  # fmt: skip
    """Draws images, vectors or rows of a table, and writes them; returns the files."""
    from dgm_run.data.table import TableDataset
    from dgm_run.models.labelled.base import JointModel
    from dgm_run.runner.run_folder import load_config, read_preprocessing
    from dgm_run.runner.sample import draw, write
    from dgm_run.runner.table_samples import draw_labelled_rows, read_run_columns, write_tables

    config = load_config(folder)
    preprocessing = read_preprocessing(folder)
    if not read_run_columns(config):
        train = data.train.uncorrupted if data else None
        return write(draw(model, n, seed, train, data.test if data else None, preprocessing), target)
    pictures = draw(model, n, seed, preprocessing=preprocessing)
    y = None
    if isinstance(model, JointModel):
        x, y = draw_labelled_rows(model, n, seed)
        pictures["samples_drawn"] = preprocessing.restore(x)
    table = data.dataset if data and isinstance(data.dataset, TableDataset) else None
    return write(pictures, target) + write_tables(
        model, pictures["samples_drawn"], y, seed, table, config, preprocessing, target
    )


def _draw_label(folder: Path, own: OwnCode, n: int, seed: int, label: str) -> list[Path]:
    """Draws examples of one label; returns their files."""
    import torch

    from dgm_run.runner.run_folder import load, load_config
    from dgm_run.runner.sample import write
    from dgm_run.runner.table_samples import find_label, read_run_columns, write_tables

    config = load_config(folder)
    number = find_label(config, label)
    model = load(folder, own.packages)
    drawn = model.sample(n, number, seed)
    target = folder / "drawn" / f"label_{number}_seed_{seed}"
    files = write({"samples_drawn": drawn}, target)
    if read_run_columns(config):
        y = torch.full((n,), number)
        files += write_tables(model.model, drawn, y, seed, None, config, model.preprocessing, target)
    return files


def _parse_sample_settings(arguments: list[str]) -> tuple[int, int, str | None]:
    """Parses `n=NUMBER`, `seed=NUMBER` and `label=LABEL`; ends the process at any other argument."""
    settings: dict[str, str] = {"n": "64", "seed": "0", "label": ""}
    for argument in arguments:
        name, _, value = argument.partition("=")
        is_valid = re.fullmatch(r"\d{1,9}", value) if name in ("n", "seed") else name == "label" and value
        if not is_valid or (name == "n" and int(value) < 1):
            sys.exit(f"{argument}: dgm-sample takes n=NUMBER, seed=NUMBER and label=LABEL; n is positive")
        settings[name] = value
    return int(settings["n"]), int(settings["seed"]), settings["label"] or None


def _load_data_or_warn(cfg: DictConfig | None, folder: Path) -> "LoadedDataset | None":
    """Loads the data set of a run, with the run's columns; returns None after a warning if it is not available."""
    from dgm_run.config.compose import instantiate
    from dgm_run.data.table import FOLLOWING_KEYS
    from dgm_run.memory import out_of_memory
    from dgm_run.runner.run_folder import load_config

    try:
        if cfg is None:
            raise UserError("the run has no settings of its data set, because dgm-run did not start it")
        if "columns" in cfg.dataset:
            saved = load_config(folder)["dataset"]
            for key in FOLLOWING_KEYS:
                cfg.dataset[key] = saved.get(key)
        with out_of_memory("the data set is too large"):
            return instantiate(cfg.dataset).load()
    except UserError as error:
        sys.stderr.write(f"warning: nearest neighbours skipped, data set not available: {error}\n")
    return None


def _compose_run(folder: Path, own: OwnCode, overrides: list[str], command: Callable[[OwnCode], str]) -> DictConfig:
    """Composes the configuration of a run again, and refuses code outside dgm_run that the command does not name.

    A run without a record of its start keeps its own configuration, below the overrides.

    Args:
        folder: folder of the run.
        own: code that the command names.
        overrides: overrides of the command.
        command: writes the same command with more code.
    """
    from dgm_run.runner.run_folder import load_config, refuse_foreign_targets

    start = load_start(folder)
    if start is None:  # Python started the run, or the folder is an exported copy
        cfg = as_config(OmegaConf.create(load_config(folder)))
        override_config(cfg, fix_data_paths(overrides), own.config_dir)
    elif not own.covers(start.own):
        raise CheckpointError(describe_own_code(folder, command(own | start.own)))
    else:
        cfg = compose(*add_start(start, fix_data_paths(overrides)), config_dir=own.config_dir)
    names = make_importable(own.packages)
    refuse_foreign_targets(cfg, names, lambda name: command(own | OwnCode(packages=(name,))))
    return cfg


@guard_output()
def report() -> None:
    """Runs `dgm-report FOLDER [options]`, with the exit statuses of `main`."""
    folder, own, more = parse_folder_command(REPORT_HELP)
    options = exit_if_refused(lambda: parse_report_options([*own.options, *more]))

    def run() -> None:
        from dgm_run.report.write import report

        text, files = report(folder, *options)
        sys.stdout.write(text)
        sys.stdout.writelines(f"{file}\n" for file in files)

    exit_with_status(run)


def parse_folder_command(help_text: str) -> tuple[Path, OwnCode, list[str]]:
    """Returns the folder, the code that the options name, and the other arguments. Prints the help on request."""
    try:
        own, arguments = take_options(sys.argv[1:])
    except UserError as error:
        sys.exit(str(error))
    if "--version" in arguments:
        sys.stdout.write(VERSION)
        sys.exit(0)
    has_help = {"-h", "--help"} & set(arguments)
    if not arguments or has_help:
        sys.stdout.write(help_text)
        sys.exit(0 if has_help else 2)
    if not Path(arguments[0]).is_dir():
        sys.exit(f"there is no run folder {arguments[0]}: {help_text.splitlines()[0]}")
    return Path(arguments[0]), own, arguments[1:]


SAMPLE_HELP = """dgm-sample RUN_DIR [n=64] [seed=0] [label=LABEL] [--config-dir DIR] [--package NAME]

Draws from the model of a run, from its best checkpoint, and writes to RUN_DIR/drawn/seed_SEED. A model of images gives
samples.npz and PNG grids, of up to 1,024 images each: means and draws, interpolations between draws of the prior, a
traversal of each latent dimension, a row for each class, and samples above their nearest training examples. Test
examples with missing values are completed. A model of sentences gives text files: the likeliest words and draws,
reconstructions, interpolations between two sentences, completions. With a label, a model of labels draws examples of it
alone, to RUN_DIR/drawn/label_LABEL_seed_SEED. A label is a number from 0, or a value of the label column of a table.
A run with parts of your own needs the options that name them: --config-dir DIR, and --package NAME for each package.
"""


REPORT_HELP = """dgm-report FOLDER [--csv] [--latex] [--figures=pdf|svg] [--estimator-seeds=separate|pool|compare]

Compares the runs in a folder and below it: their settings, numbers with errors (one table for every estimator and its
settings), differences with intervals, published numbers, curves, pictures and costs.
Writes FOLDER/report.html, which needs no network, and FOLDER/report.md, and prints the overview. If there are runs
of presets, writes FOLDER/published.md, which compares their numbers with the published ones.
--csv writes FOLDER/report.csv, a line for each run and quantity. --latex writes FOLDER/report.tex, tables for a paper.
--figures=pdf, or svg, writes learning curves, differences and pictures to FOLDER/figures.

A run may have been evaluated under several seeds of an estimator (dgm-eval RUN_DIR estimators.energy.seed=1).
--estimator-seeds=separate, the default, puts each evaluation into a table of its own, as for any other settings. pool
takes the mean of the evaluations. compare adds a table with a row for each evaluation, and differences.
"""


EVALUATE_HELP = """dgm-eval RUN_DIR [OVERRIDES] [--config-dir DIR] [--package NAME]

Evaluates a finished run again, with its own settings and its best checkpoint, and adds the estimates to its
results.json. A number of the same estimator, settings and data is replaced, and named. Overrides choose the estimators,
the device, and other data, or the new place of data that have moved. Without overrides, the run's own estimators
evaluate it again:

    dgm-eval outputs/... estimators=[ais_decoder] estimators.ais_decoder.num_chains=16
    dgm-eval outputs/... estimators.importance_sampling.num_samples=5000 trainer.device=cpu
    dgm-eval outputs/... estimators.energy.seed=1
    dgm-eval outputs/... estimators.energy.repeats=5
    dgm-eval outputs/... dataset.source.path=NEW
    dgm-eval outputs/... dataset=fashion_mnist
    dgm-eval outputs/... dataset=image_folder dataset.source.path=FOLDER

Other data pass through the preprocessing of the run. Their numbers name them, and stand apart from those of the run.

A run with parts of your own needs the options that name them: --config-dir DIR, and --package NAME for each package.
"""


def describe_failed_estimators(failed: Mapping[str, str], folder: Path, data: Sequence[str] = ()) -> str:
    """Names the estimators that failed, their reasons, and the command that runs them again with their settings.

    Args:
        failed: reasons by the names of the estimators.
        folder: folder of the run.
        data: overrides that choose other data.
    """
    reasons = "; ".join(f"estimators.{name} failed: {why}" for name, why in failed.items())
    again = run_estimators(folder, list(failed), data)
    return f"{reasons}; training and other estimates are kept; to run it again: {again}"
