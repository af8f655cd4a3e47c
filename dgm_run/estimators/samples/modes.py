"""How many modes of a mixture the samples of a model find, and how many samples lie at one.

Source: A. Srivastava et al., VEEGAN: Reducing mode collapse in GANs using implicit variational learning, 2017,
https://arxiv.org/abs/1705.07761
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch

from dgm_run.data.dataset import DataSplit, LoadedDataset
from dgm_run.data.sources.gaussian_mixture import GaussianMixture
from dgm_run.data.split import RawSplits
from dgm_run.errors import ConfigError
from dgm_run.estimators.base import Estimate, Estimator, ProgressCallback, no_progress
from dgm_run.estimators.proportions import SHARE, width_as_stderr, wilson_interval
from dgm_run.models.base import GenerativeModel

NEAR = 3
"""Standard deviations of a mode within which a sample lies at it."""


@dataclass(frozen=True)
class Modes(Estimator[GenerativeModel]):
    """`modes` is how many have a sample within three standard deviations, `high_quality` the share of such samples.

    Beside the share stands what draws of the data themselves have, 1 - exp(-9/2). Its interval is of all samples that
    could have been drawn. The number of modes has none: a mode that no sample has shown may have any small mass.

    Args:
        source: of the data, whose modes are known.
        num_samples: of the model.

    Raises:
        ValueError: there is no sample.
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
        is_near = distances <= NEAR * self.source.scale
        found, missed = which[is_near].unique().tolist(), None
        if len(found) < len(means):
            missed = f"collapse: there are no samples at {len(means) - len(found)} of {len(means)} modes"
        of_all, of_data = len(means), -math.expm1(-(NEAR**2) / 2)
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
                warning=missed,
                train_reference=of_all,
            ),
            Estimate(
                *("high_quality", "modes", "estimate", share, width_as_stderr(interval), len(is_near), "", settings),
                limits=SHARE,
                interval=interval,
                train_reference=of_data,
            ),
        ]
