"""The commands `dgm-run`, `dgm-eval`, `dgm-sample` and `dgm-report`: Hydra's entry point, errors in a line, statuses.

Nothing heavy is imported here: `--help`, `--cfg job` and shell completion answer without torch.
"""

import os
import re
import signal
import sys
import traceback
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any, NoReturn, TypeVar, cast

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.errors import CompactHydraException, HydraException
from hydra.experimental.callback import Callback
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

import dgm_run
from dgm_run.cli.arguments import (
    check_arguments,
    check_overrides,
    config_folders,
    parse_estimator_seeds,
    parse_options,
)
from dgm_run.cli.completion import answer_query, is_query
from dgm_run.cli.dry_run import dry_run, is_dry_run, without_dry_run
from dgm_run.cli.help_text import describe_choices, help_text
from dgm_run.cli.hydra_errors import compose_arguments, describe
from dgm_run.cli.resume import (
    add_run,
    add_start,
    add_sweep,
    config_dir_of,
    fix_data_paths,
    name_own_code,
    sweep_code,
)
from dgm_run.config.commands import (
    START,
    OwnCode,
    Start,
    evaluate_run,
    find_packages,
    folder_of,
    key_of,
    load_start,
    make_importable,
    read_overrides,
    read_start,
    report_runs,
    resume_run,
    resume_sweep,
    run_estimators,
    sample_run,
    split_flags,
    store_overrides,
    take_options,
    targets_of,
)
from dgm_run.config.compose import annotate_published, as_dict, conf_dir, resolve_data_paths
from dgm_run.config.presets import list_presets, table
from dgm_run.distributed.ranks import is_rank_zero, is_worker
from dgm_run.distributed.signals import SIGPIPE, Interrupted
from dgm_run.errors import CheckpointError, ConfigError, UserError
from dgm_run.recording.output import guarded, losses, reason

VERSION = f"dgm-run {dgm_run.__version__}\n"
"""The answer of all four commands to --version."""

TOLD_IN_A_LINE = (UserError, HydraException, OSError)

T = TypeVar("T")

WORST = -1e30
"""What a failed job tells a search, which looks for the largest value of what validation data choose by."""

_failures: list[str] = []
_runs: list[Path] = []
"""Folders of the runs that this process has trained or evaluated."""
_sweeps: list[Path] = []
"""Folders of the sweeps that this process has begun."""


class SweepFolder(Callback):
    """Hydra's callback: notes the folder of a sweep, and carries what the command says to every job.

    Args:
        packages: own packages that the command names.
        only_packages: whether nothing else outside dgm_run may be built, as the configuration is from a run folder.
        base: the folder that relative data paths start from; None for the current one.
    """

    def __init__(self, packages: Sequence[str], only_packages: bool, base: str | None):
        self.packages, self.only_packages, self.base = packages, only_packages, base

    def on_multirun_start(self, config: DictConfig, **kwargs: Any) -> None:
        _sweeps.append(Path(config.hydra.sweep.dir).absolute())


@guarded()
def main() -> None:
    """Exit status 0: done; 1: an error, told in a line; 129, 130 and 143: stopped by SIGHUP, SIGINT and SIGTERM.

    A run whose output cannot be written goes on without it. What does nothing but show something ends with status
    141 if its reader has gone, as is usual, and with 1 if a disk is full.
    """
    os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")  # several processes would say the same to no one's use
    if {"-h", "--help"} & set(sys.argv):
        _told(lambda: sys.stdout.write(help_text(conf_dir())))
    if "--version" in sys.argv:
        _told(lambda: sys.stdout.write(VERSION))
    if "--choices" in sys.argv:
        _told(lambda: sys.stdout.write(describe_choices(conf_dir())))
    if "--experiments" in sys.argv:
        _told(lambda: sys.stdout.write(table(conf_dir() / "experiment")))
    if is_worker() and {"-m", "--multirun"} & set(sys.argv):
        sys.exit("a sweep is not begun by torchrun: begin each of its jobs by one")
    is_dry = _refuse(lambda: is_dry_run(sys.argv[1:]))
    sys.argv[1:] = _refuse(lambda: _complete(without_dry_run(sys.argv[1:]), is_dry))
    if is_query(sys.argv):
        _told(lambda: sys.stdout.write(answer_query(sys.argv, _hydra_main, list_presets(conf_dir() / "experiment"))))
    _told(_dry_run if is_dry else _hydra_main)


