"""Weights & Biases, online or offline."""

import shutil
from collections.abc import Mapping, Sequence
from uuid import uuid4

import numpy as np

from dgm_run.recording.base import Logger, Picture, Status
from dgm_run.recording.logged_run import LoggedRun
from dgm_run.recording.optional_package import require_package


class WandbLogger(Logger):
    """Logger to Weights & Biases.

    A resumed run goes on under its id. Offline it is written anew from metrics.jsonl, because `wandb sync` of a second
    folder with the same id would overwrite the first; the folder of the former session is removed.

    Args:
        project: project of the run.
        entity: user or team; null for the default of the account.
        mode: online | offline | disabled.

    Raises:
        ConfigError: the package is not installed.
    """

    def __init__(self, project: str, entity: str | None, mode: str):
        require_package("wandb")
        self.project = project
        self.entity = entity
        self.mode = mode

    def open(self, run: LoggedRun) -> Mapping[str, int]:
        import wandb

        identity = run.load_identity("wandb") or {"id": uuid4().hex[:8]}
        run.save_identity("wandb", identity)
        former = list(run.folder.glob(f"wandb/offline-run-*-{identity['id']}"))
        self._run = wandb.init(
            project=self.project, entity=self.entity, mode=self.mode, dir=run.folder, id=identity["id"],
            name=run.name, config=dict(run.hparams), resume="allow",
            settings=wandb.Settings(console="off", silent=True),
        )  # fmt: skip
        for folder in former:
            shutil.rmtree(folder)
        return dict.fromkeys(dict(self._run.summary), self._run.step - 1)

    def scalars(self, values: Mapping[str, float], step: int, epoch: float | None) -> None:
        self._send(values, step)

    def picture(self, name: str, picture: Picture, step: int) -> None:
        import wandb

        self._send({name: wandb.Image(str(picture.path))}, step)

    def text(self, name: str, lines: Sequence[str], step: int) -> None:
        import wandb

        self._send({name: wandb.Html(f"<pre>{chr(10).join(lines)}</pre>")}, step)

    def histogram(self, name: str, values: np.ndarray, step: int) -> None:
        import wandb

        self._send({name: wandb.Histogram(values)}, step)

    def close(self, status: Status) -> None:
        self._run.finish(exit_code=0 if status == "finished" else 1)

    def _send(self, values: Mapping, step: int) -> None:
        self._run.log(dict(values), step=max(step, self._run.step))  # the service drops values of earlier steps
