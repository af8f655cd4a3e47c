"""Begins a run: loads its initial weights, and writes into its folder what it starts from."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dgm_run.config.start import make_start, update_data_paths
from dgm_run.data.dataset import LoadedDataset
from dgm_run.data.text import VOCABULARY, Sentences
from dgm_run.distributed import process_group
from dgm_run.models.external import get_module
from dgm_run.recording.base import Display
from dgm_run.recording.checkpoint import Snapshot
from dgm_run.runner import run_folder
from dgm_run.runner.assemble import Parts
from dgm_run.runner.evaluate import report_failure
from dgm_run.runner.session import SESSIONS, write_session
from dgm_run.trainers.initial_weights import load_initial_weights


def begin_run(
    parts: Parts, config: dict[str, Any], folder: Path, session: dict[str, Any], start: Mapping[str, Any] | None,
    resume: Snapshot | None, display: Display,
) -> None:  # fmt: skip
    """Loads the initial weights of a new run, and writes what the run starts from."""
    settings = config["trainer"]
    digest = None
    if settings["init_from"] and not resume:
        digest = load_initial_weights(get_module(parts.model), settings["init_from"], settings["init_parts"])
    if not process_group.is_main_process():
        return
    if digest:
        run_folder.write_initial_weights(folder, settings, digest)
    _write_data_files(parts.data, folder, start if resume else None)
    with report_failure(display, f"{folder / SESSIONS}: writing the session"):
        write_session(folder, session)


def _write_data_files(data: LoadedDataset, folder: Path, resumed_start: Mapping[str, Any] | None) -> None:
    """Writes the vocabulary, the preprocessing and, for a resumed run, the new paths of its data."""
    if resumed_start:
        update_data_paths(folder, make_start(resumed_start))
    if isinstance(data.train, Sentences):
        data.train.vocabulary.write(folder / VOCABULARY)
    data.dataset.preprocessing.write(folder)
