"""Base of energy-model objectives, which compare the free energy of data with that of model samples."""

from abc import abstractmethod
from dataclasses import dataclass
from typing import NamedTuple, TypeVar

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from dgm_run.data.data_split import DataSplit
from dgm_run.data.dataset import LoadedDataset
from dgm_run.errors import ConfigError
from dgm_run.estimators.base import ProgressCallback, no_progress
from dgm_run.estimators.likelihood.partition import PartitionFunction
from dgm_run.models.base import log_mean_exp
from dgm_run.models.energy.base import EnergyModel
from dgm_run.objectives.base import Objective, Progress

ACTIVITY_RATE = 0.1
"""Rate of the moving average of hidden activity, for each step."""

VALIDATION_SAMPLES = 10
"""Number of samples of the hidden units for each validation example, for models with latent states."""


class Phases(NamedTuple):
    """Positive and negative phase of an update, with the gradient sum_i weights_i dF(states_i) / d theta.

    Attributes:
        states: data and samples together, (N, *shape).
        preactivations: preactivations of the states, (N, M).
        weights: (N,), positive for data and negative for samples, with sum zero.
        loss: loss with this gradient, a scalar in nats.
    """

    states: Tensor
    preactivations: Tensor
    weights: Tensor
    loss: Tensor


M = TypeVar("M", bound=EnergyModel, contravariant=True)


@dataclass(frozen=True)
class EnergyObjective(Objective[M]):
    """Objective that lowers the free energy of data and raises that of samples, which subclasses define.

    The loss is no likelihood; log p(x) of the validation data chooses the checkpoint.

    Centering takes the gradient of E = -(x - mu)'W(h - lambda) - b'x - c'h. Here mu and lambda are the data means of x
    and h. It expresses the gradient in the parameters of the ordinary energy, so that no other code changes.
    Source: J. Melchior, A. Fischer, L. Wiskott, How to center deep Boltzmann machines, 2016.

    Sparsity moves the biases of the hidden units, not their weights, until the units reach the target activity. In a
    DBM these are the biases of the odd layers.
    Source: H. Lee, C. Ekanadham, A. Ng, Sparse deep belief net model for visual area V2, 2008.

    Args:
        partition: estimator of log Z for the validation likelihood.
        weight_decay: lambda of lambda/2 |W|^2, for weights only.
        max_norm: upper limit of the norm of each hidden unit's weights; null for none.
        centering_rate: rate of the moving averages mu and lambda for each step; null for the ordinary gradient.
        sparsity_target: target activity of the hidden units; null for no target.
        sparsity_cost: cost of cost/2 (activity - target)^2, with a moving average as the activity.

    Raises:
        ValueError: a decay, cost, limit, target or rate lies outside its range.
    """

    partition: PartitionFunction
    weight_decay: float
    max_norm: float | None
    centering_rate: float | None
    sparsity_target: float | None
    sparsity_cost: float

    requires = {"model": EnergyModel}
    monitor = "log_likelihood"

    def __post_init__(self):
        for name in ("weight_decay", "sparsity_cost"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} = {getattr(self, name)} must not be negative")
        if self.max_norm is not None and self.max_norm <= 0:
            raise ValueError(f"max_norm = {self.max_norm} must be positive; null switches it off")
        if self.centering_rate is not None and not 0 < self.centering_rate <= 1:
            raise ValueError(f"centering_rate = {self.centering_rate} must lie in (0, 1]; null switches it off")
        if self.sparsity_target is not None and not 0 < self.sparsity_target < 1:
            raise ValueError(f"sparsity_target = {self.sparsity_target} must lie in (0, 1); null switches it off")

    @torch.no_grad()
    def init_state(self, model: M, x: Tensor) -> dict[str, Tensor]:
        if self.centering_rate is None and self.sparsity_target is None:
            return {}
        states, preactivations, _ = model.infer(x)
        state_mean = states.flatten(1).mean(0)
        hidden_mean = model.hidden_means(preactivations).mean(0)
        state: dict[str, Tensor] = {}
        if self.centering_rate is not None:
            state |= {"state_mean": state_mean, "hidden_mean": hidden_mean}
        if self.sparsity_target is not None:
            if not model.hidden_bias_name:
                raise ConfigError(f"{type(model).__name__} has no hidden units: set objective.sparsity_target=null")
            state["activity"] = hidden_mean.clone()
        return state

    @abstractmethod
    def phases(self, model: M, states: Tensor, preactivations: Tensor, progress: Progress) -> Phases:
        """Builds the phases of a step; `states` are inferred from the batch, with their preactivations."""

    def record_gradient(self, gradients: dict[str, Tensor], state: dict[str, Tensor]) -> None:
        """Receives the gradient of every step, for objectives that keep a state of it."""

    def __call__(self, model: M, x: Tensor, progress: Progress | None = None) -> tuple[Tensor, dict[str, Tensor]]:
        progress = progress or Progress(torch.zeros(()), self.init_state(model, x))
        state = progress.state
        with torch.no_grad():
            inferred, preactivations, _ = model.infer(x)
            hidden_mean = model.hidden_means(preactivations).mean(0)
            states, all_preactivations, weights, value = self.phases(model, inferred, preactivations, progress)
            gradients = model.gradient(states, all_preactivations, weights)
            self.record_gradient(gradients, state)
            self._decay(model, gradients)
            if self.centering_rate is not None:
                state["state_mean"].lerp_(inferred.flatten(1).mean(0), self.centering_rate)
                state["hidden_mean"].lerp_(hidden_mean, self.centering_rate)
                gradients = model.center_gradient(gradients, state["state_mean"], state["hidden_mean"])
            if self.sparsity_target is not None:
                excess = state["activity"].lerp_(hidden_mean, ACTIVITY_RATE) - self.sparsity_target
                gradients[model.hidden_bias_name].add_(excess, alpha=self.sparsity_cost)
        parameters = dict(model.named_parameters())
        loss = _PrecomputedGradient.apply(value, [gradients.pop(name) for name in parameters], *parameters.values())
        return loss, {"hidden_activity": hidden_mean.mean()} if len(hidden_mean) else {}

    def _decay(self, model: M, gradients: dict[str, Tensor]) -> None:
        if self.weight_decay:
            for name, weight in _named_weights(model):
                gradients[name].add_(weight, alpha=self.weight_decay)

    @torch.no_grad()
    def project_parameters(self, model: M) -> None:
        model.project_parameters()
        if self.max_norm is not None:
            for _, weight in _named_weights(model):
                norms = weight.norm(dim=0, keepdim=True).clamp(min=1e-12)
                weight.mul_((self.max_norm / norms).clamp(max=1))

    @torch.no_grad()
    def evaluate(
        self, model: M, data: LoadedDataset, batch_size: int, report: ProgressCallback = no_progress
    ) -> dict[str, float]:
        log_z = self.partition(model, report).value
        valid = _measure_examples(model, data.valid, batch_size, report)
        train = _measure_examples(model, data.train, batch_size, no_progress, len(data.valid))
        activity = valid["hidden"].mean(0)  # (M,)
        log_f = valid.get("log_f", -valid["free_energy"])
        terms = {
            "log_likelihood": log_f.mean().item() - log_z,
            "log_partition": log_z,
            "free_energy_gap": (valid["free_energy"].mean() - train["free_energy"].mean()).item(),
            f"reconstruction_{model.error_measure}": valid["reconstruction"].mean().item(),
            "baseline": valid["baseline"].mean().item(),
        }
        for name, weight in _named_weights(model):
            terms[f"{name}_norm"] = weight.norm(dim=0).mean().item()  # norm of a unit's incoming weights
        if model.has_latent_states:
            terms["elbo"] = -valid["free_energy"].mean().item() - log_z
        if len(activity):
            terms |= {
                "hidden_activity": activity.mean().item(),
                "dead_units": (activity < 0.01).double().mean().item(),
                "saturated_units": (activity > 0.99).double().mean().item(),
            }
        return terms


