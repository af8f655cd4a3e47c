"""Run as its loggers see it, with the identities that they keep in its folder."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

IDENTITIES = "loggers.json"
"""File in a run folder with the identity of the run in each service, such as its run id."""


@dataclass(frozen=True)
class LoggedRun:
    """Run at the start of a session.

    Args:
        folder: folder of the run.
        hparams: hyperparameters, by the names that a user sets.
        resumed_step: last step of the checkpoint that the session resumes from; None for a new run.
    """

    folder: Path
    hparams: Mapping[str, Any]
    resumed_step: int | None

    @property
    def name(self) -> str:
        """Name of the run: the last two parts of its folder, a date and a time or a sweep and a job."""
        folder = self.folder.absolute()
        return f"{folder.parent.name}/{folder.name}"

    def load_identity(self, logger: str) -> dict[str, str] | None:
        """Returns the identity of a resumed run in a service; None for a run that the service does not have."""
        return None if self.resumed_step is None else self._read().get(logger)

    def save_identity(self, logger: str, identity: Mapping[str, str]) -> None:
        """Writes the identity of the run in a service."""
        content = self._read() | {logger: dict(identity)}
        (self.folder / IDENTITIES).write_text(json.dumps(content, indent=2))

    def _read(self) -> dict[str, dict[str, str]]:
        try:
            return json.loads((self.folder / IDENTITIES).read_text())
        except (OSError, ValueError):
            return {}
