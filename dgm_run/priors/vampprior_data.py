"""VampPrior with training images as pseudo-inputs.

Source: J. M. Tomczak, M. Welling, VAE with a VampPrior, AISTATS 2018, https://arxiv.org/abs/1705.07120 ("VampPrior
data").
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from dgm_run.priors.vampprior import MixtureOfPosteriors


class VampPriorData(MixtureOfPosteriors):
    """p(z) = 1/K sum_k q(z | x_k) with K fixed random training images x_k.

    The images are a buffer, saved with the weights. They receive no gradient, but the encoder does.

    Args:
        shape: shape of one example.
        num_components: K.

    Raises:
        ValueError: there is no component.
    """

    pseudo_inputs: Tensor

    def __init__(self, shape: Sequence[int], num_components: int):
        super().__init__()
        if num_components < 1:
            raise ValueError(f"num_components = {num_components} must be positive")
        self.register_buffer("pseudo_inputs", torch.zeros(num_components, *shape))

    def initialize(self, x: Tensor) -> None:
        """Chooses the images among training examples x, (N, *shape).

        Raises:
            ValueError: there are fewer examples than components.
        """
        num_components = len(self.pseudo_inputs)
        if len(x) < num_components:
            raise ValueError(
                f"prior.num_components = {num_components} exceeds the {len(x)} training examples: choose fewer"
            )
        chosen = torch.randperm(len(x), device=x.device)[:num_components]
        self.pseudo_inputs.copy_(x[chosen])
