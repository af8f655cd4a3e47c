import math
import os
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score, roc_curve
from torch.distributions import Bernoulli, Normal

import dgm_run
from dgm_run.config.compose import instantiate
from dgm_run.data.data_split import DataSplit, to_float
from dgm_run.data.dataset import LoadedDataset
from dgm_run.errors import ConfigError, DataError
from dgm_run.estimators.ood.out_of_distribution import (
    Background,
    OutOfDistribution,
    _describe_failure,
    auroc,
    auroc_stderr,
    false_positive_rate,
    measure_complexity,
)
from dgm_run.models.linear.factor_analysis import Moments
from dgm_run.models.linear.ppca import PPCA, maximum_likelihood

DATA = Path(os.environ.get("DGM_DATA_DIR", "data"))
SETTINGS = {"transforms": ["black", "inverted", "noise"], "dataset": None, "num_examples": 300, "num_samples": 20,
            "max_batch_rows": 1000, "mutation_rate": 0.2}  # fmt: skip


@pytest.fixture(scope="module")
def digits():
    data = instantiate(dgm_run.compose("dataset.binarize=none", "dataset.dequantize=true").dataset).load()
    model = PPCA((1, 8, 8), 10, 0.01, 0.0)
    moments = Moments.from_batches(data.train.batches(500))
    model.initialize(data.train.batch(slice(None)))
    for _ in range(100):
        model.em_step(moments)
    return data, model


@torch.no_grad()
def test_scores_match_the_exact_density(digits):
    data, model = digits
    estimator = OutOfDistribution(**(SETTINGS | {"num_examples": 2000})).fit(model, data.train, data.valid)
    found = {(e.quantity, e.estimator): e for e in estimator(model, data.test)}
    typical = estimator.typical
    assert typical == pytest.approx(model.log_prob(data.train.batch(slice(None))).mean().item(), abs=0.1)  # its noise
    x = data.test.batch(slice(None))
    truth = np.r_[np.ones(360), np.zeros(360)]
    for name, strange in (("black", torch.zeros_like(x)), ("inverted", 1 - x)):
        log_p = torch.cat([model.log_prob(x), model.log_prob(strange)]).numpy()
        for score, values in (("log_likelihood", log_p), ("typicality", -abs(log_p - typical))):
            row = found[f"auroc_{name}", score]
            assert row.value == pytest.approx(roc_auc_score(truth, values), abs=1e-9)
            assert row.diagnostics["mean"] == pytest.approx(values[360:].mean(), rel=1e-6)
            wrong, right, _ = roc_curve(truth, values, drop_intermediate=False)
            assert row.diagnostics["false_positives_at_95"] == pytest.approx(wrong[right >= 0.95][0], abs=0.01)
    ratio = model.log_prob(x) - estimator.background.log_prob(x)
    assert found["auroc_black", "likelihood_ratio"].diagnostics["mean_of_data"] == pytest.approx(ratio.mean().item())
    assert found["auroc_noise", "log_likelihood"].value > 0.99


def test_likelier_data_give_a_warning(digits):
    data, model = digits
    bright = DataSplit(1 - data.test.x, None, to_float)  # as if the model had been trained on these, and badly
    estimator = OutOfDistribution(**(SETTINGS | {"transforms": ["inverted"]})).fit(model, bright, bright)
    rows = {row.estimator: row for row in estimator(model, bright)}
    assert rows["log_likelihood"].value < 0.01
    assert rows["log_likelihood"].warning.startswith("likelier than data (")
    assert rows["log_likelihood"].warning.endswith("typicality does (1.00)")
    assert rows["typicality"].warning is None
    log_p_other = torch.tensor([-1.0])
    log_p_test = torch.tensor([-2.0])
    assert _describe_failure({"log_likelihood": 0.4, "joint": 0.6}, log_p_other, log_p_test).endswith(
        "does not detect it; nor does another score"
    )


