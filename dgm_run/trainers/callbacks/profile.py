"""Profile of a few training steps, for chrome://tracing or ui.perfetto.dev."""

from torch.profiler import ProfilerActivity, profile, supported_activities

from dgm_run.trainers.callbacks.base import Callback, Training


class Profile(Callback):
    """Callback that traces some steps of a session by torch.profiler, into `profile/step_N.json` of the run folder.

    Tracing slows these steps, and changes no number.

    Args:
        skip_steps: number of steps of the session before the trace; the first ones allocate memory and compile.
        num_steps: number of steps in the trace.
    """

    def __init__(self, skip_steps: int, num_steps: int):
        self.skip_steps = skip_steps
        self.num_steps = num_steps
        self._profiler: profile | None = None

    def on_start(self, training: Training) -> None:
        self._first = training.step + self.skip_steps
        self.on_step(training)

    def on_step(self, training: Training) -> None:
        if training.step == self._first:
            wanted = {ProfilerActivity.CPU, ProfilerActivity.CUDA}
            self._profiler = profile(activities=wanted & supported_activities())
            self._profiler.start()
        elif training.step == self._first + self.num_steps:
            self._write(training)

    def on_end(self, training: Training) -> None:
        self._write(training)

    def _write(self, training: Training) -> None:
        """Writes the trace, if there is one that was not written."""
        if self._profiler is None:
            return
        path = training.folder / "profile" / f"step_{self._first}.json"
        path.parent.mkdir(exist_ok=True)
        self._profiler.stop()
        self._profiler.export_chrome_trace(str(path))
        self._profiler = None
        training.display.say(f"profile of {training.step - self._first} steps: open {path} in https://ui.perfetto.dev")
