import pytest
import torch

from dgm_run.config.compose import compose, instantiate
from dgm_run.distributions.bernoulli import Bernoulli
from dgm_run.distributions.categorical import Categorical
from dgm_run.distributions.discretized_logistic import DiscretizedLogistic
from dgm_run.distributions.independent_gaussian import IndependentGaussian
from dgm_run.distributions.observed_marginal import ConditionalCompletion, ObservedMarginal

FAMILIES = {
    "bernoulli": lambda: Bernoulli(torch.randn(4, 3), 1),
    "gaussian": lambda: IndependentGaussian(torch.randn(4, 3), torch.randn(3), 1),
    "gaussian with one scale": lambda: IndependentGaussian(torch.randn(4, 3), torch.tensor(0.3), 1),
    "categorical": lambda: Categorical(torch.randn(4, 5, 3), 1),
    "discretized logistic": lambda: DiscretizedLogistic(torch.rand(4, 3), torch.tensor(-1.0), 5, 1),
}


@pytest.mark.parametrize("family", FAMILIES)
def test_missing_elements_are_marginalised(family):
    torch.manual_seed(0)
    p = FAMILIES[family]()
    x = p.sample((2,))  # (2, 4, 3)
    torch.testing.assert_close(ObservedMarginal(p).log_prob(x), p.log_prob(x))
    torch.testing.assert_close(p.elementwise_log_prob(x).sum(-1), p.log_prob(x))
    x[:, 1:, 0] = torch.nan
    x[:, 2, :] = torch.nan
    found = ObservedMarginal(p).log_prob(x)
    by_element = p.elementwise_log_prob(x.nan_to_num(0.0))
    torch.testing.assert_close(found[:, 1], by_element[:, 1, 1:].sum(-1))
    assert (found[:, 2] == 0).all()


def test_what_is_missing_has_no_gradient():
    logits = torch.randn(2, 3, requires_grad=True)
    ObservedMarginal(Bernoulli(logits, 1)).log_prob(torch.tensor([1.0, torch.nan, 0.0])).sum().backward()
    assert (logits.grad[:, 1] == 0).all()
    assert logits.grad[:, ::2].abs().min() > 0


def test_observed_elements_stay():
    p = Bernoulli(torch.tensor([[-9.0, 9.0, 9.0]]), 1)
    q = ConditionalCompletion(p, torch.tensor([[1.0, torch.nan, 0.0]]))
    assert q.sample().tolist() == [[1.0, 1.0, 0.0]]
    torch.testing.assert_close(q.mean, torch.tensor([[1.0, torch.tensor(9.0).sigmoid(), 0.0]]))


def test_dependent_elements_are_refused():
    model = instantiate(compose("decoder=pixelcnn", "decoder.network.channels=2", "model.latent_dim=2").model)
    p = model.decode(torch.zeros(1, 2))
    for make in (lambda: ObservedMarginal(p), lambda: ConditionalCompletion(p, torch.zeros(1, 1, 8, 8))):
        with pytest.raises(NotImplementedError, match="PixelByPixel are not independent: choose decoder=mlp"):
            make()
