"""Measures the speed of a VAE with a PixelCNN decoder: its training, against masked weights, and its sampling."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks import ours, plain
from benchmarks.data import load
from benchmarks.table import BARE, LOADER, Contender, Options, Ratios, measure, show
from dgm_run.config.compose import instantiate
from dgm_run.distributed.device import has_bf16_units

OVERRIDES = ("decoder=pixelcnn",)
CHANNELS, MAPS, LAYERS, IMAGES = 32, 4, 6, 100
FULL_PASS = "a full pass for each pixel"
NORMALISED = "the same with batch normalisation, as vae_vampprior"


def training(options: Options) -> Ratios:
    data, steps = load(options.device), options.turns(10)
    runs = {
        "dgm-run": ours.trainer_loop(data, options, steps, *OVERRIDES),
        BARE: ours.bare_loop(data, options, steps, *OVERRIDES),
        LOADER: plain.loop_of(PlainPixelVAE(normalised=False), data, options, steps),
        "the same with batch normalisation, as vae_vampprior": plain.loop_of(
            PlainPixelVAE(normalised=True), data, options, steps
        ),
    }
    if has_bf16_units(options.device):
        bf16 = ["trainer.precision=bf16", *OVERRIDES]
        runs["dgm-run, trainer.precision=bf16"] = ours.trainer_loop(data, options, steps, *bf16)
    contenders = [Contender(name, steps * plain.BATCH_SIZE, run) for name, run in runs.items()]
    return show(f"VAE with a PixelCNN of {LAYERS} layers of {CHANNELS}: training", measure(contenders, options))


def sampling(decoder: str, options: Options) -> Ratios:
    """100 images of 28 x 28: all pixels by the rows that matter, or a few by whole passes."""
    cfg = ours.config(f"decoder={decoder}")
    model = instantiate(cfg.model).to(options.device).eval()
    few = options.turns(4)
    contenders = [
        Contender("dgm-run", 784 * IMAGES, lambda: model.sample(IMAGES)),
        Contender(FULL_PASS, few * IMAGES, lambda: _full_passes(model, few)),
    ]
    return show(f"Drawing {IMAGES} images by {decoder}", measure(contenders, options), "pixels/s")


@torch.no_grad()
def _full_passes(model: nn.Module, num_pixels: int) -> None:
    p = model.decode(model.latent_prior().sample((IMAGES,)))
    x = torch.zeros(IMAGES, *p.event_shape, device=p.context.device)
    for column in range(num_pixels):
        probability = p.network(2 * x - 1, p.context).sigmoid()[:, :, 14, column]
        x[:, :, 14, column] = torch.bernoulli(probability)


class MaskedConv(nn.Conv2d):
    """A convolution whose weights are masked at every pass, as tutorials have it."""

    def __init__(self, in_channels: int, kernel_size: int, own_pixel: bool):
        super().__init__(in_channels, CHANNELS, kernel_size, padding=kernel_size // 2)
        mask = torch.zeros(kernel_size, kernel_size)
        mask[: kernel_size // 2] = 1
        mask[kernel_size // 2, : kernel_size // 2 + own_pixel] = 1
        self.register_buffer("mask", mask)

    def forward(self, x: Tensor) -> Tensor:
        return F.conv2d(x, self.weight * self.mask, self.bias, padding=self.padding)


class PlainPixelVAE(nn.Module):
    """The negative ELBO of the VAE of plain.py with a PixelCNN that reads the image and maps of z."""

    def __init__(self, normalised: bool):
        super().__init__()
        self.encoder = plain.Encoder()
        self.maps = nn.Linear(plain.LATENT_DIM, MAPS * 784)
        layers: list[nn.Module] = [MaskedConv(1, 7, own_pixel=False)]
        layers += [MaskedConv(CHANNELS, 3, own_pixel=True) for _ in range(LAYERS - 1)]
        self.layers = nn.ModuleList(layers)
        self.told = nn.ModuleList(nn.Conv2d(MAPS, CHANNELS, 1) for _ in layers)
        self.norms = nn.ModuleList(nn.BatchNorm2d(CHANNELS) if normalised else nn.Identity() for _ in layers)
        self.output = nn.Conv2d(CHANNELS, 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        mean, log_var = self.encoder(x)
        z = mean + torch.exp(0.5 * log_var) * torch.randn_like(mean)
        maps = self.maps(z).view(-1, MAPS, 28, 28)
        h = x
        for i, (layer, told, norm) in enumerate(zip(self.layers, self.told, self.norms, strict=True)):
            new = torch.relu(norm(layer(h) + told(maps)))
            h = h + new if i else new
        log_px = -F.binary_cross_entropy_with_logits(self.output(h), x, reduction="none").flatten(1).sum(-1)
        kl = 0.5 * (mean.square() + log_var.exp() - 1 - log_var).sum(-1)
        return (kl - log_px).mean()