def _complete(arguments: list[str], is_dry: bool) -> list[str]:
    """The command line as Hydra takes it: overrides in one piece, data paths absolute, and what a run began with.

    Raises:
        UserError: options do not go together, an override cannot be read, or what is to be resumed is not there.
    """
    own, arguments = take_options(arguments)
    _refuse_other_roots(arguments)
    overrides, flags = split_flags(arguments)
    check_arguments([*overrides, *flags])
    if not is_dry:
        _refuse_used_sweep_folder(arguments)
    arguments = fix_data_paths(arguments)
    if any(key_of(each) == "sweep.resume" for each in arguments):
        arguments = add_sweep(arguments, own)
    else:
        arguments = add_run(arguments, own)
    make_importable(own.packages)
    overrides, flags = split_flags(arguments)
    if not is_rank_zero():
        overrides += ["hydra.run.dir=.", "hydra.output_subdir=null"]  # the run's folder is that of the first
    return [*(["--config-dir", own.config_dir] if own.config_dir else []), *overrides, *flags]


@guarded()
def evaluate() -> None:
    """`dgm-eval RUN_DIR [overrides of the estimators]`; exit statuses as those of `main`."""
    folder, own, overrides = _folder_and_more(EVALUATE_HELP)
    _refuse(lambda: check_overrides(overrides))

    def run() -> None:
        from dgm_run.runner.run import evaluate  # imports torch

        cfg = _config_of(folder, own, overrides, lambda named: evaluate_run(folder, overrides, named))
        _runs.append(folder)
        failed = evaluate(cfg, folder, own.packages)["failed_estimators"]
        if asked := {name: why for name, why in failed.items() if name in (cfg.estimators or {})}:
            _failures.append("")
            sys.stderr.write(f"{_failed_estimators(asked, folder)}\n")
        elif not failed:
            (folder / "error.txt").unlink(missing_ok=True)

    _told(run)


@guarded()
def sample() -> None:
    """`dgm-sample RUN_DIR [n=64] [seed=0]`; exit statuses as those of `main`."""
    folder, own, arguments = _folder_and_more(SAMPLE_HELP)
    settings = {"n": 64, "seed": 0}
    for argument in arguments:
        name, _, value = argument.partition("=")
        if name not in settings or not re.fullmatch(r"\d{1,9}", value) or (name == "n" and int(value) < 1):
            sys.exit(f"{argument}: dgm-sample takes n=NUMBER and seed=NUMBER")
        settings[name] = int(value)

    def run() -> None:
        import torch

        from dgm_run.config.compose import instantiate
        from dgm_run.memory import out_of_memory
        from dgm_run.runner.run_folder import load, read_preprocessing
        from dgm_run.runner.sample import draw, draw_sentences, write, write_sentences
        from dgm_run.runner.text_samples import is_of_sentences

        start, data = load_start(folder), None
        cfg = _config_of(folder, own, [], lambda named: sample_run(folder, arguments, named)) if start else None
        model = load(folder, own.packages)
        torch.set_default_dtype(next(model.parameters()).dtype)
        try:
            if cfg is None:
                raise UserError("the run was not begun by dgm-run, which keeps its data set's settings")
            with out_of_memory("the data set is too large"):
                data = instantiate(cfg.dataset).load()
        except UserError as error:
            sys.stderr.write(f"nothing is held against the data: {error}\n")
        to = folder / "drawn" / f"seed_{settings['seed']}"
        with out_of_memory(f"n={settings['n']} samples are too many: lower n"):
            if is_of_sentences(model):
                files = write_sentences(draw_sentences(model, folder, data, **settings), to)
            else:
                train, test = (data.train.uncorrupted, data.test) if data else (None, None)
                files = write(
                    draw(model, **settings, train=train, test=test, preprocessing=read_preprocessing(folder)), to
                )
        sys.stdout.writelines(f"{file}\n" for file in files)

    _told(run)


def _config_of(folder: Path, own: OwnCode, overrides: list[str], command: Callable[[OwnCode], str]) -> DictConfig:
    """Composes the configuration of a run again, and refuses code outside dgm_run that the command does not name.

    Args:
        folder: of the run.
        own: the code that the command names.
        overrides: of the command.
        command: writes the same command with this code.
    """
    from dgm_run.runner.run_folder import refuse_foreign_targets

    start = load_start(folder) or Start()
    if not own.covers(start.own):
        raise CheckpointError(name_own_code(folder, command(own | start.own)))
    folders = [Path(own.config_dir)] if own.config_dir else []
    cfg = compose_arguments(add_start(start, fix_data_paths(overrides)), folders)
    names = make_importable(own.packages)
    refuse_foreign_targets(cfg, names, lambda name: command(own | OwnCode(packages=(name,))))
    return cfg


