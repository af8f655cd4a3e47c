"""Draws from a trained model: samples, interpolations, traversals of latent dimensions, completions."""

import math
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from dgm_run import rng
from dgm_run.data.corruptions import MissingValues
from dgm_run.data.data_split import DataSplit
from dgm_run.data.dataset import LoadedDataset
from dgm_run.data.preprocessing import UNCHANGED, Preprocessing
from dgm_run.data.text import VOCABULARY
from dgm_run.distributions.vocabulary import Vocabulary
from dgm_run.estimators.samples.precision_recall import find_nearest
from dgm_run.memory import refuse_larger_than_memory
from dgm_run.models.base import ContinuousLatentModel, GenerativeModel, LatentVariableModel
from dgm_run.models.corrupted import CorruptedModel
from dgm_run.models.labelled.base import JointModel
from dgm_run.recording.grid_labels import draw_labelled_grid
from dgm_run.recording.image_grid import interleave_rows, is_image, save_png
from dgm_run.recording.log import write_lines
from dgm_run.runner.text_samples import BEAM_WIDTH, draw_text

COLUMNS = 8
MAX_TRAVERSALS = 16
"""Largest number of latent dimensions that are traversed."""
NUM_PRIOR_DRAWS = 1000
"""Number of draws of the prior that give the quantiles of a traversal."""
MAX_COMPARED_VALUES = 2**28
"""Largest number of values of training examples in the search for nearest neighbours."""
NUM_POSTERIOR_DRAWS = 100
"""Number of draws of z given the observed values. A completed example is a mean over them."""
BATCH_SIZE = 1000
"""Number of samples that are drawn at a time."""
MAX_GRID_IMAGES = 1024
"""Largest number of images in a PNG grid."""
NUM_COPIES = 4
"""Number of copies of all samples in memory while they are joined, converted and written."""
MAX_SHOWN = 32
"""Largest number of samples that are shown with their nearest training examples."""


@torch.no_grad()
def draw(
    model: GenerativeModel,
    n: int,
    seed: int,
    train: DataSplit | None = None,
    test: DataSplit | None = None,
    preprocessing: Preprocessing = UNCHANGED,
) -> dict[str, Tensor]:
    """Draws pictures by name, (N, *shape), to be shown in rows of eight. Equal seeds give equal pictures.

    For a model with p(x | z), `samples` are its means and `samples_drawn` its draws. `interpolations` go in even steps
    of z from one draw of the prior to another, `interpolations_spherical` along the arc between them. Each row of
    `traversals` changes one dimension of z. A model of labels gives a row for each class, with equal other variables.
    For data with missing values, `incomplete` are test examples with NaN, `completed` their conditional means, and
    `completed_drawn` conditional draws.

    Args:
        model: model in evaluation mode.
        n: number of samples.
        seed: seed of the draws.
        train: examples to search for nearest neighbours of the samples, by pixels; None for no search.
        test: examples that may have missing values; None for no completion.
        preprocessing: preprocessing of the model; pictures are returned in the units of the data.

    Raises:
        OutOfMemory: memory does not hold n samples.
    """
    rng.reseed(seed, "sample")
    pictures = _draw_samples(model, n)
    if isinstance(model, ContinuousLatentModel):
        whole = model.model if isinstance(model, CorruptedModel) else model
        pictures |= _interpolate(whole) | {"traversals": traverse_latents(whole)}
    if isinstance(model, JointModel):
        pictures["by_class"] = model.decode_class_means(COLUMNS, next(model.parameters()))
    if train is not None:
        samples = next(iter(pictures.values()))[:MAX_SHOWN]
        x = train.batch(_choose_examples(train)).to(samples)
        x = x[~x.flatten(1).isnan().any(1)]  # examples without missing values
        if len(x):
            which = find_nearest(samples.flatten(1), x.flatten(1))[1]
            pictures["nearest_neighbours"] = interleave_rows(samples, x[which], COLUMNS)
    if test is not None and isinstance(model, CorruptedModel) and isinstance(model.corrupt, MissingValues):
        pictures |= _complete_examples(model, test, n)
    return {name: preprocessing.restore(values) for name, values in pictures.items()}


def _complete_examples(model: CorruptedModel, test: DataSplit, n: int) -> dict[str, Tensor]:
    """Completes the first n test examples that have missing values."""
    assert test.corruption_noise is not None
    index = test.corruption_noise.flatten(1).any(1).nonzero().flatten()[:n]
    if not len(index):
        return {}
    x = test.batch(index)
    mean = torch.stack([model.posterior_of_x(x).mean for _ in range(NUM_POSTERIOR_DRAWS)]).mean(0)
    return {"incomplete": x, "completed": mean, "completed_drawn": model.posterior_of_x(x).sample()}


def _draw_samples(model: GenerativeModel, n: int) -> dict[str, Tensor]:
    """Draws n samples batch by batch: the activations of a decoder take more memory than its samples."""
    batches: dict[str, list[Tensor]] = {}
    for first in range(0, n, BATCH_SIZE):
        size = min(BATCH_SIZE, n - first)
        if not isinstance(model, LatentVariableModel):
            drawn = {"samples_drawn": model.sample(size)}
        else:
            p_x = model.generate(size)
            drawn = {"samples": p_x.mean, "samples_drawn": p_x.sample()}
        if first == 0:
            num_bytes = sum(x.nbytes for x in drawn.values()) / size
            refuse_larger_than_memory(NUM_COPIES * num_bytes * n, f"n={n} samples", "lower n")
        for name, x in drawn.items():
            batches.setdefault(name, []).append(x)
    return {name: torch.cat(each) for name, each in batches.items()}


