import pytest
import torch

from dgm_run.objectives.implicit import evaluate_joint_and_score
from dgm_run.objectives.stein import Stein
from tests.support import exact


@pytest.mark.usefixtures("double")
def test_score_matches_factor_analysis():
    model = exact.factor_analysis(2, 4, full=True)
    x, z = torch.randn(3, 4), torch.randn(5, 3, 2)
    weight, bias = model.decoder.output.weight, model.decoder.output.bias
    with torch.no_grad():
        residual = x - z @ weight.T - bias
        expected = residual @ weight / exact.NOISE**2 - z
    joint, score, log_px = evaluate_joint_and_score(model, x, z, create_graph=False)
    torch.testing.assert_close(score, expected, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(joint - log_px, model.latent_prior().log_prob(z))


def test_a_single_particle_is_refused():
    with pytest.raises(ValueError, match="num_samples = 1"):
        Stein(num_samples=1)
