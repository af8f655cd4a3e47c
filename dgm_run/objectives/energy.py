"""What all objectives of energy models share: lower the free energy of the data, raise that of the model's draws."""

from abc import abstractmethod
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dgm_run.data.dataset import Examples, LoadedDataset
from dgm_run.estimators.partition import PartitionFunction
from dgm_run.models.base import EnergyModel
from dgm_run.objectives.base import Objective, Progress


@dataclass(frozen=True)
class EnergyObjective(Objective):
    """mean F(x) - mean F(v) over data x and draws v, whose gradient is that of -log p(x) if v follows the model.

    The loss is no likelihood: what chooses the checkpoint is log p(x) of the validation data.

    Args:
        partition: log Z for the likelihood that is watched while training.
        weight_decay: lambda of lambda/2 |W|^2, for the weights alone.

    Raises:
        ValueError: the weight decay is negative.
    """

    partition: PartitionFunction
    weight_decay: float

    requires = {"model": EnergyModel}
    monitor = "log_likelihood"

    def __post_init__(self):
        if self.weight_decay < 0:
            raise ValueError(f"weight_decay = {self.weight_decay} must not be negative")

    @abstractmethod
    def draws(self, model: EnergyModel, x: Tensor, fields: Tensor, progress: Progress) -> tuple[Tensor, Tensor, Tensor]:
        """The negative phase: states v, (N, *shape), their fields, and their weights, (N,), which sum to one."""

    def __call__(
        self, model: EnergyModel, x: Tensor, progress: Progress | None = None
    ) -> tuple[Tensor, dict[str, Tensor]]:
        with torch.no_grad():
            fields = model.fields(x)
            v, v_fields, v_weights = self.draws(model, x, fields, progress)
            weights = torch.cat([torch.full_like(v_weights[:1], 1 / len(x)).expand(len(x)), -v_weights])
            both, both_fields = torch.cat([x, v]), torch.cat([fields, v_fields])
            gradients = model.gradient(both, both_fields, weights)
            self._decay(model, gradients)
            value = -(weights @ model.log_density(both, both_fields))
            activity = model.hidden_means(fields).mean()
        parameters = dict(model.named_parameters())
        loss = _GivenGradient.apply(value, [gradients[name] for name in parameters], *parameters.values())
        return loss, {"hidden_activity": activity}

    def _decay(self, model: EnergyModel, gradients: dict[str, Tensor]) -> None:
        if self.weight_decay:
            for name, parameter in model.named_parameters():
                if parameter.dim() > 1:
                    gradients[name].add_(parameter, alpha=self.weight_decay)

    @torch.no_grad()
    def evaluate(self, model: EnergyModel, data: LoadedDataset, batch_size: int) -> dict[str, float]:
        log_z = self.partition(model).value
        valid = _observe(model, data.valid, batch_size)
        train = _observe(model, data.train, batch_size, len(data.valid))
        activity = valid.pop("hidden").mean(0)
        return {
            "log_likelihood": -valid["free_energy"].mean().item() - log_z,
            "log_partition": log_z,
            "free_energy_gap": (valid["free_energy"].mean() - train["free_energy"].mean()).item(),
            "reconstruction_cross_entropy": valid["reconstruction"].mean().item(),
            "baseline": valid["baseline"].mean().item(),
            "hidden_activity": activity.mean().item(),
            "dead_units": (activity < 0.01).double().mean().item(),
            "saturated_units": (activity > 0.99).double().mean().item(),
        }


def _observe(model: EnergyModel, data: Examples, batch_size: int, num: int | None = None) -> dict[str, Tensor]:
    """What can be seen of the first `num` examples, one row for each, in float64."""
    rows: dict[str, list[Tensor]] = {}
    end = min(len(data), num or len(data))
    for start in range(0, end, batch_size):
        x = data.batch(slice(start, min(start + batch_size, end)))
        fields = model.fields(x)
        cross_entropy = F.binary_cross_entropy(model.visible_means(fields), x, reduction="none").flatten(1).sum(1)
        found = {
            "free_energy": -model.log_density(x, fields),
            "baseline": model.log_base_probability(x),
            "reconstruction": cross_entropy,
            "hidden": model.hidden_means(fields),
        }
        for name, value in found.items():
            rows.setdefault(name, []).append(value.double())
    return {name: torch.cat(values) for name, values in rows.items()}


class _GivenGradient(torch.autograd.Function):
    """A value whose gradient was made by hand: on the way of a Boltzmann machine the tape costs half the time."""

    @staticmethod
    def forward(ctx, value: Tensor, gradients: list[Tensor], *parameters: nn.Parameter) -> Tensor:
        ctx.save_for_backward(*gradients)
        return value.clone()

    @staticmethod
    def backward(ctx, upstream: Tensor):
        return None, None, *(upstream * gradient for gradient in ctx.saved_tensors)
