"""The commands `dgm-run`, `dgm-eval`, `dgm-sample` and `dgm-report`: Hydra's entry point, errors in a line, statuses.

Nothing heavy is imported here: `--help`, `--cfg job` and shell completion answer without torch.
"""

import os
import re
import shlex
import signal
import sys
import traceback
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, NoReturn, TypeVar

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.errors import CompactHydraException, HydraException
from hydra.experimental.callback import Callback
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from dgm_run import __version__, refusals
from dgm_run.arguments import check_arguments, check_overrides, config_folders, parse_options
from dgm_run.config import GROUPS, MAY_CHANGE, compose, conf_dir, note_changes
from dgm_run.dry_run import dry_run, is_dry_run, without_dry_run
from dgm_run.errors import CheckpointError, ConfigError, UserError
from dgm_run.help_text import help_text
from dgm_run.ranks import is_first, is_started
from dgm_run.refusals import describe
from dgm_run.signals import Interrupted

TOLD_IN_A_LINE = (UserError, HydraException, OSError)

T = TypeVar("T")

WORST = -1e30
"""What a failed job tells a search, which looks for the largest value of what validation data choose by."""

_failures: list[str] = []
_sweeps: list[Path] = []
"""Folders of the sweeps that this process has begun."""


class SweepFolder(Callback):
    """Told by Hydra where the jobs of a sweep leave what they find, whatever engine runs them."""

    def on_multirun_start(self, config: DictConfig, **kwargs: Any) -> None:
        _sweeps.append(Path(config.hydra.sweep.dir).absolute())


def main() -> None:
    """Exit status 0: done; 1: an error, told in a line; 130 and 143: stopped by SIGINT and SIGTERM."""
    os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")  # several processes would say the same to no one's use
    if {"-h", "--help"} & set(sys.argv):
        sys.stdout.write(help_text(conf_dir()))
        sys.exit(0)
    if "--version" in sys.argv:
        sys.stdout.write(f"dgm-run {__version__}\n")
        sys.exit(0)
    if "--experiments" in sys.argv:
        from dgm_run.presets import table

        sys.stdout.write(table(conf_dir() / "experiment"))
        sys.exit(0)
    if is_started() and {"-m", "--multirun"} & set(sys.argv):
        sys.exit("a sweep is not begun by torchrun: begin each of its jobs by one")
    _refuse(lambda: check_arguments(sys.argv[1:]))
    is_dry = _refuse(lambda: is_dry_run(sys.argv[1:]))
    if not is_first():
        sys.argv += ["hydra.run.dir=.", "hydra.output_subdir=null"]  # the run's folder is that of the first
    if not is_dry:
        _refuse_used_sweep_folder(sys.argv[1:])
    sys.argv[1:] = _resumed(_sweep_resumed(without_dry_run(sys.argv[1:])))
    _told(_dry_run if is_dry else _hydra_main)


def evaluate() -> None:
    """`dgm-eval RUN_DIR [overrides of the estimators]`; exit statuses as those of `main`."""
    folder, overrides = _folder_and_more(EVALUATE_HELP)
    _refuse(lambda: check_overrides(overrides))

    def run() -> None:
        from dgm_run.runner import evaluate  # imports torch

        evaluate(refusals.compose(_again(folder, overrides)), folder)

    _told(run)


def sample() -> None:
    """`dgm-sample RUN_DIR [n=64] [seed=0]`; exit statuses as those of `main`."""
    folder, arguments = _folder_and_more(SAMPLE_HELP)
    settings = {"n": 64, "seed": 0}
    for argument in arguments:
        name, _, value = argument.partition("=")
        if name not in settings or not re.fullmatch(r"\d{1,9}", value) or (name == "n" and int(value) < 1):
            sys.exit(f"{argument}: dgm-sample takes n=NUMBER and seed=NUMBER")
        settings[name] = int(value)

    def run() -> None:
        import torch

        from dgm_run.config import instantiate
        from dgm_run.run_folder import load
        from dgm_run.sampling import draw, draw_sentences, write, write_sentences
        from dgm_run.sentences import is_of_sentences

        model, data = load(folder), None
        torch.set_default_dtype(next(model.parameters()).dtype)
        try:
            if not (folder / ".hydra" / "overrides.yaml").exists():
                raise UserError("the run was not begun by dgm-run, which keeps its data set's settings")
            data = instantiate(compose(*_begun_with(folder)).dataset).load()
        except UserError as error:
            sys.stderr.write(f"nothing is held against the data: {error}\n")
        to = folder / "drawn" / f"seed_{settings['seed']}"
        if is_of_sentences(model):
            files = write_sentences(draw_sentences(model, folder, data, **settings), to)
        else:
            files = write(draw(model, **settings, train=data and data.train.clean), to)
        sys.stdout.writelines(f"{file}\n" for file in files)

    _told(run)