@guarded()
def report() -> None:
    """`dgm-report FOLDER [--estimator-seeds=...]`; exit statuses as those of `main`."""
    folder, own, more = _folder_and_more(REPORT_HELP)
    estimator_seeds = _refuse(lambda: parse_estimator_seeds([*own.options, *more]))

    def run() -> None:
        from dgm_run.report.write import report

        text, files = report(folder, estimator_seeds)
        sys.stdout.write(text)
        sys.stdout.writelines(f"{file}\n" for file in files)

    _told(run)


def _folder_and_more(text: str) -> tuple[Path, OwnCode, list[str]]:
    """The folder of a run, the code that the options name, and the other arguments; or help, where it is asked for."""
    try:
        own, arguments = take_options(sys.argv[1:])
    except UserError as error:
        sys.exit(str(error))
    if "--version" in arguments:
        sys.stdout.write(VERSION)
        sys.exit(0)
    is_asked = {"-h", "--help"} & set(arguments)
    if not arguments or is_asked:
        sys.stdout.write(text)
        sys.exit(0 if is_asked else 2)
    if not Path(arguments[0]).is_dir():
        sys.exit(f"there is no run folder {arguments[0]}: {text.splitlines()[0]}")
    return Path(arguments[0]), own, arguments[1:]


SAMPLE_HELP = """dgm-sample RUN_DIR [n=64] [seed=0] [--config-dir DIR] [--package NAME]

Draws from the model of a run, by its best checkpoint, and writes samples.npz and PNG grids, of up to 1,024 images each,
to RUN_DIR/drawn/seed_SEED:
means and draws, interpolations between draws of the prior, a traversal of each latent dimension, a row for each class
where the model knows labels, and samples above their nearest training examples. Of data with missing values test
examples are completed. Of a model of sentences text files: the likeliest words and draws, reconstructions, the way from
one sentence to another, completions.
A run with parts of your own needs the options that name them: --config-dir DIR, and --package NAME for each package.
"""


REPORT_HELP = """dgm-report FOLDER [--estimator-seeds=separate|pool|compare]

Compares the runs in a folder and below it: what they differ by, their numbers with errors, one table for every way in
which a number was found, differences with intervals, published numbers, curves, pictures and costs.
Writes FOLDER/report.html, which needs no other file, and FOLDER/report.md, of which it prints what is known at a
glance; and FOLDER/published.md where runs of presets have found the number that these are to reach.

A run may have been evaluated under several seeds of an estimator (dgm-eval RUN_DIR estimators.energy.seed=1).
--estimator-seeds=separate, the default, gives each evaluation its table, as it does with any other settings; pool takes
the mean of them; compare adds a table in which each is a row, with differences.
"""


EVALUATE_HELP = """dgm-eval RUN_DIR [OVERRIDES] [--config-dir DIR] [--package NAME]

Evaluates a finished run again, by the settings it was begun with and its best checkpoint, and adds what it finds to its
results.json; a number that was found in the same way is replaced, and named. Overrides choose the estimators, where to
work, and where the data are if they have moved; without any, the run's own estimators evaluate it again:

    dgm-eval outputs/... estimators=[ais_decoder] estimators.ais_decoder.num_chains=16
    dgm-eval outputs/... estimators.importance_sampling.num_samples=5000 trainer.device=cpu
    dgm-eval outputs/... estimators.energy.seed=1
    dgm-eval outputs/... estimators.energy.repeats=5
    dgm-eval outputs/... dataset.source.path=NEW

A run with parts of your own needs the options that name them: --config-dir DIR, and --package NAME for each package.
"""


def _told(work: Callable[[], object]) -> NoReturn:
    """Does the work; errors of the user are told in a line, and the exit status says how it went."""
    full_error = os.environ.setdefault("HYDRA_FULL_ERROR", "0") == "1"
    os.environ["HYDRA_FULL_ERROR"] = "1"  # Hydra hands every error on, and they are told here
    sys.path.append(os.getcwd())  # a user's own package, as in _target_: my_package.MyPrior
    try:
        work()
    except Interrupted as stop:
        with suppress(ValueError):  # in the main thread: another Ctrl-C would only disturb the end
            signal.signal(signal.SIGINT, signal.SIG_IGN)
        sys.stderr.write(f"{stop.message}\n")
        sys.exit(128 + stop.signum)
    except KeyboardInterrupt:
        sys.exit(128 + signal.SIGINT)
    except (*TOLD_IN_A_LINE, OmegaConfBaseException) as error:
        if full_error:
            raise
        _failures.append("")
        lost = isinstance(error, OSError) and not isinstance(error, CompactHydraException)  # some are both
        prefix = "hydra.run.dir: cannot make the run folder: " if lost and work is _hydra_main else ""
        _forget_unbegun_sweeps()
        told = prefix + (describe(error, sys.argv[1:], _own_folders()) if _is_of_hydra(error) else str(error))
        sys.stderr.write(f"{told}\n")
    finally:
        _tell_failed_jobs()
    sys.stdout.flush()
    failure = losses().get("standard output")
    if failure and not (_failures or _runs or _sweeps):  # what it shows was all that it was asked for
        if isinstance(failure, BrokenPipeError):
            sys.exit(128 + SIGPIPE)
        sys.exit(f"cannot write to standard output: {reason(failure)}")
    sys.exit(1 if _failures else 0)


