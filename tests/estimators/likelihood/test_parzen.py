import math

import pytest
import torch

import dgm_run
from dgm_run.config.compose import instantiate
from dgm_run.data.data_split import DataSplit, to_float
from dgm_run.distributed import process_group
from dgm_run.estimators.intervals import Margin, student_quantile
from dgm_run.estimators.likelihood.parzen import Parzen
from dgm_run.estimators.likelihood.prior_sampling import PriorSampling

SETTINGS = {"num_samples": 500, "num_valid": 100, "min_scale": 0.05, "max_scale": 0.8, "num_scales": 5}


class Memory(torch.nn.Module):
    """Samples are those it was given, in their order."""

    def __init__(self, x):
        super().__init__()
        self.x = x

    def sample(self, n):
        return self.x[:n]


def examples(n, seed, scale=0.3):
    torch.manual_seed(seed)
    centres = torch.randn(20, 2, 3, generator=torch.Generator().manual_seed(9))
    return centres[torch.randint(20, (n,))] + scale * torch.randn(n, 2, 3)


def test_width_maximises_validation_density():
    samples, valid, test = examples(500, 0), examples(80, 1), examples(50, 2)
    data = [DataSplit(x, None, to_float) for x in (valid, test)]
    torch.manual_seed(0)
    fitted = Parzen(**SETTINGS).fit(Memory(samples), data[0], data[0])
    found = fitted(Memory(samples), data[1])[0]

    def log_p(x, scale):
        squares = (x.flatten(1).unsqueeze(1) - samples.flatten(1)).double().square().sum(-1)
        constant = 3 * math.log(2 * math.pi * scale**2) + math.log(500)
        return ((-squares / 2 / scale**2).logsumexp(1) - constant).mean().item()

    scales = [0.05 * 2**i for i in range(5)]
    best = max(scales, key=lambda scale: log_p(valid, scale))
    assert fitted.scale == pytest.approx(best)
    assert best not in (scales[0], scales[-1])
    assert found.value == pytest.approx(log_p(test, best), rel=1e-5)
    assert found.diagnostics == {"scale": fitted.scale}
    assert (found.quantity, found.kind, found.num_examples) == ("parzen", "estimate", 50)
    assert "misleads" in found.warning


def in_one_piece(stream, n, block_size, work, report):
    """Runs all work as one block, from the seed of the kernels."""
    torch.manual_seed(1)
    work(slice(0, n))


def test_model_noise_gives_prior_sampling(monkeypatch):
    model = instantiate(dgm_run.compose("model=gan", "model.latent_dim=3", "likelihood.scale=0.2").model)
    data = DataSplit(torch.rand(30, 1, 8, 8), None, to_float)
    torch.manual_seed(1)
    kernels = Parzen(**(SETTINGS | {"min_scale": 0.2, "max_scale": 0.2, "num_scales": 1})).fit(model, data, data)
    monkeypatch.setattr(process_group, "for_each_block", in_one_piece)
    torch.manual_seed(1)
    value = kernels(model, data)[0].value
    draws = PriorSampling(500, 1000)(model, data)[0]
    assert value == pytest.approx(draws.value, rel=1e-6)


class Normal(torch.nn.Module):
    def sample(self, n):
        return torch.randn(n, 10)


def test_error_holds_what_other_samples_find():
    torch.manual_seed(3)
    data = DataSplit(torch.randn(500, 10), None, to_float)
    parzen = Parzen(**(SETTINGS | {"num_samples": 200}), scale=0.8)
    found = [parzen(Normal(), data)[0] for _ in range(60)]
    spread = torch.tensor([each.value for each in found]).std().item()
    margins = [Margin.from_interval(each.value, each.computing_interval) for each in found]
    stated = torch.tensor([each.above / student_quantile(31) for each in margins]).square().mean().sqrt().item()
    assert stated == pytest.approx(spread, rel=0.25)  # of 60 values the spread is known to within a tenth


def test_one_sample_has_no_error_of_samples():
    data = DataSplit(torch.randn(20, 10), None, to_float)
    parzen = Parzen(**(SETTINGS | {"num_samples": 1}), scale=0.4)
    assert parzen(Normal(), data)[0].computing_interval is None


@pytest.mark.parametrize("settings", [{"num_samples": 0}, {"min_scale": 0.0}, {"min_scale": 2.0}])
def test_bad_settings_are_refused(settings):
    with pytest.raises(ValueError, match="must (be positive|not exceed max_scale)"):
        Parzen(**(SETTINGS | settings))