def report() -> None:
    """`dgm-report FOLDER`; exit statuses as those of `main`."""
    folder, more = _folder_and_more(REPORT_HELP)
    if more:
        sys.exit(f"{more[0]}: dgm-report takes a folder and nothing else")

    def run() -> None:
        from dgm_run.report.write import report

        text, files = report(folder)
        sys.stdout.write(text)
        sys.stdout.writelines(f"{file}\n" for file in files)

    _told(run)


def _folder_and_more(text: str) -> tuple[Path, list[str]]:
    """The folder of a run, which comes first, and the arguments after it; or help, where it is asked for."""
    arguments = [a for a in sys.argv[1:] if a not in ("-h", "--help")]
    if not arguments or len(arguments) < len(sys.argv) - 1:
        sys.stdout.write(text)
        sys.exit(0 if len(arguments) < len(sys.argv) - 1 else 2)
    if not Path(arguments[0]).is_dir():
        sys.exit(f"there is no run folder {arguments[0]}: {text.splitlines()[0]}")
    return Path(arguments[0]), arguments[1:]


SAMPLE_HELP = """dgm-sample RUN_DIR [n=64] [seed=0]

Draws from the model of a run, by its best checkpoint, and writes PNG grids and samples.npz to RUN_DIR/drawn/seed_SEED:
means and draws, interpolations between draws of the prior, a traversal of each latent dimension, a row for each class
where the model knows labels, and samples above their nearest training examples. Of a model of sentences text files:
the likeliest words and draws, reconstructions, the way from one sentence to another, completions.
"""


REPORT_HELP = """dgm-report FOLDER

Compares the runs in a folder and below it: what they differ by, their numbers with errors, one table for every way in
which a number was found, paired differences on the same test examples, published numbers, curves, pictures and costs.
Writes FOLDER/report.html, which needs no other file, and FOLDER/report.md, of which it prints what is known at a
glance; and FOLDER/published.md where runs of presets have found the number of a paper.
"""


EVALUATE_HELP = """dgm-eval RUN_DIR [OVERRIDES]

Evaluates a finished run again, by the settings it was begun with and its best checkpoint, and adds what it finds to its
results.json. Overrides choose the estimators and where to work:

    dgm-eval outputs/... estimators=[ais_decoder] estimators.ais_decoder.num_chains=16
    dgm-eval outputs/... estimators.importance_sampling.num_samples=5000 trainer.device=cpu
"""


def _told(work: Callable[[], object]) -> NoReturn:
    """Does the work; errors of the user are told in a line, and the exit status says how it went."""
    full_error = os.environ.setdefault("HYDRA_FULL_ERROR", "0") == "1"
    os.environ["HYDRA_FULL_ERROR"] = "1"  # Hydra hands every error on, and they are told here
    sys.path.append(os.getcwd())  # a user's own package, as in _target_: my_package.MyPrior
    try:
        work()
    except Interrupted as stop:
        sys.stderr.write(f"{stop.message}\n")
        sys.exit(128 + stop.signum)
    except KeyboardInterrupt:
        sys.exit(128 + signal.SIGINT)
    except BrokenPipeError:  # whoever read has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(128 + signal.SIGPIPE)
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
    sys.exit(1 if _failures else 0)


@hydra.main(version_base="1.3", config_path=str(conf_dir()), config_name="config")
def _hydra_main(cfg: DictConfig) -> float | None:
    from dgm_run.runner import run  # imports torch

    context = HydraConfig.get()
    folder = Path(context.runtime.output_dir)
    if is_first():
        (folder / "error.txt").unlink(missing_ok=True)  # of an earlier try
    try:
        overrides = OmegaConf.to_container(context.overrides.task, resolve=False)  # as key=${other.key}
        note_changes(cfg, overrides)
        return run(cfg, folder, _command(overrides, folder))["training"]["best"]
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
    except ConfigError as error:
        sys.exit(str(error))


def _refuse_used_sweep_folder(arguments: list[str]) -> None:
    """Hydra would write over the configuration of the sweep that is there, before anything can be refused."""
    if not {"-m", "--multirun"} & set(arguments) or "trainer.resume=auto" in arguments:
        return
    for folder in [a.partition("=")[2].strip("'") for a in arguments if a.startswith("hydra.sweep.dir=")]:
        if (Path(folder) / "multirun.yaml").exists():
            sys.exit(
                f"hydra.sweep.dir: {folder} holds a sweep: go on with it by sweep.resume={_quoted(Path(folder))}, or "
                "choose another folder"
            )


def _resumed(arguments: list[str]) -> list[str]:
    """A resumed run goes on in its own folder, with the overrides it was begun with, and those of this command."""
    folders = [a.partition("=")[2].strip("'") for a in arguments if a.startswith("trainer.resume=")]
    if not folders or folders[-1] in ("auto", "null", ""):
        return arguments
    folder = Path(folders[-1])
    if not folder.is_dir():
        sys.exit(f"trainer.resume: there is no run folder {folder}: start the run without it")
    return [*_again(folder, arguments), f"hydra.run.dir='{folder}'", "hydra.output_subdir=null"]


