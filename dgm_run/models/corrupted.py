"""Latent-variable models of corrupted examples: with missing values, or with noise.

Source: P.-A. Mattei, J. Frellsen, MIWAE: deep generative modelling and imputation of incomplete data sets, 2019,
https://arxiv.org/abs/1812.02633 (the bound of the observed elements, zeros as the encoder's input).
"""

import torch
from torch import Tensor, nn

from dgm_run.data.corruptions import Corruption, MissingValues
from dgm_run.distributions.base import Distribution
from dgm_run.errors import ConfigError
from dgm_run.models.base import ContinuousLatentModel, ExactModel, LatentVariableModel, topmost_with_method
from dgm_run.models.linear.factor_analysis import FactorAnalysis


def build_corrupted_model(model: nn.Module, corrupt: Corruption) -> "CorruptedModel":
    """Builds the model of corrupted examples x~ from a model of x.

    Raises:
        ConfigError: no such model exists for a model of this kind.
    """
    if isinstance(model, FactorAnalysis):
        return ExactCorruptedModel(model, corrupt)
    if isinstance(model, ContinuousLatentModel):
        return CorruptedModel(model, corrupt)
    name = type(model).__name__
    choose = "choose model=vae, hvae, dlgm, factor_analysis or ppca"
    if isinstance(corrupt, MissingValues):
        raise ConfigError(f"dataset: values are missing (NaN), but {name} needs complete data: {choose}")
    raise ConfigError(
        f"dataset/corrupt: {name} needs complete data: {choose}; or train on complete data and let "
        "estimators=[imputation] restore corrupted test examples"
    )


def get_complete_model(model: nn.Module) -> nn.Module:
    """Returns the model of x in a model of corrupted examples; any other model unchanged."""
    return model.model if isinstance(model, CorruptedModel) else model


class CorruptedModel(ContinuousLatentModel):
    """p(x~) = integral of p(x~ | z) p(z) dz, with p(x~ | z) = integral of p(x~ | x) p(x | z) dx.

    Every bound and estimate of p(x~) applies. Samples are draws of the uncorrupted x.

    Args:
        model: model of x; its decoder has independent elements.
        corrupt: p(x~ | x).

    Raises:
        ConfigError: the decoder's elements are not independent.
    """

    def __init__(self, model: LatentVariableModel, corrupt: Corruption):
        super().__init__()
        self.model = model
        self.corrupt = corrupt
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
        return self.model.infer_from_corrupted(x, self.corrupt)

    def latent_prior(self) -> Distribution:
        return self.model.latent_prior()

    def decode(self, z: Tensor) -> Distribution:
        return self.corrupt.observation_density(self.model.decode(z))

    def initialize(self, x: Tensor) -> None:
        """Initializes the model from corrupted examples; means of the observed values replace missing elements."""
        observed = self.corrupt.observed(x)
        means = observed.nanmean(0).nan_to_num(0.0)  # zero where an element is never observed
        completed = torch.where(observed.isnan(), means, observed)
        for part in topmost_with_method(self.model, "initialize"):
            part.initialize(completed)

    def generate(self, n: int) -> Distribution:
        return self.model.generate(n)

    @torch.no_grad()
    def posterior_of_x(self, x: Tensor) -> Distribution:
        """Returns p(x | x~, z) at one draw of q(z | x~)."""
        return self.corrupt.posterior_of_x(self.model.decode(self.infer(x).sample()), x)

    def reconstruct(self, x: Tensor) -> Tensor:
        """Returns the mean of p(x | x~, z) at one draw of q(z | x~), (B, *shape)."""
        return self.posterior_of_x(x).mean


class ExactCorruptedModel(CorruptedModel, ExactModel):
    """Factor analysis of corrupted examples, with p(x~) in closed form."""

    model: FactorAnalysis

    def log_prob(self, x: Tensor) -> Tensor:
        return self.model.log_prob_of_corrupted(x, self.corrupt)
