"""Logs of a run: metrics.jsonl, TensorBoard events, pictures, and run.log.

metrics.jsonl is the source of truth, because one damaged byte loses the rest of an event file. It holds nothing that
depends on the clock. An interrupted run therefore writes the same lines as a run that never stopped.
"""

import json
import os
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from dgm_run.recording.image_grid import encode_png, write_png


class RunLog:
    """Log of a run in its folder. A full disk is reported once and never ends the run.

    Args:
        folder: folder of the run.
        warn: receives lines for the user.
        offset: length of metrics.jsonl at the checkpoint, in bytes; later lines are cut.
        purge_step: step from which TensorBoard drops older events.
    """

    def __init__(self, folder: Path, warn: Callable[[str], None], offset: int = 0, purge_step: int | None = None):
        from torch.utils.tensorboard import SummaryWriter  # its import takes half a second

        self.folder = folder
        self._warn = warn
        self._failed = False
        self._metrics = open(folder / "metrics.jsonl", "ab")  # noqa: SIM115 - closed in close()
        self._metrics.truncate(self._find_kept_length(offset))
        self._writer = SummaryWriter(str(folder), purge_step=purge_step)

    def _find_kept_length(self, offset: int) -> int:
        """Returns the bytes of metrics.jsonl to keep: `offset`, or the whole lines of a damaged file."""
        path = self.folder / "metrics.jsonl"
        kept = path.read_bytes()[:offset]
        if len(kept) == offset and kept[-1:] in (b"", b"\n"):
            return offset
        self._warn(f"{path} is damaged: it has lost metrics that were logged before the checkpoint")
        return kept.rfind(b"\n") + 1

    def scalars(self, values: Mapping[str, float], step: int, epoch: float) -> None:
        """Logs named values to metrics.jsonl and TensorBoard."""
        lines = [json.dumps({"step": step, "epoch": epoch, "name": k, "value": v}) for k, v in values.items()]
        self._guard(lambda: self._metrics.write("".join(f"{line}\n" for line in lines).encode()))
        self.speed(values, step)

    def speed(self, values: Mapping[str, float], step: int) -> None:
        """Logs values that depend on the clock, to TensorBoard alone."""
        for name, value in values.items():
            self._guard(partial(self._writer.add_scalar, name, value, step))

    def picture(self, name: str, picture: np.ndarray, step: int, file: str) -> None:
        """Logs a picture to the file NAME/FILE of the run folder, and to TensorBoard."""
        from tensorboard.compat.proto.summary_pb2 import Summary

        png = encode_png(picture)
        image = Summary.Image(height=picture.shape[0], width=picture.shape[1], colorspace=3, encoded_image_string=png)
        summary = Summary(value=[Summary.Value(tag=name, image=image)])
        self._guard(lambda: self._writer._get_file_writer().add_summary(summary, step))
        self._guard(lambda: write_png(png, self.folder / name / file))

    def text(self, name: str, lines: Sequence[str], step: int, file: str) -> None:
        """Logs lines to the file NAME/FILE of the run folder, and to TensorBoard."""
        indented = "\n".join(f"    {line}" for line in lines)  # TensorBoard shows indented lines unchanged
        self._guard(lambda: self._writer.add_text(name, indented, step))
        self._guard(lambda: write_lines(lines, self.folder / name / file))

    def histogram(self, name: str, values: Tensor, step: int) -> None:
        self._guard(lambda: self._writer.add_histogram(name, values.detach().float().cpu().numpy(), step))

    def hparams(self, hparams: Mapping[str, Any]) -> None:
        """Records the start of the run for TensorBoard's HParams page, in the run's event file.

        `SummaryWriter.add_hparams` would open a second, time-stamped run, and its Experiment record would hide the
        columns of other runs.
        """
        from torch.utils.tensorboard.summary import hparams as summaries

        _, start, _ = summaries(dict(hparams), {})
        self._guard(lambda: self._writer._get_file_writer().add_summary(start))

    def end(self, is_success: bool) -> None:
        """Records success or failure on the HParams page. A stopped run, which can resume, records no end."""
        from tensorboard.plugins.hparams.api_pb2 import STATUS_FAILURE, STATUS_SUCCESS
        from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData
        from torch.utils.tensorboard.summary import hparams as summaries

        _, _, end = summaries({}, {})
        plugin_data = end.value[0].metadata.plugin_data
        data = HParamsPluginData.FromString(plugin_data.content)
        data.session_end_info.status = STATUS_SUCCESS if is_success else STATUS_FAILURE
        plugin_data.content = data.SerializeToString()
        self._guard(lambda: self._writer._get_file_writer().add_summary(end))

    def sync(self) -> int:
        """Syncs metrics.jsonl to the disk, and returns its length in bytes for the checkpoint."""
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
                self._warn(
                    f"cannot write to {self.folder} ({error.strerror or error}); training continues without logs"
                )
            self._failed = True


class TextLog:
    """Log of all messages to the user, run.log: plain lines in UTF-8.

    A file that cannot be written is reported once and never ends the run.

    Args:
        path: path of the file.
        warn: receives a line for the user.
    """

    def __init__(self, path: Path, warn: Callable[[str], None]):
        self.path = path
        self._warn = warn
        self._failed = False

    def write(self, text: str) -> None:
        """Appends lines. Each call opens the file, so that a moved or removed file is made again."""
        try:
            with open(self.path, "ab", buffering=0) as file:
                file.write(f"{text.rstrip()}\n".encode("utf-8", "replace"))
        except OSError as error:
            if not self._failed:
                self._failed = True
                self._warn(f"cannot write to {self.path} ({error.strerror or error}); the run continues")


def write_lines(lines: Sequence[str], path: Path) -> None:
    """Writes lines to a file in UTF-8, and makes its folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
