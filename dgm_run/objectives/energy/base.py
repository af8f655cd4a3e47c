"""What all objectives of energy models share: they compare the free energy of the data with that of something else."""

from abc import abstractmethod
from dataclasses import dataclass
from typing import NamedTuple, TypeVar

import torch
from torch import Tensor, nn

from dgm_run.data.dataset import DataSplit, LoadedDataset
from dgm_run.errors import ConfigError
from dgm_run.estimators.base import ProgressCallback, no_progress
from dgm_run.estimators.likelihood.partition import PartitionFunction
from dgm_run.models.base import log_mean_exp
from dgm_run.models.energy.base import EnergyModel
from dgm_run.objectives.base import Objective, Progress

ACTIVITY_RATE = 0.1
"""Of the moving average of hidden activity, a step."""

WATCHED_SAMPLES = 10
"""Draws of the hidden units of every validation example where they cannot be summed out."""


class Phases(NamedTuple):
    """What an update compares: its gradient is sum_i weights_i dF(states_i) / d theta.

    Attributes:
        states: data and draws together, (N, *shape).
        fields: theirs.
        weights: (N,), positive for the data and negative for the draws; they sum to zero.
        loss: what the gradient belongs to, a scalar in nats.
    """

    states: Tensor
    preactivations: Tensor
    weights: Tensor
    loss: Tensor


M = TypeVar("M", bound=EnergyModel, contravariant=True)