def test_models_of_every_kind_are_asked():
    data = instantiate(dgm_run.compose().dataset).load()
    for overrides, more in (
        (("decoder.hidden_dims=[4]",), set()),
        (("model=rbm", "model.num_hidden=4"), set()),
        (("posterior=operator", "objective=operator", "model.latent_dim=2"), set()),
        (("model=m2", "encoder.hidden_dims=[4]", "decoder.hidden_dims=[4]"), {"joint"}),
    ):
        model = instantiate(dgm_run.compose(*overrides).model).eval()
        estimator = OutOfDistribution(**(SETTINGS | {"num_examples": 20, "transforms": ["noise"]}))
        rows = estimator.fit(model, data.train, data.valid)(model, data.test)
        expected = {"log_likelihood", "typicality", "likelihood_ratio", "complexity"} | more
        assert {row.estimator for row in rows} == expected
        assert all(math.isfinite(row.value) for row in rows)
    shown = estimator.fit(model, data.train, data.valid).pictures(model)["out_of_distribution"]
    assert shown.shape == (16, 1, 8, 8)
    assert estimator.row_labels() == {"out_of_distribution": ["training", "noise"]}


def test_another_data_set_is_asked_about_too(digits):
    data, model = digits
    other = instantiate(dgm_run.compose("dataset.binarize=none", "dataset.dequantize=true").dataset)
    other.name = "again"
    estimator = OutOfDistribution(**(SETTINGS | {"transforms": [], "dataset": other})).fit(
        model, data.train, data.valid
    )
    rows = {row.estimator: row for row in estimator(model, data.test)}
    assert rows["log_likelihood"].quantity == "auroc_again"
    assert rows["log_likelihood"].value == pytest.approx(0.5, abs=0.1)


@pytest.mark.parametrize("share", [0.0, 0.3])
def test_background_has_mutated_moments(share):
    torch.manual_seed(0)
    x = torch.rand(4000, 3).pow(2)
    mutated = torch.where(torch.rand(4000, 3) < share, torch.rand(4000, 3), x).double()
    found = Background.fit(x, share)
    torch.testing.assert_close(found.mean, mutated.mean(0), rtol=0, atol=0.02)
    torch.testing.assert_close(found.variance, mutated.var(0), rtol=0, atol=0.01)
    expected = Normal(found.mean, found.variance.sqrt()).log_prob(x.double()).sum(1)
    torch.testing.assert_close(found.log_prob(x), expected)
    bits = (x > 0.3).float()
    found = Background.fit(bits, share)
    torch.testing.assert_close(found.mean, (1 - share) * bits.double().mean(0) + share / 2)
    torch.testing.assert_close(found.log_prob(bits), Bernoulli(found.mean).log_prob(bits.double()).sum(1))


def test_auroc_matches_sklearn_with_ties():
    torch.manual_seed(0)
    a, b = torch.randint(5, (300,)).double() + 1, torch.randint(5, (200,)).double()
    truth = np.r_[np.ones(300), np.zeros(200)]
    assert auroc(a, b) == pytest.approx(roc_auc_score(truth, torch.cat([a, b]).numpy()))
    assert false_positive_rate(torch.arange(100.0), torch.tensor([4.0, 5.0, 6.0, 50.0]), 0.95) == 0.75


@pytest.mark.parametrize("is_paired", [False, True])
def test_error_of_an_area_is_its_scatter(is_paired):
    torch.manual_seed(0)

    def draw():
        a = torch.randn(60)
        b = 0.8 * a + 0.6 * torch.randn(60) - 0.7 if is_paired else torch.randn(40) - 1
        return auroc(a, b), auroc_stderr(a, b, is_paired)

    areas, errors = torch.tensor([draw() for _ in range(400)]).T
    assert errors.mean().item() == pytest.approx(areas.std().item(), rel=0.1)
    assert auroc_stderr(torch.ones(1), torch.ones(5), False) is None


