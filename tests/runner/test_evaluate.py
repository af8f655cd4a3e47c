import json
from dataclasses import dataclass

import pytest
import torch
from torch import nn

from dgm_run.data.data_split import DataSplit, to_float
from dgm_run.data.dataset import LoadedDataset
from dgm_run.data.preprocessing import UNCHANGED
from dgm_run.distributed.signals import Interrupted
from dgm_run.errors import DataError, ResultsError
from dgm_run.estimators.base import Baseline, Estimate, Estimator
from dgm_run.recording.estimate_id import values_key
from dgm_run.recording.silent import SilentDisplay
from dgm_run.runner.evaluate import evaluate_test_set, name_scalars


class Mean(Estimator):
    """The mean pixel, and a random number."""

    def __init__(self, quantity):
        self.quantity = quantity

    def fit(self, model, train, valid, report=None):
        self.baseline = train.batch(slice(0, len(train))).mean().item()
        return self

    def __call__(self, model, data, report=None):
        x = data.batch(slice(0, len(data))).flatten(1).mean(1)
        report(1, 2)
        drawn = Estimate("drawn", self.quantity, "estimate", torch.rand(()).item(), None, len(x))
        return [Estimate.over(x - self.baseline, self.quantity, "mean", "exact"), drawn]

    def pictures(self, model):
        return {"shown": torch.zeros(3, 1, 2, 2)}


class Protocol:
    shape, kind, num_levels = (1, 2, 2), "continuous", None
    preprocessing = UNCHANGED


def split(value):
    return DataSplit(torch.full((5, 1, 2, 2), value), None, to_float)


DATA = LoadedDataset(Protocol(), split(1.0), split(2.0), split(4.0))


def look(estimators, seed=0, stop=False):
    shown = {}
    found = evaluate_test_set(nn.Identity(), estimators, DATA, seed, SilentDisplay(), stop, shown.__setitem__)
    return *found, shown


def test_estimators_see_training_and_test():
    rows, values, _, shown = look({"a": Mean("brightness")})
    assert [row["quantity"] for row in rows] == ["brightness", "drawn"]
    assert rows[0]["value"] == 3.0
    assert rows[0]["split"] == "test"
    assert rows[0]["num_examples"] == 5
    assert "values" not in rows[0]
    assert list(values) == [values_key(rows[0])]
    assert values[values_key(rows[0])].tolist() == [3.0] * 5
    assert shown["shown"].shape[2] == 3


def test_estimators_have_their_own_seeds():
    alone, *_ = look({"b": Mean("second")})
    after, *_ = look({"a": Mean("first"), "b": Mean("second")})
    other, *_ = look({"b": Mean("second")}, seed=1)
    assert after[3]["value"] == alone[1]["value"] != after[1]["value"]
    assert other[1]["value"] != alone[1]["value"]


@dataclass(frozen=True)
class Shifted(Estimator):
    """The mean pixel with a random error."""

    def __call__(self, model, data, report=None):
        values = data.batch(slice(0, len(data))).flatten(1).mean(1)
        return [Estimate.over(values + torch.randn(()), "brightness", "shifted", "estimate")]


def test_a_seed_of_an_estimator_adds_rows():
    first, other = (look({"a": Shifted(seed=seed)})[0][0] for seed in (0, 1))
    assert first["value"] != other["value"]
    assert values_key(first) != values_key(other)
    assert "seed" not in first["settings"]
    assert other["settings"] == {"seed": 1}


def test_repeats_average_over_seeds():
    alone = [look({"a": Shifted(seed=seed)})[0][0]["value"] for seed in (1, 2, 3)]
    (row,), values, *_ = look({"a": Shifted(seed=1, repeats=3)})
    assert row["value"] == pytest.approx(sum(alone) / 3, abs=1e-6)
    assert row["settings"] == {"seed": 1, "repeats": 3}
    assert values[values_key(row)] == pytest.approx([row["value"]] * 5)
    assert row["computing_interval"][0] < min(alone) < max(alone) < row["computing_interval"][1]


def test_progress_names_the_repeat():
    class Heard(SilentDisplay):
        names = []

        def start_estimator(self, name):
            self.names.append(name)

    evaluate_test_set(nn.Identity(), {"a": Shifted(repeats=2)}, DATA, 0, Heard(), False, {}.__setitem__)
    assert Heard.names == ["a: fitting", "a: repeat 1 of 2", "a: repeat 2 of 2"]


class Failing(Mean):
    """Raises an error, or returns an estimate that is none."""

    def __init__(self, error=None, estimate=None):
        self.error, self.estimate = error, estimate

    def __call__(self, model, data, report=None):
        model.train()
        if self.error:
            raise self.error
        return [self.estimate]


ODD = {
    "user": (Failing(DataError("no such file")), "no such file"),
    "algebra": (Failing(torch.linalg.LinAlgError("singular:\nrow 3")), "LinAlgError: singular: row 3"),
    "bug": (Failing(KeyError("x")), "KeyError: 'x'"),
    "memory": (Failing(MemoryError()), "out of memory: lower trainer.eval_batch_size"),
    "tensor": (Failing(estimate=Estimate("q", "e", "exact", torch.ones(1), None, 5)),
               "ValueError: value of an estimate is tensor([1.])"),
    "settings": (Failing(estimate=Estimate("q", "e", "exact", 1.0, None, 5, settings={"path": object})),
                 "ValueError: settings of an estimate cannot be written: Object of type type is not JSON serializable"),
    "nothing": (Failing(estimate=None), "AttributeError: 'NoneType' object has no attribute 'quantity'"),
}  # fmt: skip


