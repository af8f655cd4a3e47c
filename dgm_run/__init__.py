"""dgm-run: a config-driven experiment runner for deep generative models.

Public functions, imported on first use, so that the command line answers before torch is imported:

    cfg = dgm_run.compose("model=vae", "prior=vampprior")   # the configuration of `dgm-run model=vae ...`
    results = dgm_run.run(cfg, "outputs/mine")              # trains and evaluates, as the command does
    model = dgm_run.load("outputs/mine")                    # the trained model of a finished run
    model.sample(64)
    frame = dgm_run.results("outputs")                      # the numbers of all runs, as a pandas data frame
"""

import os
from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"
__all__ = ["compose", "evaluate", "export", "load", "results", "run"]

if TYPE_CHECKING:
    from dgm_run.config.compose import compose
    from dgm_run.report.data_frame import results
    from dgm_run.runner.evaluate_again import evaluate
    from dgm_run.runner.export import export
    from dgm_run.runner.run import run
    from dgm_run.runner.run_folder import load

# Threads of GNU's OpenMP that wait for others look so often before they sleep. Its own 300,000 looks take the cores
# from other processes, which delays all of them. torch reads the variable when it is imported.
os.environ.setdefault("GOMP_SPINCOUNT", "10000")

_MODULES = {
    "compose": "dgm_run.config.compose",
    "evaluate": "dgm_run.runner.evaluate_again",
    "export": "dgm_run.runner.export",
    "load": "dgm_run.runner.run_folder",
    "results": "dgm_run.report.data_frame",
    "run": "dgm_run.runner.run",
}


if not TYPE_CHECKING:  # a checker would take any name for one of them

    def __getattr__(name: str) -> Any:
        if name not in _MODULES:
            raise AttributeError(f"module 'dgm_run' has no attribute '{name}'")
        return getattr(import_module(_MODULES[name]), name)
