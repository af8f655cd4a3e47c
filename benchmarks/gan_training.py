"""Measures the training speed of a GAN with R1, against a loop over the same networks as tutorials write them."""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import nn

from benchmarks import ours
from benchmarks.data import load
from benchmarks.table import PLAIN, Contender, Options, Ratios, measure, show
from dgm_run.data.data_split import DataSplit
from dgm_run.data.dataset import LoadedDataset

BATCH_SIZE, LATENT_DIM = 64, 10
NETWORKS = {
    "mlp": ("decoder.hidden_dims=[512,512]", "encoder.hidden_dims=[512,512]"),
    "dcgan": ("decoder=dcgan", "encoder=dcgan"),
}
ACTIVATIONS = ("decoder.activation=relu", "encoder.activation=leaky_relu")


def run(networks: str, options: Options) -> Ratios:
    loaded, steps = load(options.device, "dataset.binarize=none", "dataset.dequantize=true"), options.turns(40)
    watched = DataSplit(loaded.test.x[:10], None, loaded.test.prepare)
    data = LoadedDataset(loaded.dataset, loaded.train, watched, loaded.test)
    overrides = ("model=gan", *NETWORKS[networks], *ACTIVATIONS)
    runs = {
        "dgm-run": ours.trainer_loop(data, options, steps, *overrides),
        PLAIN: _plain(networks, data.train.batch(slice(0, 5000)), steps),
    }
    contenders = [Contender(name, steps * BATCH_SIZE, turn) for name, turn in runs.items()]
    return show(f"GAN with R1, {networks}: training", measure(contenders, options))


def _plain(networks: str, x: torch.Tensor, steps: int) -> Callable[[], object]:
    """Discriminator and generator in turns, without an average of the weights or anything read or kept."""
    generator, discriminator = (part.to(x.device) for part in (_mlp() if networks == "mlp" else _dcgan()))
    of_g, of_d = (torch.optim.Adam(part.parameters(), 2e-4, (0.5, 0.999)) for part in (generator, discriminator))
    order = torch.randperm(len(x), device=x.device).split(BATCH_SIZE)

    def run() -> None:
        for step in range(steps):
            real = x[order[step % len(order)]].requires_grad_()
            with torch.no_grad():
                fake = generator(torch.randn(len(real), LATENT_DIM, device=x.device))
            on_real = discriminator(real)
            (slope,) = torch.autograd.grad(on_real.sum(), real, create_graph=True)
            loss = F.softplus(-on_real).mean() + F.softplus(discriminator(fake)).mean()
            (loss + 0.5 * slope.square().sum() / len(real)).backward()
            of_d.step()
            of_d.zero_grad()
            discriminator.requires_grad_(False)
            F.softplus(-discriminator(generator(torch.randn(len(real), LATENT_DIM, device=x.device)))).mean().backward()
            discriminator.requires_grad_(True)
            of_g.step()
            of_g.zero_grad()

    return run


def _mlp() -> tuple[nn.Module, nn.Module]:
    up = [nn.Linear(LATENT_DIM, 512), nn.ReLU(), nn.Linear(512, 512), nn.ReLU(), nn.Linear(512, 784), nn.Sigmoid()]
    down = [nn.Linear(784, 512), nn.LeakyReLU(0.2), nn.Linear(512, 512), nn.LeakyReLU(0.2), nn.Linear(512, 1)]
    return nn.Sequential(*up, nn.Unflatten(1, (1, 28, 28))), nn.Sequential(nn.Flatten(), *down)


def _dcgan() -> tuple[nn.Module, nn.Module]:
    up: list[nn.Module] = [nn.Linear(LATENT_DIM, 128 * 49), nn.Unflatten(1, (128, 7, 7))]
    for before, after in ((128, 64), (64, 32)):
        up += [nn.Upsample(scale_factor=2), nn.Conv2d(before, after, 3, 1, 1), nn.BatchNorm2d(after), nn.ReLU()]
    down: list[nn.Module] = []
    for before, after in ((1, 32), (32, 64), (64, 128)):
        down += [nn.Conv2d(before, after, 3, 2, 1), nn.LeakyReLU(0.2)]
    down += [nn.Flatten(), nn.Linear(128 * 16, 1)]
    return nn.Sequential(*up, nn.Conv2d(32, 1, 1), nn.Sigmoid()), nn.Sequential(*down)
