"""Contrastive wake-sleep (the up-down algorithm), which trains all layers of a deep belief network.

Source: G. Hinton, S. Osindero, Y.-W. Teh, A fast learning algorithm for deep belief nets, 2006, appendix B.
"""

from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor

from dgm_run.data.dataset import LoadedDataset
from dgm_run.estimators.base import ProgressCallback, no_progress
from dgm_run.estimators.likelihood.partition import PartitionFunction
from dgm_run.models.base import log_mean_exp
from dgm_run.models.energy.dbn import DBN
from dgm_run.objectives.base import Objective, Progress
from dgm_run.objectives.energy.base import VALIDATION_SAMPLES, check_num_steps, num_sweeps


@dataclass(frozen=True)
class UpDown(Objective[DBN]):
    """Contrastive wake-sleep: the wake phase trains generative weights, and the sleep phase recognition weights.

    In the wake phase the generative weights learn to reconstruct what the recognition weights sampled from data. The
    top RBM learns by contrastive divergence. The end of its chain starts the sleep phase, in which the recognition
    weights learn from generated samples.

    Args:
        num_steps: k, Gibbs sweeps of the top RBM.
        grow_every: number of epochs after which k grows by one; null for a constant k.
        partition: estimator of log Z of the top RBM for the validation likelihood.

    Raises:
        ValueError: there is no sweep, or `grow_every` is not positive.
    """

    num_steps: int
    grow_every: int | None
    partition: PartitionFunction

    requires = {"model": DBN}
    monitor = "log_likelihood"

    def __post_init__(self):
        check_num_steps(self.num_steps, self.grow_every)

    def __call__(self, model: DBN, x: Tensor, progress: Progress | None = None) -> tuple[Tensor, dict[str, Tensor]]:
        progress = progress or Progress(torch.zeros(()), {})
        with torch.no_grad():
            wake_units = model.recognise(x)
            top_samples, _ = model.top.gibbs(wake_units[-1], num_sweeps(progress, self.num_steps, self.grow_every))
            sleep_units = model.generate(top_samples)
        wake_pairs = zip(model.layers, pairwise(wake_units), strict=True)
        sleep_pairs = zip(model.layers, pairwise(sleep_units), strict=True)
        log_p = [layer.log_p(below, above).mean() for layer, (below, above) in wake_pairs]
        log_q = [layer.log_q(above, below).mean() for layer, (below, above) in sleep_pairs]
        top_loss = model.top.free_energy(wake_units[-1]).mean() - model.top.free_energy(top_samples).mean()
        loss = top_loss - sum(log_p) - sum(log_q)
        return loss, {"reconstruction": log_p[0].detach()}

    @torch.no_grad()
    def evaluate(
        self, model: DBN, data: LoadedDataset, batch_size: int, report: ProgressCallback = no_progress
    ) -> dict[str, float]:
        log_z = self.partition(model.top, report).value

        def measure(x: Tensor) -> dict[str, Tensor]:
            log_w = model.log_weights(x, VALIDATION_SAMPLES).double()
            return {"log_f": log_mean_exp(log_w), "bound": log_w.mean(0), "baseline": model.log_baseline(x).double()}

        rows = data.valid.map_batches(batch_size, measure, report)
        means = {name: values.mean().item() for name, values in rows.items()}
        return {
            "log_likelihood": means["log_f"] - log_z,
            "elbo": means["bound"] - log_z,
            "log_partition": log_z,
            "baseline": means["baseline"],
        }
