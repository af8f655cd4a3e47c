"""A VAE of binary images that the library pythae has trained."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.distributions import Bernoulli, Independent, Normal


class PythaeVAE(nn.Module):
    """Densities of a pythae VAE with `reconstruction_loss="bce"`.

    Args:
        vae: the trained model.
    """

    def __init__(self, vae: Any):
        super().__init__()
        self.vae = vae

    def infer(self, x: Tensor) -> Independent:
        q = self.vae.encoder(x)
        return Independent(Normal(q.embedding, (q.log_covariance / 2).exp()), 1)

    def latent_prior(self) -> Independent:
        zeros = next(self.parameters()).new_zeros(self.vae.latent_dim)
        return Independent(Normal(zeros, torch.ones_like(zeros)), 1)

    def decode(self, z: Tensor) -> Independent:
        return Independent(Bernoulli(probs=self.vae.decoder(z).reconstruction), 3)


def make(folder: str) -> PythaeVAE:
    """Makes the module from the folder `final_model` that pythae's trainer writes."""
    from pythae.models import AutoModel

    return PythaeVAE(AutoModel.load_from_folder(folder))
