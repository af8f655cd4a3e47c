"""Operator variational inference with the Langevin-Stein operator.

Source: R. Ranganath, J. Altosaar, D. Tran, D. Blei, Operator variational inference, 2016,
https://arxiv.org/abs/1610.09033.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from dgm_run.models.base import ContinuousLatentModel
from dgm_run.models.latent.vae import VAE
from dgm_run.networks.frozen_parameters import frozen_parameters
from dgm_run.objectives.base import Progress
from dgm_run.objectives.implicit import ImplicitObjective, evaluate_joint_and_score
from dgm_run.posteriors.operator import OperatorPosterior


@dataclass(frozen=True)
class Operator(ImplicitObjective[VAE]):
    """min over q, max over f of (E_q[score'f + div f])^2, which is zero for every f if q is the posterior.

    Two independent halves of the samples give the two factors of the square, so that its gradient is unbiased. p learns
    from log p(x, z) at the samples. The test function shares the optimizer; its gradient has the reversed sign.
    """

    requires = {"model": ContinuousLatentModel, "posterior": OperatorPosterior}

    def __post_init__(self):
        super().__post_init__()
        if self.num_samples % 2:
            raise ValueError(f"num_samples = {self.num_samples} must be even: each of two means uses half of them")

    def __call__(self, model: VAE, x: Tensor, progress: Progress | None = None) -> tuple[Tensor, dict[str, Tensor]]:
        posterior = model.posterior
        assert isinstance(posterior, OperatorPosterior)
        z = posterior(x).rsample((self.num_samples,))
        with torch.no_grad():
            features = posterior.encoder(x)
        joint, _, log_px = evaluate_joint_and_score(model, x, z.detach(), create_graph=False)

        # the comparison of q with the posterior of z must not train p(x, z), which defines that posterior
        with frozen_parameters(model.decoder, model.prior):
            _, score, _ = evaluate_joint_and_score(model, x, z, create_graph=True)

        f, divergence = gradient_reversal(posterior.test_function, z, features)
        value = operator_objective(score, f, divergence).mean()
        loss = value - joint.mean()
        return loss + model.auxiliary_loss(), {
            "operator": value.detach(),
            "log_joint": joint.detach().mean(),
            "reconstruction": log_px.detach().mean(),
        }


def operator_objective(score: Tensor, f: Tensor, divergence: Tensor) -> Tensor:
    """Computes (mean of score'f + div f)^2 of each example, unbiased by two sample halves: (S, B, L) -> (B,)."""
    first, second = ((score * f).sum(-1) + divergence).chunk(2)
    return first.mean(0) * second.mean(0)


def gradient_reversal(network: torch.nn.Module, *arguments: Tensor) -> tuple[Tensor, ...]:
    """Evaluates the network with the gradient of its own parameters reversed."""
    parameters = {name: _GradientReversal.apply(parameter) for name, parameter in network.named_parameters()}
    return torch.func.functional_call(network, parameters, arguments)


class _GradientReversal(torch.autograd.Function):
    """Identity with the gradient -1."""

    @staticmethod
    def forward(ctx, value: Tensor) -> Tensor:
        return value.view_as(value)

    @staticmethod
    def backward(ctx, gradient: Tensor) -> Tensor:
        return -gradient
