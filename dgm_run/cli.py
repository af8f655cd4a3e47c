"""The command `dgm-run`: Hydra's entry point and exit statuses, nothing else.

Nothing heavy is imported here: `--help`, `--cfg job` and shell completion answer without torch.
"""

import os
import shlex
import signal
import sys
from pathlib import Path

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.errors import CompactHydraException
from hydra.types import RunMode
from omegaconf import DictConfig

from dgm_run.config import GROUPS, conf_dir
from dgm_run.errors import UserError
from dgm_run.signals import Interrupted

_failures: list[str] = []


def main() -> None:
    """Exit status 0: done; 1: an error, told in a line; 130 and 143: stopped by SIGINT and SIGTERM."""
    sys.path.append(os.getcwd())  # a user's own package, as in _target_: my_package.MyPrior
    for group in GROUPS:
        if f"{group}=null" in sys.argv:  # Hydra ends in a traceback here
            sys.exit(f"{group}=null: to go without, write '~{group}'")
    sys.argv[1:] += _in_the_folder_of(sys.argv[1:])
    try:
        _hydra_main()
    except Interrupted as stop:
        sys.stderr.write(f"{stop.message}\n")
        sys.exit(128 + stop.signum)
    except KeyboardInterrupt:
        sys.exit(128 + signal.SIGINT)
    finally:
        if len(_failures) > 1:
            sys.stderr.write("\n".join(["failed jobs:", *_failures, ""]))
    sys.exit(1 if _failures else 0)


def _in_the_folder_of(arguments: list[str]) -> list[str]:
    """A resumed run goes on in its own folder and keeps its own saved configuration."""
    folders = [a.partition("=")[2] for a in arguments if a.startswith("trainer.resume=")]
    if not folders or folders[-1] in ("auto", "null", ""):
        return []
    return [f"hydra.run.dir={folders[-1]}", "hydra.output_subdir=null"]


@hydra.main(version_base="1.3", config_path=str(conf_dir()), config_name="config")
def _hydra_main(cfg: DictConfig) -> float | None:
    from dgm_run.runner import run  # imports torch

    context = HydraConfig.get()
    overrides = list(context.overrides.task)
    try:
        command = shlex.join(["dgm-run", *(o for o in overrides if not o.startswith("trainer.resume="))])
        return run(cfg, Path(context.runtime.output_dir), command)["training"]["best"]
    except UserError as error:
        if context.mode == RunMode.RUN:
            sys.stderr.write(f"{error}\n")
            _failures.append(str(error))
            return None
        _note_failure(context, error)
        raise CompactHydraException(str(error)) from None  # so that the launcher knows
    except Exception as error:
        if context.mode == RunMode.MULTIRUN:
            _note_failure(context, error)
        raise


def _note_failure(context: DictConfig, error: Exception) -> None:
    job = f"job {context.job.num} ({context.job.override_dirname or 'no overrides'}): {type(error).__name__}"
    line = f"{job}: {error}" if not isinstance(error, UserError) else f"{job.rsplit(':', 1)[0]}: {error}"
    sys.stderr.write(f"{line}\n")
    _failures.append(line)
