"""A latent-variable model of examples of which only something is seen: with holes, or through noise.

Sources: P.-A. Mattei, J. Frellsen, MIWAE: deep generative modelling and imputation of incomplete data sets, 2019,
https://arxiv.org/abs/1812.02633 (the bound of the known elements, an encoder that is shown zeros).
"""

import torch
from torch import Tensor, nn

from dgm_run.data.corruptions import Corruption, MissingValues
from dgm_run.distributions.base import Distribution
from dgm_run.errors import ConfigError
from dgm_run.models.base import ContinuousLatentModel, ExactModel, LatentVariableModel, topmost_with_method
from dgm_run.models.linear.factor_analysis import FactorAnalysis


def corrupted(model: nn.Module, corrupt: Corruption) -> "Corrupted":
    """The model of what is seen of x by a model of x.

    Raises:
        ConfigError: there is none for a model of this kind; one line says what to choose.
    """
    if isinstance(model, FactorAnalysis):
        return ExactCorrupted(model, corrupt)
    if isinstance(model, ContinuousLatentModel):
        return Corrupted(model, corrupt)
    name = type(model).__name__
    choose = "choose model=vae, hvae, dlgm, factor_analysis or ppca"
    if isinstance(corrupt, MissingValues):
        raise ConfigError(f"dataset: values are missing (NaN), and {name} learns from complete data: {choose}")
    raise ConfigError(
        f"dataset/corrupt: {name} learns from complete data alone: {choose}; of a model of complete data "
        "estimators=[imputation] restores test examples"
    )


class Corrupted(ContinuousLatentModel):
    """p(x~) = integral of p(x~ | z) p(z) dz, where p(x~ | z) is p(x | z) seen through a corruption.

    Every bound and every estimate of p(x~) comes with it. Draws are of x: what is learned is what stands behind.

    Args:
        model: of x; its decoder has independent elements.
        corrupt: p(x~ | x).

    Raises:
        ConfigError: the decoder cannot be seen through it; one line says what can.
    """

    def __init__(self, model: LatentVariableModel, corrupt: Corruption):
        super().__init__()
        self.model, self.corrupt = model, corrupt
        with torch.no_grad():
            was_training = model.training
            try:
                self.decode(model.eval().latent_prior().sample((1,)))
            except NotImplementedError as error:
                raise ConfigError(f"dataset/corrupt: {error}") from None
            finally:
                model.train(was_training)

    def auxiliary_loss(self) -> Tensor | float:
        return self.model.auxiliary_loss()

    def infer(self, x: Tensor) -> Distribution:
        return self.model.infer_seen(x, self.corrupt)

    def latent_prior(self) -> Distribution:
        return self.model.latent_prior()

    def decode(self, z: Tensor) -> Distribution:
        return self.corrupt.observation_density(self.model.decode(z))

    def initialize(self, x: Tensor) -> None:
        """The model starts from the examples as they are seen, with the means of the known elements in the holes."""
        known = self.corrupt.observed(x)
        means = known.nanmean(0).nan_to_num(0.0)  # zero where an element is never seen
        for part in topmost_with_method(self.model, "initialize"):
            part.initialize(torch.where(known.isnan(), means, known))

    def generate(self, n: int) -> Distribution:
        return self.model.generate(n)

    @torch.no_grad()
    def posterior_of_x(self, x: Tensor) -> Distribution:
        """p(x | x~, z) at one draw of q(z | x~)."""
        return self.corrupt.posterior_of_x(self.model.decode(self.infer(x).sample()), x)

    def reconstruct(self, x: Tensor) -> Tensor:
        return self.posterior_of_x(x).mean


class ExactCorrupted(Corrupted, ExactModel):
    """p(x~) in closed form, of factor analysis."""

    model: FactorAnalysis

    def log_prob(self, x: Tensor) -> Tensor:
        return self.model.log_prob_seen(x, self.corrupt)
