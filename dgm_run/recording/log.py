"""What a run writes as it goes: metrics.jsonl, TensorBoard events, pictures, and run.log.

metrics.jsonl is the source of truth: one damaged byte loses the rest of an event file. It holds nothing that
depends on the clock, so an interrupted run and one that never stopped write the same lines.
"""

import json
import os
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from dgm_run.recording.image_grid import png, save_png


class RunLog:
    """Writes into one run folder. A full disk is said once and never ends the run.

    Args:
        folder: the run folder.
        offset: length of metrics.jsonl to keep; what an interrupted run wrote after its checkpoint is cut.
        purge_step: TensorBoard drops what it has from this step on.
        warn: receives lines for the user.
    """

    def __init__(self, folder: Path, warn: Callable[[str], None], offset: int = 0, purge_step: int | None = None):
        from torch.utils.tensorboard import SummaryWriter  # imported late: it costs half a second

        self.folder, self._warn, self._failed = folder, warn, False
        self._metrics = open(folder / "metrics.jsonl", "ab")  # noqa: SIM115 - closed in close()
        self._metrics.truncate(self._whole_lines(offset))
        self._writer = SummaryWriter(str(folder), purge_step=purge_step)

    def _whole_lines(self, offset: int) -> int:
        """How much of metrics.jsonl is kept: up to `offset`, or the whole lines that a damaged file still has."""
        path = self.folder / "metrics.jsonl"
        kept = path.read_bytes()[:offset]
        if len(kept) == offset and kept[-1:] in (b"", b"\n"):
            return offset
        self._warn(f"{path} is damaged: it has lost metrics that were logged before the checkpoint")
        return kept.rfind(b"\n") + 1

    def scalars(self, values: Mapping[str, float], step: int, epoch: float) -> None:
        """Logs named values to both sinks."""
        lines = [json.dumps({"step": step, "epoch": epoch, "name": k, "value": v}) for k, v in values.items()]
        self._guard(lambda: self._metrics.write("".join(f"{line}\n" for line in lines).encode()))
        self.speed(values, step)

    def speed(self, values: Mapping[str, float], step: int) -> None:
        """Logs values that depend on the clock, to TensorBoard alone."""
        for name, value in values.items():
            self._guard(partial(self._writer.add_scalar, name, value, step))

    def picture(self, name: str, picture: np.ndarray, step: int, file: str) -> None:
        """Logs a picture under samples/, reconstructions/, ... and in TensorBoard."""
        from tensorboard.compat.proto.summary_pb2 import Summary

        image = Summary.Image(
            height=picture.shape[0], width=picture.shape[1], colorspace=3, encoded_image_string=png(picture)
        )
        summary = Summary(value=[Summary.Value(tag=name, image=image)])
        self._guard(lambda: self._writer._get_file_writer().add_summary(summary, step))
        self._guard(lambda: save_png(picture, self.folder / name / file))

    def text(self, name: str, lines: Sequence[str], step: int, file: str) -> None:
        """Logs lines under samples/, reconstructions/, ... and in TensorBoard."""
        indented = "\n".join(f"    {line}" for line in lines)  # as they are, to TensorBoard's eye
        self._guard(lambda: self._writer.add_text(name, indented, step))
        self._guard(lambda: write_lines(lines, self.folder / name / file))

    def histogram(self, name: str, values: Tensor, step: int) -> None:
        self._guard(lambda: self._writer.add_histogram(name, values.detach().float().cpu().numpy(), step))

    def hparams(self, hparams: Mapping[str, Any]) -> None:
        """The run begins, to TensorBoard's HParams page, in its own event file.

        `SummaryWriter.add_hparams` would open a second, time-stamped run for it, and its Experiment record
        would hide the columns of other runs.
        """
        from torch.utils.tensorboard.summary import hparams as summaries

        _, start, _ = summaries(dict(hparams), {})
        self._guard(lambda: self._writer._get_file_writer().add_summary(start))

    def ended(self, well: bool) -> None:
        """The run ends, to the same page; of one that was stopped, and can go on, there is no end."""
        from tensorboard.plugins.hparams.api_pb2 import STATUS_FAILURE, STATUS_SUCCESS
        from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData
        from torch.utils.tensorboard.summary import hparams as summaries

        _, _, end = summaries({}, {})
        told = end.value[0].metadata.plugin_data
        data = HParamsPluginData.FromString(told.content)
        data.session_end_info.status = STATUS_SUCCESS if well else STATUS_FAILURE
        told.content = data.SerializeToString()
        self._guard(lambda: self._writer._get_file_writer().add_summary(end))

    def sync(self) -> int:
        """Brings metrics.jsonl to the disk and returns its length, for the checkpoint."""
        self._guard(self._metrics.flush)
        self._guard(lambda: os.fsync(self._metrics.fileno()))
        self._guard(self._writer.flush)
        return os.path.getsize(self.folder / "metrics.jsonl")

    def close(self) -> None:
        self._guard(self._metrics.close)
        self._guard(self._writer.close)

    def _guard(self, write: Callable[[], Any]) -> None:
        try:
            write()
        except OSError as error:
            if not self._failed:
                self._warn(f"cannot write to {self.folder} ({error.strerror or error}); training goes on without logs")
            self._failed = True


class TextLog:
    """Appends to run.log what the user is told: plain lines in UTF-8, for the time when the terminal is gone.

    A file that cannot be written is said once and never ends the run.

    Args:
        path: of the file.
        warn: receives a line for the user.
    """

    def __init__(self, path: Path, warn: Callable[[str], None]):
        self.path, self._warn, self._failed = path, warn, False

    def write(self, text: str) -> None:
        """Appends lines; each call opens the file, so that one that was moved or removed begins anew."""
        try:
            with open(self.path, "ab", buffering=0) as file:
                file.write(f"{text.rstrip()}\n".encode("utf-8", "replace"))
        except OSError as error:
            if not self._failed:
                self._failed = True
                self._warn(f"cannot write to {self.path} ({error.strerror or error}); the run goes on")


def write_lines(lines: Sequence[str], path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
