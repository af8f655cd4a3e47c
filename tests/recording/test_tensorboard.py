import numpy as np
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.hparams.api_pb2 import STATUS_FAILURE, STATUS_SUCCESS
from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData

from dgm_run.recording.base import Picture
from dgm_run.recording.image_grid import encode_png
from dgm_run.recording.logged_run import LoggedRun
from dgm_run.recording.tensorboard import TensorBoardLogger


def start(folder, resumed_step=None):
    logger = TensorBoardLogger()
    assert logger.open(LoggedRun(folder, {"prior": "VampPrior", "lr": 0.1}, resumed_step)) is None
    return logger


def events(folder) -> EventAccumulator:
    accumulator = EventAccumulator(str(folder), size_guidance={"images": 0, "scalars": 0, "histograms": 0})
    return accumulator.Reload()


def test_scalars_are_events(tmp_path):
    logger = start(tmp_path)
    logger.scalars({"valid/elbo": -2.0}, 3, 1)
    logger.close("finished")
    assert [(e.step, e.value) for e in events(tmp_path).Scalars("valid/elbo")] == [(3, -2.0)]


def test_resumed_run_drops_later_events(tmp_path):
    logger = start(tmp_path)
    logger.scalars({"a": 1.0}, 1, 1)
    logger.scalars({"a": 2.0}, 2, 2)
    logger.close("stopped")
    logger = start(tmp_path, resumed_step=1)
    logger.scalars({"a": 3.0}, 2, 2)
    logger.close("stopped")
    assert [e.value for e in events(tmp_path).Scalars("a")] == [1.0, 3.0]


def test_pictures_texts_and_histograms_are_events(tmp_path):
    logger = start(tmp_path)
    picture = Picture(encode_png(np.zeros((4, 6, 3), np.uint8)), 4, 6, tmp_path / "none.png")
    logger.picture("samples", picture, 1)
    logger.text("sentences", ["a b", "c"], 1)
    logger.histogram("weights/w", np.arange(10.0), 1)
    logger.close("finished")
    found = events(tmp_path)
    assert (found.Images("samples")[0].width, found.Images("samples")[0].height) == (6, 4)
    assert b"    a b\n    c" in found.Tensors("sentences/text_summary")[0].tensor_proto.string_val[0]
    assert "weights/w" in found.Tags()["distributions"]
    plugin = found.SummaryMetadata("_hparams_/session_start_info").plugin_data
    assert plugin.plugin_name == "hparams"


@pytest.mark.parametrize(("state", "status"), [("finished", STATUS_SUCCESS), ("failed", STATUS_FAILURE)])
def test_hparams_page_knows_how_the_run_ended(state, status, tmp_path):
    start(tmp_path).close(state)
    content = events(tmp_path).SummaryMetadata("_hparams_/session_end_info").plugin_data.content
    assert HParamsPluginData.FromString(content).session_end_info.status == status
