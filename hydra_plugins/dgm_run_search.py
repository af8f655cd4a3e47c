"""Entry of the sweeper `hydra/sweeper=optuna`: Hydra 1.3 looks for sweepers in the namespace `hydra_plugins` alone."""

from dgm_run.cli import search


class OptunaSweeper(search.OptunaSweeper):
    """Search by Optuna: see its base class."""
