import pytest
import torch

from dgm_run.encoders.mlp import MLPEncoder
from dgm_run.posteriors.sylvester_flow import SylvesterFlowPosterior
from tests.support.contracts import check_flow_posterior, check_step

SHAPE = (1, 2, 2)


def make(kind, num_vectors=2, latent_dim=4, num_steps=2):
    return SylvesterFlowPosterior(
        MLPEncoder(SHAPE, [5], "gated"), latent_dim, (-6.0, 2.0), num_steps, kind, num_vectors
    )


@pytest.mark.parametrize("kind", ["orthogonal", "householder", "triangular"])
def test_volume_and_orthonormal_q(kind):
    torch.manual_seed(0)
    posterior = make(kind).double()
    posterior.head.weight.data.normal_()
    with torch.no_grad():
        steps = posterior(torch.rand(3, *SHAPE).double()).steps
    for step in steps:
        check_step(step, 3, 4, invertible=False)
        identity = torch.eye(step.q.shape[-1]).double().expand(3, -1, -1)
        torch.testing.assert_close(step.q.mT @ step.q, identity)
        for triangle in (step.r, step.s):
            assert not triangle.tril(-1).any()
            assert (triangle.diagonal(dim1=-2, dim2=-1).abs() < 1).all()
    if kind == "triangular":
        torch.testing.assert_close(steps[0].q.flip(-1), steps[1].q)


@pytest.mark.parametrize("kind", ["orthogonal", "householder", "triangular"])
def test_each_example_has_a_flow_of_its_own(kind):
    check_flow_posterior(make(kind), SHAPE, 4, invertible=False)


def test_q_without_vectors_is_refused():
    with pytest.raises(ValueError, match="kind=householder needs at least one"):
        make("householder", num_vectors=0)
    make("triangular", num_vectors=0)


def test_too_many_columns_are_refused():
    with pytest.raises(ValueError, match="num_vectors = 5 must lie between 1 and latent_dim = 4"):
        make("orthogonal", num_vectors=5)
