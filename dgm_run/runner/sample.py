"""What can be drawn from a trained model: samples, what lies between them, what each latent dimension does."""

import math
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from dgm_run import rng
from dgm_run.data.corruptions import MissingValues
from dgm_run.data.dataset import DataSplit, LoadedDataset
from dgm_run.data.preprocessing import UNCHANGED, Preprocessing
from dgm_run.distributions.vocabulary import Vocabulary
from dgm_run.estimators.samples.precision_recall import nearest
from dgm_run.memory import refuse_larger_than_memory
from dgm_run.models.base import ContinuousLatentModel, GenerativeModel, LatentVariableModel
from dgm_run.models.corrupted import Corrupted
from dgm_run.models.labelled.base import JointModel
from dgm_run.recording.image_grid import grid, is_image, pairs, save_png
from dgm_run.recording.log import write_lines
from dgm_run.runner.run_folder import VOCABULARY
from dgm_run.runner.text_samples import BEAM, read

COLUMNS = 8
TRAVERSED = 16
"""Latent dimensions that are traversed, at most."""
PRIOR_DRAWS = 1000
"""By which it is told how far a latent dimension reaches."""
COMPARED = 2**28
"""Numbers of training examples that samples are held against, at most."""
POSTERIOR_DRAWS = 100
"""Draws of z given what is observed, over which completed examples are averaged."""
BATCH = 1000
"""Samples that are drawn at a time."""
PICTURED = 1024
"""Images in a PNG grid, at most."""
COPIES = 4
"""Of all samples that memory holds while they are joined, converted and written."""
SHOWN = 32
"""Samples that are shown with their nearest training examples, at most."""


@torch.no_grad()
def draw(
    model: GenerativeModel,
    n: int,
    seed: int,
    train: DataSplit | None = None,
    test: DataSplit | None = None,
    preprocessing: Preprocessing = UNCHANGED,
) -> dict[str, Tensor]:
    """Pictures by name, (N, *shape), the same for the same model and seed; to be shown in rows of eight.

    Of a model with p(x | z) `samples` are its means and `samples_drawn` draws of it; `interpolations` go in even steps
    of z from one draw of the prior to another, `interpolations_spherical` along the arc between them, and `traversals`
    change one dimension of z to a row. A model of labels shows a row for each class, with the same other variables.
    Of data with missing values `incomplete` are test examples, NaN where a value is missing, `completed` their means
    given what is observed, and `completed_drawn` draws.

    Args:
        model: in evaluation mode.
        n: how many samples.
        seed: of the draws.
        train: where the nearest neighbours of samples are looked for, by the pixels.
        test: examples that may have missing values.
        preprocessing: how the model sees its data; what is returned is in the units of the data.

    Raises:
        OutOfMemory: memory does not hold n samples.
    """
    rng.reseed(seed, "sample")
    found = _samples(model, n)
    if isinstance(model, ContinuousLatentModel):
        whole = model.model if isinstance(model, Corrupted) else model
        found |= _between(whole) | {"traversals": traversals(whole)}
    if isinstance(model, JointModel):
        found["by_class"] = model.by_class(COLUMNS, next(model.parameters()))
    if train is not None:
        samples = next(iter(found.values()))[:SHOWN]
        x = train.batch(_some(train)).to(samples)
        x = x[~x.flatten(1).isnan().any(1)]  # the complete ones
        if len(x):
            which = nearest(samples.flatten(1), x.flatten(1))[1]
            found["nearest_neighbours"] = pairs(samples, x[which], COLUMNS)
    if test is not None and isinstance(model, Corrupted) and isinstance(model.corrupt, MissingValues):
        found |= _completed(model, test, n)
    return {name: preprocessing.restore(values) for name, values in found.items()}


def _completed(model: Corrupted, test: DataSplit, n: int) -> dict[str, Tensor]:
    """The first n test examples with missing values, and what may stand in their holes."""
    assert test.corruption_noise is not None
    index = test.corruption_noise.flatten(1).any(1).nonzero().flatten()[:n]
    if not len(index):
        return {}
    x = test.batch(index)
    mean = torch.stack([model.posterior_of_x(x).mean for _ in range(POSTERIOR_DRAWS)]).mean(0)
    return {"incomplete": x, "completed": mean, "completed_drawn": model.posterior_of_x(x).sample()}


def _samples(model: GenerativeModel, n: int) -> dict[str, Tensor]:
    """Draws n samples batch by batch: the activations of a decoder take more memory than what it draws."""
    batches: dict[str, list[Tensor]] = {}
    for first in range(0, n, BATCH):
        size = min(BATCH, n - first)
        if not isinstance(model, LatentVariableModel):
            drawn = {"samples_drawn": model.sample(size)}
        else:
            p_x = model.generate(size)
            drawn = {"samples": p_x.mean, "samples_drawn": p_x.sample()}
        if first == 0:
            num_bytes = sum(x.nbytes for x in drawn.values()) / size
            refuse_larger_than_memory(COPIES * num_bytes * n, f"n={n} samples", "lower n")
        for name, x in drawn.items():
            batches.setdefault(name, []).append(x)
    return {name: torch.cat(each) for name, each in batches.items()}