def _sweep_resumed(arguments: list[str]) -> list[str]:
    """A resumed sweep: its own overrides in its own folder, where jobs that have ended stay as they are."""
    wanted = [a for a in arguments if a.startswith("sweep.resume=")]
    if not wanted:
        return arguments
    folder = Path(wanted[-1].partition("=")[2].strip("'"))
    try:
        overrides = OmegaConf.load(folder / "multirun.yaml").hydra.overrides
        begun, engine = list(overrides.task), list(overrides.hydra)
    except (OSError, YAMLError, AttributeError):
        sys.exit(f"sweep.resume: there is no sweep in {folder}: give the folder that holds its multirun.yaml")
    more = [a for a in arguments if a not in (*wanted, *begun, "-m", "--multirun")]
    changed = [a for a in more if not _key(a).startswith("hydra") and not _may_change(_key(a))]
    if changed:
        sys.exit(f"sweep.resume: {changed[0]} would be another sweep: start one of its own")
    now = {_key(a) for a in more} | {"trainer.resume", "hydra.sweep.dir", "hydra.mode"}
    kept = [each for each in (*begun, *engine) if _key(each) not in now]
    return ["-m", *kept, *more, "trainer.resume=auto", f"hydra.sweep.dir='{folder}'"]


def _may_change(key: str) -> bool:
    return any(key == each or key.startswith(f"{each}.") for each in MAY_CHANGE)


def _again(folder: Path, arguments: list[str]) -> list[str]:
    """The overrides that a run was begun with, but for those that are given anew, which follow."""
    now = {_key(a) for a in arguments}
    chosen = tuple(f"{group}." for group in GROUPS if group in now)  # what was set in another choice goes with it
    begun = [o for o in _begun_with(folder) if _key(o) not in now and not _key(o).startswith(chosen)]
    return [*begun, *arguments]


def _begun_with(folder: Path) -> list[str]:
    try:
        saved = OmegaConf.to_container(OmegaConf.load(folder / ".hydra" / "overrides.yaml"))
    except (OSError, YAMLError):  # a run that was not begun by this command
        return []
    return [override for override in saved if isinstance(override, str)] if isinstance(saved, list) else []


def _key(override: str) -> str:
    return override.partition("=")[0].lstrip("+~")


def _command(overrides: list[str], folder: Path) -> str:
    """The command that goes on with a run: its options, the overrides it was not begun with, and its folder."""
    begun = _begun_with(folder)
    ours = [o for o in overrides if o not in begun and not o.startswith("trainer.resume=")]
    options = [each for each in _options() if each not in overrides]
    return shlex.join(["dgm-run", *options, *ours, f"trainer.resume={_quoted(folder)}"])


def _options() -> list[str]:
    """What of the command line is no override, with the values that follow: --config-dir conf."""
    options = [a for a in sys.argv[1:] if "=" not in a or a.startswith("-")]
    return [a for a in options if a not in ("-m", "--multirun") and not a.startswith("~")]


def _quoted(path: Path) -> str:
    """As Hydra takes it for a value."""
    return str(path) if re.fullmatch(r"[\w/.:-]+", str(path)) else f"'{path}'"


def _note_failed_job(context: DictConfig, message: str) -> None:
    """Beside what the job has left: it may run in another process, or on another machine."""
    _tell_job(context, message)
    _keep_reason(Path(context.runtime.output_dir), message)


def _tell_job(context: DictConfig, message: str) -> None:
    overrides = OmegaConf.to_container(context.job, resolve=False)["override_dirname"] or "no overrides"
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
    if not is_first():  # which writes nothing
        return
    with suppress(OSError):
        (folder / "error.txt").write_text(f"{message}\n")


def _tell_failed_jobs() -> None:
    """Names the jobs of a sweep that have no results, with their reasons, and says how to compare those that have."""
    for sweep in _sweeps:
        found = sorted(sweep.glob("*/.hydra/overrides.yaml"), key=lambda path: (len(path.parts[-3]), path))
        jobs = {path.parent.parent: _begun_with(path.parent.parent) for path in found}
        common = set.intersection(*map(set, jobs.values())) if len(jobs) > 1 else set()
        lines = []
        for folder, begun in jobs.items():
            if reason := _failed(folder):
                varied = ",".join(each for each in begun if each not in common) or "no overrides"
                lines.append(f"job {folder.name} ({varied}): {reason}")
        if lines:
            _failures.append("")
            again = shlex.join(["dgm-run", *_options(), f"sweep.resume={_quoted(sweep)}"])
            lines = ["failed jobs:", *lines, f"to run what is missing: {again}", ""]
            sys.stderr.write("\n".join(lines))
        sys.stdout.write(f"to compare the runs: {shlex.join(['dgm-report', str(sweep)])}\n")


def _failed(folder: Path) -> str | None:
    """Why a job has no results, or has failed when it was asked for again."""
    with suppress(OSError):
        return (folder / "error.txt").read_text().strip()
    if (folder / "results.json").exists():
        return None
    if (folder / "checkpoints" / "last").is_dir():
        return "it has not ended, and goes on from its checkpoint: stopped, killed, or out of memory"
    return "it ended without a word before its first checkpoint: stopped, killed, or out of memory"