@hydra.main(version_base="1.3", config_path=str(conf_dir()), config_name="config")
def _hydra_main(cfg: DictConfig) -> float | None:
    with guarded():  # a launcher may have started this process
        return _job(cfg)


def _job(cfg: DictConfig) -> float | None:
    from dgm_run.runner.run import run  # imports torch
    from dgm_run.runner.run_folder import refuse_foreign_targets

    context = cast(DictConfig, HydraConfig.get())  # which Hydra declares by its schema
    folder = Path(context.runtime.output_dir)
    _runs.append(folder)
    if is_rank_zero():
        (folder / "error.txt").unlink(missing_ok=True)  # of an earlier try
    try:
        written = OmegaConf.to_container(context.overrides.task, resolve=False)  # as key=${other.key}
        assert isinstance(written, list)
        overrides: list[str] = written
        annotate_published(cfg, overrides)
        origin = context.callbacks.sweep_folder
        base = Path(origin.base or context.runtime.cwd)
        own = OwnCode(config_dir_of(context), tuple(origin.packages))
        names = make_importable(own.packages)
        if origin.only_packages:
            refuse_foreign_targets(cfg, names, lambda name: _allowing(context, own | OwnCode(packages=(name,))))
        places = resolve_data_paths(cfg, base)
        overrides = store_overrides(overrides, places)
        own = own | OwnCode(packages=find_packages(targets_of(OmegaConf.to_container(cfg, resolve=False)), base))
        start = asdict(Start(tuple(overrides), own))
        found = run(cfg, folder, _command(context, own, overrides), start)
        if failed := found["failed_estimators"]:
            _note_failed_estimators(context, failed, folder)
        return found["training"]["best"]
    except TOLD_IN_A_LINE as error:
        if context.mode == RunMode.RUN:  # raised, Hydra would put a line of its own before it
            sys.stderr.write(f"{error}\n")
            _failures.append("")
            if not isinstance(error, CheckpointError):  # the folder may be that of another run
                _keep_reason(folder, str(error))
            return None
        if isinstance(error, CheckpointError):  # the folder may be that of another run, at work or ended
            _tell_job(context, str(error))
        else:
            _note_failed_job(context, str(error))
    except Exception as error:
        if context.mode == RunMode.RUN:
            _keep_reason(folder, f"{type(error).__name__}: {error}")
            raise
        traceback.print_exc()
        _note_failed_job(context, f"{type(error).__name__}: {error}")
    return WORST  # raised, it would end a search


def _dry_run() -> None:
    if dry_run(sys.argv[1:]):
        _failures.append("")


def _refuse(check: Callable[[], T]) -> T:
    """Returns what a check of the arguments returns, or ends with its message."""
    try:
        return check()
    except UserError as error:
        sys.exit(str(error))


def _refuse_used_sweep_folder(arguments: list[str]) -> None:
    """Hydra would write over the configuration of the sweep that is there, before anything can be refused."""
    if not {"-m", "--multirun"} & set(arguments) or "trainer.resume=auto" in arguments:
        return
    for folder in [folder_of(a) for a in arguments if key_of(a) == "hydra.sweep.dir"]:
        if folder and (folder / "multirun.yaml").exists():
            again = resume_sweep(folder, sweep_code(folder))
            sys.exit(f"hydra.sweep.dir: {folder} holds a sweep: go on with it by {again}, or choose another folder")


def _refuse_other_roots(arguments: list[str]) -> None:
    """Refuses options that a run folder does not keep, so that the run could not go on."""
    for word in arguments:
        option = word.partition("=")[0].lstrip("+")
        if option in ("--config-name", "-cn", "--config-path", "-cp", "hydra.searchpath"):
            sys.exit(f"{option}: name a folder of your own YAML files by --config-dir DIR, and choose from its groups")


