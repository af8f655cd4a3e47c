"""TensorBoard events in the run folder: scalars, pictures, texts, histograms, and the HParams page."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from dgm_run.recording.base import Logger, Picture, Status
from dgm_run.recording.logged_run import LoggedRun


class TensorBoardLogger(Logger):
    """Logger to TensorBoard's event files. A resumed run drops the events after its checkpoint."""

    def open(self, run: LoggedRun) -> None:
        from torch.utils.tensorboard import SummaryWriter  # its import takes half a second

        purge_step = None if run.resumed_step is None else run.resumed_step + 1
        self._writer = SummaryWriter(str(run.folder), purge_step=purge_step)
        self._start_hparams(run.hparams)

    def _start_hparams(self, hparams: Mapping[str, Any]) -> None:
        """Records the start of the run for the HParams page, in the run's event file.

        `SummaryWriter.add_hparams` would open a second, time-stamped run, and its Experiment record would hide the
        columns of other runs.
        """
        from torch.utils.tensorboard.summary import hparams as summaries

        _, start, _ = summaries(dict(hparams), {})
        self._writer._get_file_writer().add_summary(start)

    def scalars(self, values: Mapping[str, float], step: int, epoch: float | None) -> None:
        for name, value in values.items():
            self._writer.add_scalar(name, value, step)

    def picture(self, name: str, picture: Picture, step: int) -> None:
        from tensorboard.compat.proto.summary_pb2 import Summary

        image = Summary.Image(
            height=picture.height, width=picture.width, colorspace=3, encoded_image_string=picture.png
        )  # fmt: skip
        summary = Summary(value=[Summary.Value(tag=name, image=image)])
        self._writer._get_file_writer().add_summary(summary, step)

    def text(self, name: str, lines: Sequence[str], step: int) -> None:
        indented = "\n".join(f"    {line}" for line in lines)  # TensorBoard shows indented lines unchanged
        self._writer.add_text(name, indented, step)

    def histogram(self, name: str, values: np.ndarray, step: int) -> None:
        self._writer.add_histogram(name, values, step)

    def flush(self) -> None:
        self._writer.flush()

    def close(self, status: Status) -> None:
        try:
            if status != "stopped":  # a stopped run, which can resume, records no end
                self._end_hparams(status)
        finally:
            self._writer.close()

    def _end_hparams(self, status: Status) -> None:
        """Records success or failure on the HParams page."""
        from tensorboard.plugins.hparams.api_pb2 import STATUS_FAILURE, STATUS_SUCCESS
        from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData
        from torch.utils.tensorboard.summary import hparams as summaries

        _, _, end = summaries({}, {})
        plugin_data = end.value[0].metadata.plugin_data
        data = HParamsPluginData.FromString(plugin_data.content)
        data.session_end_info.status = STATUS_SUCCESS if status == "finished" else STATUS_FAILURE
        plugin_data.content = data.SerializeToString()
        self._writer._get_file_writer().add_summary(end)
