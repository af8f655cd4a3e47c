"""MLflow, with a store on this machine or on a server."""

import re
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from dgm_run.recording.base import Logger, Picture, Status
from dgm_run.recording.logged_run import LoggedRun
from dgm_run.recording.optional_package import require_package

STATUSES = {"finished": "FINISHED", "failed": "FAILED", "stopped": "KILLED"}
"""MLflow's names of the states of a run."""

MAX_PARAMS = 100
"""Largest number of parameters that MLflow takes at once."""


class MLflowLogger(Logger):
    """Logger to MLflow. A resumed run goes on under its run id, in the store that it began in.

    Args:
        experiment: experiment of the run.
        tracking_uri: address of the store; null for MLflow's choice: MLFLOW_TRACKING_URI, or mlflow.db in the current
            folder.

    Raises:
        ConfigError: the package is not installed.
    """

    def __init__(self, experiment: str, tracking_uri: str | None):
        require_package("mlflow")
        self.experiment = experiment
        self.tracking_uri = tracking_uri

    def open(self, run: LoggedRun) -> Mapping[str, int]:
        import mlflow

        identity = run.load_identity("mlflow")
        if identity:
            self._client = mlflow.MlflowClient(identity["tracking_uri"])
            self._id = identity["run_id"]
            self._client.update_run(self._id, status="RUNNING")
            names = self._client.get_run(self._id).data.metrics
            histories = {name: self._client.get_metric_history(self._id, name) for name in names}
            return {name: max(each.step for each in history) for name, history in histories.items()}
        # a resumed run may have another current folder
        uri = re.sub("^sqlite:///(?!/)", f"sqlite:///{Path.cwd()}/", self.tracking_uri or mlflow.get_tracking_uri())
        self._client = mlflow.MlflowClient(uri)
        experiment = self._client.get_experiment_by_name(self.experiment)
        experiment_id = experiment.experiment_id if experiment else self._client.create_experiment(self.experiment)
        self._id = self._client.create_run(experiment_id, run_name=run.name).info.run_id
        run.save_identity("mlflow", {"tracking_uri": uri, "run_id": self._id})
        params = [mlflow.entities.Param(name, str(value)) for name, value in run.hparams.items()]
        for first in range(0, len(params), MAX_PARAMS):
            self._client.log_batch(self._id, params=params[first : first + MAX_PARAMS])
        return {}

    def scalars(self, values: Mapping[str, float], step: int, epoch: float | None) -> None:
        from mlflow.entities import Metric

        now = int(time.time() * 1000)
        self._client.log_batch(self._id, [Metric(name, value, now, step) for name, value in values.items()])

    def picture(self, name: str, picture: Picture, step: int) -> None:
        self._client.log_artifact(self._id, str(picture.path), name)

    def text(self, name: str, lines: Sequence[str], step: int) -> None:
        self._client.log_text(self._id, "\n".join(lines), f"{name}/step_{step:08}.txt")

    def close(self, status: Status) -> None:
        self._client.set_terminated(self._id, STATUSES[status])
