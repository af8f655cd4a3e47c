import json

import dgm_run
from tests.support.tiny import TINY, metrics

SETTINGS = ("callbacks=[profile]", "callbacks.profile.skip_steps=1", "trainer.max_epochs=2")


def test_profile_is_a_chrome_trace_of_its_steps(tmp_path):
    dgm_run.run(dgm_run.compose(*TINY, *SETTINGS, "callbacks.profile.num_steps=2"), tmp_path / "traced")
    dgm_run.run(dgm_run.compose(*TINY, "trainer.max_epochs=2"), tmp_path / "plain")
    (path,) = (tmp_path / "traced" / "profile").iterdir()
    assert path.name == "step_1.json"
    events = json.loads(path.read_text())["traceEvents"]
    steps = [event for event in events if event.get("name", "").startswith("Optimizer.step")]
    assert len(steps) == 2
    assert metrics(tmp_path / "traced") == metrics(tmp_path / "plain")
    assert f"open {path}" in (tmp_path / "traced" / "run.log").read_text()


def test_profile_of_a_short_run_ends_with_it(tmp_path):
    dgm_run.run(dgm_run.compose(*TINY, *SETTINGS, "callbacks.profile.num_steps=100"), tmp_path)
    events = json.loads((tmp_path / "profile" / "step_1.json").read_text())["traceEvents"]
    assert len([event for event in events if event.get("name", "").startswith("Optimizer.step")]) == 5