def _choose_examples(train: DataSplit) -> Tensor | slice:
    """Chooses all examples, or as many random ones as memory can hold."""
    most = MAX_COMPARED_VALUES // math.prod(train.x.shape[1:])
    return slice(None) if len(train) <= most else torch.randperm(len(train))[:most].to(train.x.device)


@torch.no_grad()
def draw_sentences(
    model: GenerativeModel, folder: Path, data: LoadedDataset | None, n: int, seed: int
) -> dict[str, list[str]]:  # fmt: skip
    """Draws lines of text by name, as `text_samples.draw_text` does, from validation sentences or samples.

    Args:
        model: model in evaluation mode.
        folder: folder of its run, which holds the vocabulary.
        data: data of the run; None if they are not available.
        n: number of samples.
        seed: seed of the draws.

    Raises:
        OutOfMemory: memory does not hold n samples.
    """
    rng.reseed(seed, "sample")
    vocabulary = Vocabulary.read(folder / VOCABULARY)
    x = model.sample(min(n, MAX_SHOWN)) if data is None else data.valid.batch(slice(None))
    bytes_per_sample = 8 * (BEAM_WIDTH * len(vocabulary) + NUM_COPIES * BEAM_WIDTH * x.shape[1])  # scores and words
    refuse_larger_than_memory(n * bytes_per_sample, f"n={n} samples", "lower n")
    return draw_text(model, x, vocabulary, n)


def write_sentences(texts: dict[str, list[str]], folder: Path) -> list[Path]:
    """Writes lines by name to text files; returns the files."""
    files = [folder / f"{name}.txt" for name in texts]
    for file, lines in zip(files, texts.values(), strict=True):
        write_lines(lines, file)
    return files


def _interpolate(model: LatentVariableModel) -> dict[str, Tensor]:
    a, b = model.latent_prior().sample((2, COLUMNS)).unbind(0)  # (rows, L)
    shares = torch.linspace(0, 1, COLUMNS, dtype=a.dtype, device=a.device)
    codes = {
        "interpolations": interpolate_linearly(a, b, shares),
        "interpolations_spherical": interpolate_spherically(a, b, shares),
    }
    return {name: model.decode(z.flatten(0, 1)).mean for name, z in codes.items()}


def interpolate_linearly(a: Tensor, b: Tensor, shares: Tensor) -> Tensor:
    """Interpolates from a to b, (R, L) each, at shares of the distance, (C,): (R, C, L)."""
    return torch.lerp(a.unsqueeze(1), b.unsqueeze(1), shares.view(-1, 1))


def interpolate_spherically(a: Tensor, b: Tensor, shares: Tensor) -> Tensor:
    """Interpolates along the arc from a to b, which stays near the shell on which Gaussian draws lie."""
    a = a.unsqueeze(1)
    b = b.unsqueeze(1)
    shares = shares.view(-1, 1)
    angle = torch.nn.functional.cosine_similarity(a, b, dim=-1).clamp(-1 + 1e-6, 1 - 1e-6).arccos().unsqueeze(-1)
    return (((1 - shares) * angle).sin() * a + (shares * angle).sin() * b) / angle.sin()


def traverse_latents(model: LatentVariableModel) -> Tensor:
    """Decodes one row for each of the first dimensions of z, which passes the prior's quantiles."""
    draws = model.latent_prior().sample((NUM_PRIOR_DRAWS,))
    levels = torch.linspace(0.02, 0.98, COLUMNS, dtype=draws.dtype, device=draws.device)
    reach = draws.quantile(levels, dim=0)  # (C, L)
    rows = []
    for dim in range(min(MAX_TRAVERSALS, draws.shape[1])):
        z = draws[0].repeat(COLUMNS, 1)
        z[:, dim] = reach[:, dim]
        rows.append(z)
    return model.decode(torch.cat(rows)).mean


def _to_array(x: Tensor) -> np.ndarray:
    """Converts a tensor to an array; types that NumPy lacks, such as bf16, become single precision."""
    return (x if x.dtype in (torch.float32, torch.float64) else x.float()).cpu().numpy()


def write(pictures: dict[str, Tensor], folder: Path) -> list[Path]:
    """Writes arrays to samples.npz, and images to PNG grids; returns the files."""
    folder.mkdir(parents=True, exist_ok=True)
    files = [folder / "samples.npz"]
    arrays = {name: _to_array(x) for name, x in pictures.items()}
    np.savez_compressed(files[0], **arrays)  # type: ignore[arg-type]  # none is called allow_pickle
    for name, x in pictures.items():
        if is_image(tuple(x.shape[1:])):
            files.append(folder / f"{name}.png")
            save_png(draw_labelled_grid(name, x[:MAX_GRID_IMAGES], COLUMNS), files[-1])
    return files