@pytest.mark.parametrize("name", ODD)
def test_failed_estimator_costs_own_numbers(name):
    failing, reason = ODD[name]
    alone, *_ = look({"b": Mean("second")})
    rows, values, failed, _ = look({"a": Mean("first"), name: failing, "b": Mean("second")})
    assert failed == {name: reason}
    assert [row["quantity"] for row in rows] == ["first", "drawn", "second", "drawn"]
    assert rows[3]["value"] == alone[1]["value"]
    assert len(values) == 2
    json.dumps(rows)


def test_memory_advice_names_the_settings():
    @dataclass(frozen=True)
    class Hungry(Mean):
        num_samples: int = 5000
        is_fast: bool = True

        def fit(self, model, train, valid, report=None):
            torch.empty(2**58)

    _, _, failed, _ = look({"mine": Hungry()})
    assert failed == {
        "mine": "out of memory (1024.0 PiB asked for): lower estimators.mine.num_samples=5000"
    }  # fmt: skip


def test_pictures_that_fail_cost_no_number():
    class Blind(Mean):
        def pictures(self, model):
            raise IndexError("nothing to see")

    rows, _, failed, shown = look({"a": Blind("brightness")})
    assert len(rows) == 2
    assert not failed
    assert not shown


def test_an_interruption_is_no_failure_of_an_estimator():
    with pytest.raises(KeyboardInterrupt):
        look({"a": Failing(KeyboardInterrupt()), "b": Mean("second")})


def test_an_estimator_cannot_exit_the_run():
    rows, _, failed = look({"a": Failing(SystemExit(0)), "b": Mean("second")})[:3]
    assert list(failed) == ["a"]
    assert [row["quantity"] for row in rows] == ["second", "drawn"]


def test_several_processes_stop_at_a_failure(monkeypatch):
    monkeypatch.setattr("dgm_run.runner.evaluate.process_group.size", lambda: 2)
    with pytest.raises(ResultsError, match="estimators.a failed: KeyError: 'x'; training is done and saved: set"):
        look({"a": Failing(KeyError("x")), "b": Mean("second")})
    with pytest.raises(RuntimeError, match="Connection closed"):  # which `open_process_group` understands
        look({"a": Failing(RuntimeError("Connection closed by peer")), "b": Mean("second")})


def test_a_signal_ends_it():
    class Stop:
        signum = 15

        def __bool__(self):
            return True

    with pytest.raises(Interrupted, match="training is done and saved"):
        look({"a": Mean("brightness")}, stop=Stop())


def test_second_estimate_has_a_longer_name():
    rows = [{"split": "test", "quantity": "elbo", "estimator": name, "value": value} for name, value in
            [("monte_carlo", -1.0), ("exact", -2.0)]]  # fmt: skip
    assert name_scalars(rows) == {"test/elbo": -1.0, "test/elbo_exact": -2.0}


class Likelihood(Estimator):
    """A log-likelihood, and a baseline one nat above it."""

    def __call__(self, model, data, report=None):
        log_p = torch.arange(5.0, dtype=torch.float64)
        above = Baseline("columns", log_p + 1, "train longer")
        return [
            Estimate.over(log_p, "log_likelihood", "exact", "exact"),
            Estimate.over(log_p + 1, "columns", "linear", "exact", baseline=above),
        ]

    def pictures(self, model):
        return {}


def test_model_worse_than_baseline_called_so():
    rows, values, *_ = look({"a": Likelihood()})
    assert rows[0]["warning"] == "worse than columns (3.00) by 1.00 ± 0 nats: train longer"
    assert rows[1]["warning"] is None
    assert "baseline" not in rows[1]
    assert len(values) == 2


def test_likelihood_warnings_are_added():
    class Part(nn.Module):
        likelihood_warning = "the noise is at its floor"

    found, *_ = evaluate_test_set(nn.Sequential(Part(), nn.Identity()), {"a": Likelihood(), "b": Mean("brightness")},
                                  DATA, 0, SilentDisplay(), False, lambda *shown: None)  # fmt: skip
    assert found[0]["warning"].startswith("the noise is at its floor\nworse than columns")
    assert [row["warning"] for row in found[1:]] == [None, None, None]


def test_independent_pixels_are_a_baseline():
    class Poor(Estimator):
        def __call__(self, model, data, report=None):
            log_p = torch.full((200,), -50.0) + 0.1 * torch.randn(200)
            return [Estimate.over(log_p, "log_likelihood", "exact", "exact")]

    class Binary:
        shape, kind, num_levels = (1, 2, 2), "binary", 2

    torch.manual_seed(0)
    splits = [DataSplit(torch.rand(200, 1, 2, 2).round(), None, to_float) for _ in range(3)]
    found, *_ = evaluate_test_set(
        nn.Identity(), {"a": Poor()}, LoadedDataset(Binary(), *splits), 0, SilentDisplay(), False, print
    )
    assert len(found) == 1  # it stands in no row
    assert found[0]["warning"].startswith("worse than independent pixels (-2.7")
