"""Trackio, with its local store."""

from collections.abc import Mapping, Sequence

import numpy as np

from dgm_run.recording.base import Logger, Picture, Status
from dgm_run.recording.logged_run import LoggedRun
from dgm_run.recording.optional_package import require_package


class TrackioLogger(Logger):
    """Logger to Trackio. A resumed run goes on under its id.

    Args:
        project: project of the run.

    Raises:
        ConfigError: the package is not installed.
    """

    def __init__(self, project: str):
        require_package("trackio")
        self.project = project

    def open(self, run: LoggedRun) -> Mapping[str, int]:
        import trackio
        from trackio.sqlite_storage import SQLiteStorage

        identity = run.load_identity("trackio")
        self._run = trackio.init(
            self.project,
            name=identity["name"] if identity else run.name,
            resume="must" if identity else "never",
            config=dict(run.hparams),
            embed=False,
        )
        if identity and identity["id"] != self._run.id:
            raise RuntimeError(f"another run of the project {self.project} has the name {run.name}")
        run.save_identity("trackio", {"name": self._run.name, "id": self._run.id})
        rows = SQLiteStorage.get_logs(self.project, run_id=self._run.id)
        return {name: row["step"] for row in sorted(rows, key=lambda row: row["step"]) for name in row}

    def scalars(self, values: Mapping[str, float], step: int, epoch: float | None) -> None:
        self._run.log(dict(values), step=step)

    def picture(self, name: str, picture: Picture, step: int) -> None:
        import trackio

        self._run.log({name: trackio.Image(picture.path)}, step=step)

    def text(self, name: str, lines: Sequence[str], step: int) -> None:
        import trackio

        self._run.log({name: trackio.Markdown("\n".join(f"    {line}" for line in lines))}, step=step)

    def histogram(self, name: str, values: np.ndarray, step: int) -> None:
        import trackio

        self._run.log({name: trackio.Histogram(values)}, step=step)

    def close(self, status: Status) -> None:
        self._run.finish()
