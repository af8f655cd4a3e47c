"""Mode coverage of a Gaussian mixture: the number of modes with samples, and the share of samples near a mode.

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
from dgm_run.estimators.proportions import SHARE_LIMITS, width_as_stderr, wilson_interval
from dgm_run.models.base import GenerativeModel

MAX_DEVIATIONS = 3
"""Distance from a mode, in standard deviations, within which a sample belongs to it."""


@dataclass(frozen=True)
class Modes(Estimator[GenerativeModel]):
    """Number of modes with a sample within three standard deviations, and share of such samples.

    The quantities are `modes` and `high_quality`. The train reference of the share is 1 - exp(-9/2), its expectation
    for draws of the data. The interval of the share is over all samples of the model. The number of modes has no
    interval: a mode without a sample may have any small mass.

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
        self.require_positive("num_samples")

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
        distances, nearest_mode = torch.cdist(model.sample(self.num_samples).to(means), means).min(1)
        is_near = distances <= MAX_DEVIATIONS * self.source.scale
        num_modes = len(nearest_mode[is_near].unique())
        warning = None
        if num_modes < len(means):
            warning = f"collapse: there are no samples at {len(means) - num_modes} of {len(means)} modes"
        share_of_data = -math.expm1(-(MAX_DEVIATIONS**2) / 2)
        settings = {"num_samples": self.num_samples}
        share = is_near.double().mean().item()
        interval = wilson_interval(share, len(is_near))
        return [
            Estimate(
                quantity="modes",
                estimator="modes",
                kind="estimate",
                value=num_modes,
                stderr=None,
                num_examples=len(is_near),
                unit="",
                settings=settings,
                warning=warning,
                train_reference=len(means),
            ),
            Estimate(
                quantity="high_quality",
                estimator="modes",
                kind="estimate",
                value=share,
                stderr=width_as_stderr(interval),
                num_examples=len(is_near),
                unit="",
                settings=settings,
                limits=SHARE_LIMITS,
                interval=interval,
                train_reference=share_of_data,
            ),
        ]
