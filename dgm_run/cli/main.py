"""Entry points of the commands `dgm-run`, `dgm-eval`, `dgm-sample`, `dgm-report` and `dgm-score`.

Nothing heavy is imported here: `--help`, `--cfg job` and shell completion answer without torch.
"""

import os
import sys

import hydra
from omegaconf import DictConfig

from dgm_run.cli.arguments import check_arguments, defer_values
from dgm_run.cli.completion import answer_query, is_query
from dgm_run.cli.dry_run import drop_dry_run, dry_run, is_dry_run
from dgm_run.cli.exit_status import exit_if_refused, exit_with_status, outcome
from dgm_run.cli.help_text import describe_choices, help_text
from dgm_run.cli.job import run_job
from dgm_run.cli.resume import add_run, add_sweep, find_sweep_code, fix_data_paths
from dgm_run.cli.run_commands import VERSION, evaluate, report, sample
from dgm_run.cli.score import score
from dgm_run.cli.search import check_installation
from dgm_run.config.commands import resume_sweep
from dgm_run.config.hydra_compose import conf_dir
from dgm_run.config.overrides import read_folder, read_key, split_flags
from dgm_run.config.own_code import make_importable, take_options
from dgm_run.config.presets import format_presets, list_presets
from dgm_run.distributed.ranks import is_rank_zero, is_worker
from dgm_run.recording.output import guard_output

__all__ = ["evaluate", "main", "report", "sample", "score"]


@guard_output()
def main() -> None:
    """Runs the command `dgm-run`.

    Exit statuses: 0 for success, 1 for an error, 129, 130 and 143 for a stop by SIGHUP, SIGINT and SIGTERM.
    A run continues when its output cannot be written. A command that only prints ends with status 141 if its reader
    has gone, and with 1 if a disk is full.
    """
    os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")  # every process would print the same warnings
    if {"-h", "--help"} & set(sys.argv):
        exit_with_status(lambda: sys.stdout.write(help_text(conf_dir())))
    if "--version" in sys.argv:
        exit_with_status(lambda: sys.stdout.write(VERSION))
    if "--choices" in sys.argv:
        exit_with_status(lambda: sys.stdout.write(describe_choices(conf_dir())))
    if "--experiments" in sys.argv:
        exit_with_status(lambda: sys.stdout.write(format_presets(conf_dir() / "experiment")))
    if is_worker() and {"-m", "--multirun"} & set(sys.argv):
        sys.exit("torchrun cannot start a sweep; start each job with its own torchrun")
    is_dry = exit_if_refused(lambda: is_dry_run(sys.argv[1:]))
    sys.argv[1:] = exit_if_refused(lambda: complete_arguments(drop_dry_run(sys.argv[1:]), is_dry))
    if is_query(sys.argv):
        exit_with_status(
            lambda: sys.stdout.write(answer_query(sys.argv, _hydra_main, list_presets(conf_dir() / "experiment")))
        )
    if is_dry:
        exit_with_status(_dry_run)
    exit_if_refused(lambda: check_installation(sys.argv[1:]))
    named = [read_folder(each) for each in sys.argv[1:] if read_key(each) == "hydra.run.dir"]
    outcome.older_folders = [folder for folder in named if folder and folder.exists()]
    exit_with_status(_hydra_main, os_error_prefix="hydra.run.dir: cannot make the run folder: ")


def complete_arguments(arguments: list[str], is_dry: bool) -> list[str]:
    """Returns the command line as Hydra takes it.

    Overrides stand together, data paths are absolute, and a resumed run gets the overrides that it started with.

    Raises:
        UserError: options exclude each other, an override cannot be read, or the run to resume does not exist.
    """
    own, arguments = take_options(arguments)
    _refuse_other_roots(arguments)
    overrides, flags = split_flags(arguments)
    check_arguments([*overrides, *flags])
    if not is_dry:
        _refuse_used_sweep_folder(arguments)
    arguments = fix_data_paths(arguments)
    if any(read_key(each) == "sweep.resume" for each in arguments):
        arguments = add_sweep(arguments, own)
    else:
        arguments = add_run(arguments, own)
    make_importable(own.packages)
    overrides, flags = split_flags(arguments)
    if {"-m", "--multirun"} & set(flags):
        overrides = defer_values(overrides)
    if not is_rank_zero():
        overrides += ["hydra.run.dir=.", "hydra.output_subdir=null"]  # process 0 makes the folder of the run
    return [*(["--config-dir", own.config_dir] if own.config_dir else []), *overrides, *flags]


@hydra.main(version_base="1.3", config_path=str(conf_dir()), config_name="config")
def _hydra_main(cfg: DictConfig) -> None:
    with guard_output():  # a launcher may have started this process
        run_job(cfg)


def _dry_run() -> None:
    if dry_run(sys.argv[1:]):
        outcome.has_failed = True


def _refuse_used_sweep_folder(arguments: list[str]) -> None:
    """Refuses a new sweep in the folder of another. Hydra would overwrite its configuration before any check."""
    if not {"-m", "--multirun"} & set(arguments) or "trainer.resume=auto" in arguments:
        return
    for folder in [read_folder(a) for a in arguments if read_key(a) == "hydra.sweep.dir"]:
        if folder and (folder / "multirun.yaml").exists():
            again = resume_sweep(folder, find_sweep_code(folder))
            sys.exit(f"hydra.sweep.dir: {folder} holds a sweep: resume it by {again}, or choose another folder")


def _refuse_other_roots(arguments: list[str]) -> None:
    """Refuses options that a run folder does not keep: the run could not be resumed."""
    for word in arguments:
        option = word.partition("=")[0].lstrip("+")
        if option in ("--config-name", "-cn", "--config-path", "-cp", "hydra.searchpath"):
            sys.exit(f"{option}: name a folder of your own YAML files by --config-dir DIR, and choose from its groups")