def _some(train: DataSplit) -> Tensor | slice:
    """All of them, or as many as can be held in memory, drawn at random."""
    most = COMPARED // math.prod(train.x.shape[1:])
    return slice(None) if len(train) <= most else torch.randperm(len(train))[:most].to(train.x.device)


@torch.no_grad()
def draw_sentences(
    model: GenerativeModel, folder: Path, data: LoadedDataset | None, n: int, seed: int
) -> dict[str, list[str]]:  # fmt: skip
    """Lines by name: `sentences.read`, of the validation sentences, or of draws where there are none.

    Args:
        model: in evaluation mode.
        folder: of its run, which holds its words.
        data: its data, if they are at hand.
        n: how many samples.
        seed: of the draws.

    Raises:
        OutOfMemory: memory does not hold n samples.
    """
    rng.reseed(seed, "sample")
    vocabulary = Vocabulary.read(folder / VOCABULARY)
    x = model.sample(min(n, SHOWN)) if data is None else data.valid.batch(slice(None))
    per_sample = 8 * (BEAM * len(vocabulary) + COPIES * BEAM * x.shape[1])  # scores of a step, and the words
    refuse_larger_than_memory(n * per_sample, f"n={n} samples", "lower n")
    return read(model, x, vocabulary, n)


def write_sentences(found: dict[str, list[str]], folder: Path) -> list[Path]:
    """Each as a text file; the files."""
    files = [folder / f"{name}.txt" for name in found]
    for file, lines in zip(files, found.values(), strict=True):
        write_lines(lines, file)
    return files


def _between(model: LatentVariableModel) -> dict[str, Tensor]:
    a, b = model.latent_prior().sample((2, COLUMNS)).unbind(0)  # (rows, L)
    shares = torch.linspace(0, 1, COLUMNS, dtype=a.dtype, device=a.device)
    ways = {"interpolations": straight(a, b, shares), "interpolations_spherical": spherical(a, b, shares)}
    return {name: model.decode(z.flatten(0, 1)).mean for name, z in ways.items()}


def straight(a: Tensor, b: Tensor, shares: Tensor) -> Tensor:
    """From a to b, (R, L) each, by these shares of the way, (C,): (R, C, L)."""
    return torch.lerp(a.unsqueeze(1), b.unsqueeze(1), shares.view(-1, 1))


def spherical(a: Tensor, b: Tensor, shares: Tensor) -> Tensor:
    """The same along the arc between them: draws of a Gaussian lie on a shell, and what lies between does too."""
    a, b, shares = a.unsqueeze(1), b.unsqueeze(1), shares.view(-1, 1)
    angle = torch.nn.functional.cosine_similarity(a, b, dim=-1).clamp(-1 + 1e-6, 1 - 1e-6).arccos().unsqueeze(-1)
    return (((1 - shares) * angle).sin() * a + (shares * angle).sin() * b) / angle.sin()


def traversals(model: LatentVariableModel) -> Tensor:
    """A row for each of the first dimensions of z: it goes through the prior's quantiles, the others stay."""
    draws = model.latent_prior().sample((PRIOR_DRAWS,))
    levels = torch.linspace(0.02, 0.98, COLUMNS, dtype=draws.dtype, device=draws.device)
    reach = draws.quantile(levels, dim=0)  # (C, L)
    rows = []
    for dim in range(min(TRAVERSED, draws.shape[1])):
        z = draws[0].repeat(COLUMNS, 1)
        z[:, dim] = reach[:, dim]
        rows.append(z)
    return model.decode(torch.cat(rows)).mean


def _array(x: Tensor) -> np.ndarray:
    """As NumPy has it: of what it does not know, as bf16, in single precision."""
    return (x if x.dtype in (torch.float32, torch.float64) else x.float()).cpu().numpy()


def write(found: dict[str, Tensor], folder: Path) -> list[Path]:
    """All of it as arrays in samples.npz, and images as PNG grids; the files."""
    folder.mkdir(parents=True, exist_ok=True)
    files = [folder / "samples.npz"]
    arrays = {name: _array(x) for name, x in found.items()}
    np.savez_compressed(files[0], **arrays)  # type: ignore[arg-type]  # none is called allow_pickle
    for name, x in found.items():
        if is_image(tuple(x.shape[1:])):
            files.append(folder / f"{name}.png")
            save_png(grid(x[:PICTURED], COLUMNS), files[-1])
    return files
