"""Mode coverage of a Gaussian mixture: the modes that samples find, and the share of samples near a mode.

Source: A. Srivastava et al., VEEGAN: Reducing mode collapse in GANs using implicit variational learning, 2017,
https://arxiv.org/abs/1705.07761
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch

from dgm_run.data.data_split import DataSplit
from dgm_run.data.dataset import LoadedDataset
from dgm_run.data.sources.gaussian_mixture import GaussianMixture
from dgm_run.data.split import RawSplits
from dgm_run.errors import ConfigError
from dgm_run.estimators.base import Estimate, Estimator, ProgressCallback, no_progress
from dgm_run.estimators.proportions import SHARE, width_as_stderr, wilson_interval
from dgm_run.models.base import GenerativeModel

MAX_DEVIATIONS = 3
"""Distance from a mode, in standard deviations, within which a sample belongs to it."""


@dataclass(frozen=True)
class Modes(Estimator[GenerativeModel]):
    """The number of modes with a sample within three standard deviations, and the share of such samples.

    The quantities are `modes` and `high_quality`. Draws of the data have a share of 1 - exp(-9/2), which stands beside
    it. The interval of the share is over all samples of the model. The number of modes has none: a mode without a
    sample may have any small mass.

    Args:
        source: source of the data, whose modes are known.
        num_samples: number of samples of the model.

    Raises:
        ValueError: `num_samples` is not positive.
    """

    source: GaussianMixture | Callable[[], RawSplits]
    num_samples: int

    takes = ("continuous",)

    def __post_init__(self):
        if self.num_samples < 1:
            raise ValueError(f"num_samples = {self.num_samples} must be positive")

    def check(self, model: GenerativeModel, data: LoadedDataset) -> None:
        if not isinstance(self.source, GaussianMixture):
            known = f"the modes of {data.dataset.name} are not known"
            raise ConfigError(f"estimators.modes: {known}: set dataset=gaussian_mixture, or leave the estimator out")

    @torch.no_grad()
    def __call__(
        self, model: GenerativeModel, data: DataSplit, report: ProgressCallback = no_progress
    ) -> list[Estimate]:
        assert isinstance(self.source, GaussianMixture)  # by `check`
        means = self.source.means
        distances, which = torch.cdist(model.sample(self.num_samples).to(means), means).min(1)
        is_near = distances <= MAX_DEVIATIONS * self.source.scale
        found = which[is_near].unique().tolist()
        warning = None
        if len(found) < len(means):
            warning = f"collapse: there are no samples at {len(means) - len(found)} of {len(means)} modes"
        share_of_data = -math.expm1(-(MAX_DEVIATIONS**2) / 2)
        settings = {"num_samples": self.num_samples}
        share = is_near.double().mean().item()
        interval = wilson_interval(share, len(is_near))
        return [
            Estimate(
                "modes",
                "modes",
                "estimate",
                len(found),
                None,
                len(is_near),
                "",
                settings,
                warning=warning,
                train_reference=len(means),
            ),
            Estimate(
                "high_quality",
                "modes",
                "estimate",
                share,
                width_as_stderr(interval),
                len(is_near),
                "",
                settings,
                limits=SHARE,
                interval=interval,
                train_reference=share_of_data,
            ),
        ]
