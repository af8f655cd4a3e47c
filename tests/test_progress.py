import io
from pathlib import Path

from rich.console import Console

from dgm_run.progress import Terminal, conclusion, duration, readable

ROW = {
    "quantity": "log_likelihood", "split": "test", "value": -84.5, "stderr": 0.25, "unit": "nats", "kind": "estimate",
    "estimator": "importance_sampling", "settings": {"num_samples": 5000}, "floor": None,
}  # fmt: skip


def terminal(**options):
    stream = io.StringIO()
    return Terminal(Console(file=stream, width=160, **options)), stream


def test_durations_read_like_a_clock():
    assert [duration(s) for s in (0.4, 7, 754, 3723, -1)] == ["0:00", "0:07", "12:34", "1:02:03", "0:00"]


def test_without_a_terminal_there_are_plain_lines():
    display, stream = terminal(force_terminal=False)
    display.start(epochs=2, steps_per_epoch=10, step=0)
    display.step(10)
    display.epoch(2, {"train/loss": 100.0, "valid/elbo": -99.5})
    line = stream.getvalue()
    assert line.startswith("epoch 2/2  loss 100.00  valid/elbo -99.50  ")
    assert "\x1b" not in line


def test_a_long_epoch_shows_how_far_it_has_come_without_a_terminal(monkeypatch):
    display, stream = terminal(force_terminal=False)
    display.start(epochs=2, steps_per_epoch=10, step=0)
    display.step(3)
    assert not stream.getvalue()
    monkeypatch.setattr("dgm_run.progress.SECONDS_WITHIN_EPOCH", -1.0)
    display.step(4)
    assert stream.getvalue().startswith("epoch 0.4/2  ")
    assert "left" in stream.getvalue()


def test_in_a_terminal_a_bar_shows_epoch_losses_speed_and_time_left():
    display, stream = terminal(force_terminal=True)
    display.start(epochs=4, steps_per_epoch=10, step=0)
    display.epoch(1, {"train/loss": 100.0, "valid/elbo": -99.5})
    display.finish()
    shown = stream.getvalue()
    for part in ("1/4", "loss 100.00", "valid/elbo -99.50", "steps/s", "left"):
        assert part in shown


def test_the_table_names_estimator_settings_kind_and_error():
    display, stream = terminal(force_terminal=False)
    display.estimates([ROW], "Estimates", ["a note"])
    shown = stream.getvalue()
    for part in ("test/log_likelihood", "-84.500", "0.250", "nats", "estimate", "num_samples=5000", "a note"):
        assert part in shown


def test_a_floor_has_a_column_where_there_is_one():
    display, stream = terminal(force_terminal=False)
    display.estimates([ROW], "Estimates", [])
    assert "floor" not in stream.getvalue()
    display.estimates([ROW, ROW | {"quantity": "cfid", "value": 3.5, "floor": 0.25}], "Estimates", [])
    heading, first, second = stream.getvalue().splitlines()[-4:-1]
    assert heading.split()[:5] == ["quantity", "value", "±", "s.e.", "floor"]
    assert first.split()[1:4] == ["-84.500", "0.250", "nats"]
    assert second.split()[1:4] == ["3.500", "0.250", "0.250"]


def test_evaluation_reports_its_progress():
    display, stream = terminal(force_terminal=False)
    display.evaluating("importance_sampling")
    display.evaluated(25, 50)
    assert "importance_sampling 50%" in stream.getvalue()


def test_small_numbers_keep_two_digits():
    assert [readable(v) for v in (-22.281, 0.1, 0.0, -0.0123, 0.00456)] == [
        "-22.28",
        "0.10",
        "0.00",
        "-0.012",
        "0.0046",
    ]


def test_the_conclusion_tells_the_training_the_published_number_and_what_estimators_saw_of_themselves():
    found = {
        "binarization": "dynamic",
        "published": {"values": {"log_likelihood": -84.5, "elbo": -86.0}, "source": "a paper"},
        "estimates": [
            ROW | {"num_examples": 360, "diagnostics": {"ess_median": 12.5}, "warning": None},
            ROW | {"num_examples": 360, "quantity": "elbo", "diagnostics": {"ess_median": 12.5}, "warning": "too few"},
            ROW | {"num_examples": 360, "quantity": "kl", "diagnostics": {"ess_median": None}, "warning": None},
        ],
        "training": {
            "epochs": 7, "seconds": 61.0, "stopped_by": "patience", "examples_per_second": 1234.5,
            "monitor": "valid/elbo", "best": -22.4, "best_epoch": 5,
        },
    }  # fmt: skip
    assert conclusion(found, Path("outputs/run")) == [
        "360 test examples, binarisation dynamic",
        "7 epochs in 1:01 (stopped by patience), 1,234 examples/s; best valid/elbo -22.40 after epoch 5",
        "published: log_likelihood -84.5, elbo -86.0 (a paper)",
        "importance_sampling, log_likelihood: ess_median 12.5",
        "importance_sampling, kl: ess_median unknown",
        "elbo: too few",
        "outputs in outputs/run",
        f"look at them with: tensorboard --logdir {Path('outputs').absolute()}",
    ]