def test_nats_of_what_is_compressed():
    bits = (torch.rand(3, 1, 4, 4) > 0.5).float()
    expected = [len(zlib.compress(np.packbits(row.bool().numpy().ravel()).tobytes(), 9)) for row in bits]
    assert measure_complexity(bits).tolist() == pytest.approx([8 * math.log(2) * size for size in expected])
    grey = torch.rand(2, 1, 30, 30)
    assert measure_complexity(grey)[0] > 5 * measure_complexity(torch.full((1, 1, 30, 30), 0.3))[0]


def test_what_cannot_be_asked_is_refused():
    with pytest.raises(ValueError, match="unknown blak; choose from black, half_contrast"):
        OutOfDistribution(**(SETTINGS | {"transforms": ["blak"]}))
    with pytest.raises(ValueError, match="must be positive"):
        OutOfDistribution(**(SETTINGS | {"num_examples": 0}))
    x = DataSplit(torch.rand(5, 4), None, to_float)
    vectors = LoadedDataset(type("", (), {"shape": (4,), "num_levels": 4}), x, x, x)
    with pytest.raises(ConfigError, match="Identity has no likelihood"):
        OutOfDistribution(**SETTINGS).check(torch.nn.Identity(), vectors)
    with pytest.raises(ConfigError, match="the transforms need images of grey levels"):
        OutOfDistribution(**SETTINGS).check(PPCA((4,), 1, 0.1, 0.0), vectors)
    grey = LoadedDataset(instantiate(dgm_run.compose("dataset.binarize=none").dataset), x, x, x)
    model = PPCA((1, 8, 8), 1, 0.1, 0.0)
    for other, message in (
        (("dataset=bars_and_stripes",), r"dataset: its examples are \[1, 4, 4\], not \[1, 8, 8\]"),
        (("dataset=laplace_sources",), r"dataset: its examples are"),
    ):
        estimator = OutOfDistribution(**(SETTINGS | {"dataset": instantiate(dgm_run.compose(*other).dataset)}))
        with pytest.raises(ConfigError, match=message):
            estimator.check(model, grey)
    estimator = OutOfDistribution(
        **(SETTINGS | {"dataset": instantiate(dgm_run.compose("dataset.binarize=dynamic").dataset)})
    )
    estimator.check(model, grey)
    assert estimator.dataset.kind == "levels"  # as those of the run
    lost = dgm_run.compose("dataset=arrays", "dataset.source.path=nowhere.npz", "dataset.shape=[1,8,8]",
                           "dataset.num_levels=17")  # fmt: skip
    with pytest.raises(DataError, match="nowhere.npz: no such file"):  # before training
        OutOfDistribution(**(SETTINGS | {"dataset": instantiate(lost.dataset)})).check(model, grey)


@pytest.mark.slow
@torch.no_grad()
@pytest.mark.skipif(not (DATA / "MNIST").is_dir(), reason="needs MNIST")
def test_black_is_likelier_but_not_typical():
    # the finding of Nalisnick et al., on PPCA at its maximum of the likelihood
    cfg = dgm_run.compose("dataset=mnist", "dataset.binarize=none", "dataset.dequantize=true")
    data = instantiate(cfg.dataset).load()
    best = maximum_likelihood(Moments.from_batches(data.train.batches(10_000)), 50, torch.tensor(1e-4))
    model = PPCA((1, 28, 28), 50, 0.01, 0.0).double()
    model.weight.copy_(best.weight)
    model.bias.copy_(best.bias)
    model.raw_log_var.copy_((best.log_var[:1].exp() - 1e-4).log())
    settings = SETTINGS | {"transforms": ["black", "half_contrast"], "num_examples": 1000}
    estimator = OutOfDistribution(**settings).fit(model, data.train, data.valid)
    found = {(e.quantity, e.estimator): e for e in estimator(model, data.test)}
    assert found["auroc_black", "log_likelihood"].value < 0.05
    assert found["auroc_black", "typicality"].value > 0.9
    assert found["auroc_half_contrast", "log_likelihood"].value < 0.05
    assert "the likelihood alone does not detect it" in found["auroc_black", "log_likelihood"].warning
    assert estimator.plots()["log_likelihoods"].shape[2] == 3