def _named_weights(model: EnergyModel) -> list[tuple[str, nn.Parameter]]:
    """Lists the weights, which decay and norm limit act on, with their names; biases are left out."""
    return [(name, parameter) for name, parameter in model.named_parameters() if "weight" in name]


def _measure_examples(
    model: EnergyModel, data: DataSplit, batch_size: int, report: ProgressCallback, num: int | None = None
) -> dict[str, Tensor]:
    """Measures the first `num` examples, all of them for None: columns of one row for each example, float64."""

    def measure(x: Tensor) -> dict[str, Tensor]:
        states, preactivations, entropy = model.infer(x)
        columns = {
            "free_energy": -model.log_unnormalized(states, preactivations) - entropy,
            "baseline": model.log_baseline(x),
            "reconstruction": model.reconstruction_error(x, preactivations),
            "hidden": model.hidden_means(preactivations),
        }
        if model.has_latent_states:
            columns["log_f"] = log_mean_exp(model.log_weights(x, VALIDATION_SAMPLES))
        return {name: value.double() for name, value in columns.items()}

    return data.map_batches(batch_size, measure, report, num)


def check_num_steps(num_steps: int, grow_every: int | None) -> None:
    """Checks the arguments of `num_sweeps`.

    Raises:
        ValueError: one of them is not positive.
    """
    if num_steps < 1:
        raise ValueError(f"num_steps = {num_steps}: at least one is needed")
    if grow_every is not None and grow_every < 1:
        raise ValueError(f"grow_every = {grow_every} must be positive; null for none")


def num_sweeps(progress: Progress, num_steps: int, grow_every: int | None) -> int:
    """Returns the number of sweeps of a step: `num_steps`, plus one for every `grow_every` epochs unless it is None."""
    return num_steps + int(progress.epoch) // grow_every if grow_every else num_steps


def contrast_phases(
    model: EnergyModel,
    x: Tensor,
    preactivations: Tensor,
    v: Tensor,
    v_preactivations: Tensor,
    v_weights: Tensor | None = None,
) -> Phases:
    """Builds the phases of the loss mean F(x) - mean F(v).

    Args:
        model: model of the free energy F.
        x: states of the data, (B, *shape).
        preactivations: preactivations of x, (B, M).
        v: states of the samples, (N, *shape).
        v_preactivations: preactivations of v, (N, M).
        v_weights: weights of the samples in their mean, (N,), with sum one; None for equal weights.
    """
    if v_weights is None:
        v_weights = preactivations.new_full((len(v),), 1 / len(v))
    states = torch.cat([x, v])
    all_preactivations = torch.cat([preactivations, v_preactivations])
    weights = torch.cat([preactivations.new_full((len(x),), 1 / len(x)), -v_weights])
    return Phases(states, all_preactivations, weights, -(weights @ model.log_unnormalized(states, all_preactivations)))


class _PrecomputedGradient(torch.autograd.Function):
    """Value with a precomputed gradient; for a Boltzmann machine autograd would take half of the time of a step."""

    @staticmethod
    def forward(ctx, value: Tensor, gradients: list[Tensor], *parameters: nn.Parameter) -> Tensor:
        ctx.gradients = gradients[::-1]
        return value.clone()

    @staticmethod
    @once_differentiable
    def backward(ctx, upstream: Tensor):
        # in place and without another reference: a copy of the size of the weights would cost a tenth of a step
        return None, None, *(ctx.gradients.pop().mul_(upstream) for _ in range(len(ctx.gradients)))
