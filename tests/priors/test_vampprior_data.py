import pytest
import torch

from dgm_run.encoders.mlp import MLPEncoder
from dgm_run.posteriors.gaussian import GaussianPosterior
from dgm_run.priors.vampprior_data import VampPriorData
from tests.support.contracts import check_density_integrates_to_one, check_sampler_follows_density

SHAPE = (1, 2, 2)
X = torch.rand(20, *SHAPE, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


def posterior(latent_dim):
    torch.manual_seed(1)
    return GaussianPosterior(MLPEncoder(SHAPE, [5], "gated"), latent_dim, [-2.0, 1.0]).double()


def make(num_components=4, seed=0):
    prior = VampPriorData(SHAPE, num_components).double()
    torch.manual_seed(seed)
    prior.initialize(X)
    return prior


def chosen_positions(prior):
    """Positions in X of the pseudo-inputs."""
    same = (prior.pseudo_inputs.unsqueeze(1) == X).flatten(2).all(-1)  # (K, N)
    assert (same.sum(1) == 1).all()
    return same.long().argmax(1).tolist()


@pytest.mark.parametrize("dim", [1, 2])
def test_samples_follow_the_density(dim):
    p = make()(posterior(dim))
    check_density_integrates_to_one(p)
    check_sampler_follows_density(p)


def test_density_averages_posteriors():
    prior, q, z = make(), posterior(3), torch.randn(6, 3, dtype=torch.float64)
    densities = [q(X[k : k + 1]) for k in chosen_positions(prior)]
    normals = [torch.distributions.Normal(p.mean, p.variance.sqrt()) for p in densities]
    expected = torch.stack([p.log_prob(z).sum(-1).exp() for p in normals]).mean(0).log()
    torch.testing.assert_close(prior(q).log_prob(z), expected)


def test_images_are_distinct_examples():
    assert len(set(chosen_positions(make(num_components=20)))) == 20


def test_every_training_image_can_be_chosen():
    counts = torch.zeros(20)
    for seed in range(400):
        counts[chosen_positions(make(seed=seed))] += 1
    assert (counts - 80).abs().max() < 5 * (400 * 0.2 * 0.8) ** 0.5


def test_images_are_copies_of_the_data():
    x = X.clone()
    prior = VampPriorData(SHAPE, 20).double()
    prior.initialize(x)
    x.zero_()
    assert len(chosen_positions(prior)) == 20


def test_only_the_encoder_gets_gradients():
    prior, q = make(), posterior(3)
    prior(q).log_prob(torch.zeros(1, 3, dtype=torch.float64)).sum().backward()
    assert all(p.grad is not None and p.grad.any() for p in q.parameters())
    assert not list(prior.parameters())
    assert not prior.pseudo_inputs.requires_grad


def test_images_are_saved_with_weights():
    saved, loaded = make(), VampPriorData(SHAPE, 4).double()
    loaded.load_state_dict(saved.state_dict())
    assert chosen_positions(loaded) == chosen_positions(saved)


def test_too_few_examples_are_refused():
    with pytest.raises(ValueError, match=r"^prior\.num_components = 21 exceeds the 20 training examples: "):
        make(num_components=21)


def test_no_component_is_refused():
    with pytest.raises(ValueError, match=r"^num_components = 0 must be positive$"):
        make(num_components=0)