def _command(context: DictConfig, own: OwnCode, overrides: list[str]) -> str:
    """The command that goes on with a run: own code, the overrides that it did not begin with, its folder."""
    folder = Path(context.runtime.output_dir)
    begins = not (folder / START).exists() and context.output_subdir is not None
    known = overrides if begins else (read_start(folder) or Start()).overrides
    ours = [o for o in overrides if o not in known and key_of(o) != "trainer.resume"]
    return resume_run(folder, ours, own)


def _allowing(context: DictConfig, own: OwnCode) -> str:
    """The same command with this code."""
    if context.mode == RunMode.RUN:
        return _command(context, own, list(context.overrides.task))
    return resume_sweep(Path(context.runtime.cwd, context.sweep.dir), own)


def _note_failed_job(context: DictConfig, message: str) -> None:
    """Beside what the job has left: it may run in another process, or on another machine."""
    _tell_job(context, message)
    _keep_reason(Path(context.runtime.output_dir), message)


def _note_failed_estimators(context: DictConfig, failed: Mapping[str, str], folder: Path) -> None:
    """The run is trained and has the other numbers; it has failed all the same."""
    told = _failed_estimators(failed, folder)
    if context.mode == RunMode.RUN:
        sys.stderr.write(f"{told}\n")
        _failures.append("")
        _keep_reason(folder, told)
    else:
        _note_failed_job(context, told)


def _failed_estimators(failed: Mapping[str, str], folder: Path) -> str:
    """Names the estimators that failed, the reasons, and the command that runs them again as they were set."""
    reasons = "; ".join(f"estimators.{name} failed: {why}" for name, why in failed.items())
    return f"{reasons}; training and other estimates are kept; to run it again: {run_estimators(folder, list(failed))}"


def _tell_job(context: DictConfig, message: str) -> None:
    overrides = as_dict(context.job, resolve=False)["override_dirname"] or "no overrides"
    sys.stderr.write(f"job {context.job.num} ({overrides}): {message}\n")
    _failures.append("")


def _forget_unbegun_sweeps() -> None:
    """Removes the folders of sweeps that Hydra has refused after it has written their configuration."""
    if "trainer.resume=auto" in sys.argv:  # it was there before
        return
    for sweep in list(_sweeps):
        left = list(sweep.iterdir()) if sweep.is_dir() else []
        if [path.name for path in left] in ([], ["multirun.yaml"]):
            _sweeps.remove(sweep)
            for path in left:
                path.unlink()
            with suppress(OSError):
                sweep.rmdir()


def _is_of_hydra(error: Exception) -> bool:
    return isinstance(error, HydraException | OmegaConfBaseException)


def _own_folders() -> list[Path]:
    """The user's own configuration folders, where the command takes such."""
    with suppress(ConfigError):
        return config_folders(parse_options(sys.argv[1:]))
    return []


def _keep_reason(folder: Path, message: str) -> None:
    if not is_rank_zero():  # which writes nothing
        return
    with suppress(OSError):  # the disk may be full
        (folder / "error.txt").write_text(f"{message}\n", encoding="utf-8", errors="replace")


def _tell_failed_jobs() -> None:
    """Names the jobs of a sweep that have no results, with their reasons, and says how to compare those that have."""
    for sweep in _sweeps:
        found = sorted(sweep.glob("*/.hydra/overrides.yaml"), key=lambda path: (len(path.parts[-3]), path))
        jobs = {path.parent.parent: read_overrides(path.parent.parent) or [] for path in found}
        common = set.intersection(*map(set, jobs.values())) if len(jobs) > 1 else set()
        lines = []
        for folder, begun in jobs.items():
            if reason := _failed(folder):
                varied = ",".join(each for each in begun if each not in common) or "no overrides"
                lines.append(f"job {folder.name} ({varied}): {reason}")
        if lines:
            _failures.append("")
            again = resume_sweep(sweep, sweep_code(sweep))
            lines = ["failed jobs:", *lines, f"to run what is missing: {again}", ""]
            sys.stderr.write("\n".join(lines))
        sys.stdout.write(f"to compare the runs: {report_runs(sweep)}\n")


def _failed(folder: Path) -> str | None:
    """Why a job has no results, or has failed when it was asked for again."""
    with suppress(OSError):
        return (folder / "error.txt").read_text(encoding="utf-8", errors="replace").strip()
    if (folder / "results.json").exists():
        return None
    if (folder / "checkpoints" / "last").is_dir():
        return "it has not ended, and goes on from its checkpoint: stopped, killed, or out of memory"
    return "it ended without a word before its first checkpoint: stopped, killed, or out of memory"