@dataclass(frozen=True)
class EnergyObjective(Objective[M]):
    """Lowers the free energy of the data and raises that of something else; the subclasses say of what.

    The loss is no likelihood: what chooses the checkpoint is log p(x) of the validation data.

    Centering takes the gradient of E = -(x - mu)'W(h - lambda) - b'x - c'h, mu and lambda the means of x and h on
    the data, and tells it in the parameters of the ordinary energy, so that nothing else has to know. Source:
    J. Melchior, A. Fischer, L. Wiskott, How to center deep Boltzmann machines, 2016.

    Sparsity moves the biases of the hidden units (in a DBM those of the odd layers), not their weights, until the
    units are on as often as asked for.
    Source: H. Lee, C. Ekanadham, A. Ng, Sparse deep belief net model for visual area V2, 2008.

    Args:
        partition: log Z for the likelihood that is watched while training.
        weight_decay: lambda of lambda/2 |W|^2, for the weights alone.
        max_norm: upper limit of the norm of every hidden unit's weights; null for none.
        centering_rate: of the moving averages mu and lambda, a step; null for the ordinary gradient.
        sparsity_target: how often a hidden unit is to be on; null for as often as the likelihood asks for.
        sparsity_cost: of cost/2 (activity - target)^2, the activity a moving average.

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
        state_mean, hidden_mean = states.flatten(1).mean(0), model.hidden_means(preactivations).mean(0)
        found: dict[str, Tensor] = {}
        if self.centering_rate is not None:
            found |= {"state_mean": state_mean, "hidden_mean": hidden_mean}
        if self.sparsity_target is not None:
            if not model.hidden_bias_name:
                raise ConfigError(f"{type(model).__name__} has no hidden units: set objective.sparsity_target=null")
            found["activity"] = hidden_mean.clone()
        return found

    @abstractmethod
    def phases(self, model: M, states: Tensor, preactivations: Tensor, progress: Progress) -> Phases:
        """What this step compares; `states` are what the examples of a batch stand for, with their fields."""

    def learned(self, gradients: dict[str, Tensor], memory: dict[str, Tensor]) -> None:
        """Told the gradient of every step, for objectives that follow it."""

    def __call__(self, model: M, x: Tensor, progress: Progress | None = None) -> tuple[Tensor, dict[str, Tensor]]:
        progress = progress or Progress(torch.zeros(()), self.init_state(model, x))
        memory = progress.memory
        with torch.no_grad():
            inferred, preactivations, _ = model.infer(x)
            hidden_mean = model.hidden_means(preactivations).mean(0)
            states, all_fields, weights, value = self.phases(model, inferred, preactivations, progress)
            gradients = model.gradient(states, all_fields, weights)
            self.learned(gradients, memory)
            self._decay(model, gradients)
            if self.centering_rate is not None:
                memory["state_mean"].lerp_(inferred.flatten(1).mean(0), self.centering_rate)
                memory["hidden_mean"].lerp_(hidden_mean, self.centering_rate)
                gradients = model.centered(gradients, memory["state_mean"], memory["hidden_mean"])
            if self.sparsity_target is not None:
                excess = memory["activity"].lerp_(hidden_mean, ACTIVITY_RATE) - self.sparsity_target
                gradients[model.hidden_bias_name].add_(excess, alpha=self.sparsity_cost)
        parameters = dict(model.named_parameters())
        loss = _GivenGradient.apply(value, [gradients[name] for name in parameters], *parameters.values())
        return loss, {"hidden_activity": hidden_mean.mean()} if len(hidden_mean) else {}

    def _decay(self, model: M, gradients: dict[str, Tensor]) -> None:
        if self.weight_decay:
            for name, weight in _weights_of(model):
                gradients[name].add_(weight, alpha=self.weight_decay)

    @torch.no_grad()
    def project_parameters(self, model: M) -> None:
        model.project_parameters()
        if self.max_norm is not None:
            for _, weight in _weights_of(model):
                norms = weight.norm(dim=0, keepdim=True).clamp(min=1e-12)
                weight.mul_((self.max_norm / norms).clamp(max=1))

    @torch.no_grad()
    def evaluate(
        self, model: M, data: LoadedDataset, batch_size: int, report: ProgressCallback = no_progress
    ) -> dict[str, float]:
        log_z = self.partition(model, report).value
        valid = _observe(model, data.valid, batch_size, report)
        train = _observe(model, data.train, batch_size, no_progress, len(data.valid))
        activity = valid["hidden"].mean(0)  # (M,)
        log_f = valid.get("log_f", -valid["free_energy"])
        found = {
            "log_likelihood": log_f.mean().item() - log_z,
            "log_partition": log_z,
            "free_energy_gap": (valid["free_energy"].mean() - train["free_energy"].mean()).item(),
            f"reconstruction_{model.error_measure}": valid["reconstruction"].mean().item(),
            "baseline": valid["baseline"].mean().item(),
        }
        for name, weight in _weights_of(model):
            found[f"{name}_norm"] = weight.norm(dim=0).mean().item()  # of what a unit receives
        if model.inferred:
            found["elbo"] = -valid["free_energy"].mean().item() - log_z
        if len(activity):
            found |= {
                "hidden_activity": activity.mean().item(),
                "dead_units": (activity < 0.01).double().mean().item(),
                "saturated_units": (activity > 0.99).double().mean().item(),
            }
        return found


def _weights_of(model: EnergyModel) -> list[tuple[str, nn.Parameter]]:
    return [(name, parameter) for name, parameter in model.named_parameters() if "weight" in name]


def _observe(
    model: EnergyModel, data: DataSplit, batch_size: int, report: ProgressCallback, num: int | None = None
) -> dict[str, Tensor]:
    """What can be seen of the first `num` examples, one row for each, in float64."""

    def find(x: Tensor) -> dict[str, Tensor]:
        states, preactivations, entropy = model.infer(x)
        found = {
            "free_energy": -model.log_unnormalized(states, preactivations) - entropy,
            "baseline": model.log_baseline(x),
            "reconstruction": model.reconstruction_error(x, preactivations),
            "hidden": model.hidden_means(preactivations),
        }
        if model.inferred:
            found["log_f"] = log_mean_exp(model.log_weights(x, WATCHED_SAMPLES))
        return {name: value.double() for name, value in found.items()}

    return data.map_batches(batch_size, find, report, num)


def check_num_steps(num_steps: int, grow_every: int | None) -> None:
    """Raises a ValueError where `num_sweeps` would make no sense of them."""
    if num_steps < 1:
        raise ValueError(f"num_steps = {num_steps}: at least one is needed")
    if grow_every is not None and grow_every < 1:
        raise ValueError(f"grow_every = {grow_every} must be positive; null for none")


def num_sweeps(progress: Progress, num_steps: int, grow_every: int | None) -> int:
    """`num_steps`, and one more after every `grow_every` epochs; null for none."""
    return num_steps + int(progress.epoch) // grow_every if grow_every else num_steps


def data_against(
    model: EnergyModel, x: Tensor, preactivations: Tensor, v: Tensor, v_fields: Tensor, v_weights: Tensor | None = None
) -> Phases:
    """mean F(x) - mean F(v), or the weighted mean with `v_weights`, which sum to one."""
    if v_weights is None:
        v_weights = preactivations.new_full((len(v),), 1 / len(v))
    states, all_fields = torch.cat([x, v]), torch.cat([preactivations, v_fields])
    weights = torch.cat([preactivations.new_full((len(x),), 1 / len(x)), -v_weights])
    return Phases(states, all_fields, weights, -(weights @ model.log_unnormalized(states, all_fields)))


class _GivenGradient(torch.autograd.Function):
    """A value whose gradient was made by hand: on the way of a Boltzmann machine the tape costs half the time."""

    @staticmethod
    def forward(ctx, value: Tensor, gradients: list[Tensor], *parameters: nn.Parameter) -> Tensor:
        ctx.save_for_backward(*gradients)
        return value.clone()

    @staticmethod
    def backward(ctx, upstream: Tensor):
        return None, None, *(upstream * gradient for gradient in ctx.saved_tensors)
