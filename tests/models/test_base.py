import pytest
import torch
from torch import Tensor

from dgm_run.distributions.base import Distribution
from dgm_run.distributions.diagonal_gaussian import DiagonalGaussian
from dgm_run.distributions.independent_gaussian import IndependentGaussian
from dgm_run.distributions.standard_gaussian import StandardGaussian
from dgm_run.models.base import ImportanceTerms, LatentVariableModel

pytestmark = pytest.mark.usefixtures("double")


class Sketch(LatentVariableModel):
    """The least a model can be: three densities, here of images of 1 x 2 pixels. It counts its calls."""

    def __init__(self):
        super().__init__()
        self.offset = torch.nn.Parameter(torch.zeros(()))
        self.calls = []

    def infer(self, x: Tensor) -> Distribution:
        self.calls.append("infer")
        return DiagonalGaussian(x.flatten(1).sum(-1, keepdim=True).expand(-1, 3), torch.zeros(len(x), 3))

    def latent_prior(self) -> Distribution:
        self.calls.append("latent_prior")
        return StandardGaussian(3, torch.zeros(()))

    def decode(self, z: Tensor) -> Distribution:
        self.calls.append("decode")
        mean = z[..., :2].unsqueeze(-2) + self.offset  # (*batch, 1, 2)
        return IndependentGaussian(mean, torch.tensor(0.0), 2)


def normal(value: Tensor, mean: Tensor | float) -> Tensor:
    return torch.distributions.Normal(mean, 1.0).log_prob(value)


def test_terms_are_the_three_densities_at_the_same_samples():
    model, x = Sketch(), torch.randn(4, 1, 2)
    terms = model.sample_terms(x, 5)
    assert model.calls == ["infer", "latent_prior", "decode"]
    assert terms.z.shape == (5, 4, 3)
    torch.testing.assert_close(terms.log_px, normal(x.flatten(1), terms.z[..., :2]).sum(-1))
    torch.testing.assert_close(terms.log_pz, normal(terms.z, 0.0).sum(-1))
    torch.testing.assert_close(terms.log_qz, normal(terms.z, x.flatten(1).sum(-1)[:, None]).sum(-1))
    torch.testing.assert_close(terms.log_w, terms.log_px + terms.log_pz - terms.log_qz)
    assert terms.log_w.shape == (5, 4)


def test_samples_are_drawn_anew_for_every_example_and_every_call():
    model, x = Sketch(), torch.zeros(4, 1, 2)
    noise = torch.stack([model.sample_terms(x, 5).z for _ in range(2)]).flatten()
    assert noise.unique().numel() == noise.numel()


def test_log_weights_are_those_of_the_terms():
    model, x = Sketch(), torch.randn(4, 1, 2)
    torch.manual_seed(1)
    expected = model.sample_terms(x, 5).log_w
    torch.manual_seed(1)
    torch.testing.assert_close(model.log_weights(x, 5), expected)


def test_score_takes_the_distributions_it_is_given():
    model, x = Sketch(), torch.randn(4, 1, 2)
    q = DiagonalGaussian(torch.full((4, 3), 7.0), torch.full((4, 3), -20.0))
    p = StandardGaussian(3, torch.zeros(()))
    terms = model.evaluate_terms(x, q, p, 2)
    assert model.calls == ["decode"]
    assert isinstance(terms, ImportanceTerms)
    assert terms.q is q
    assert terms.p is p
    torch.testing.assert_close(terms.z, torch.full((2, 4, 3), 7.0), rtol=0, atol=1e-3)


def test_samples_are_draws_around_the_generated_means():
    model = Sketch()
    torch.manual_seed(1)
    means = model.generate(1000).mean
    torch.manual_seed(1)
    draws = model.sample(1000)
    assert means.shape == draws.shape == (1000, 1, 2)
    assert (draws - means).std().item() == pytest.approx(1, abs=0.1)
    assert not draws.requires_grad


def test_a_reconstruction_is_a_mean_near_its_example():
    model, x = Sketch(), torch.randn(2000, 1, 2)
    reconstruction = model.reconstruct(x)
    assert reconstruction.shape == x.shape
    assert not reconstruction.requires_grad
    residual = reconstruction - x.sum(-1, keepdim=True)  # of the sketch: z's noise alone, not the pixels'
    assert residual.std().item() == pytest.approx(1, abs=0.1)


@pytest.mark.parametrize("missing", ["infer", "latent_prior", "decode"])
def test_a_model_without_one_of_the_densities_is_none(missing):
    methods = {name: getattr(Sketch, name) for name in ("infer", "latent_prior", "decode") if name != missing}
    with pytest.raises(TypeError, match=missing):
        type("Incomplete", (LatentVariableModel,), methods)()
