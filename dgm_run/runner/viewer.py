"""Pictures of a model, by its kind: samples, reconstructions, filters, pseudo-inputs.

`view(model, x)` is a generic function. A new kind of model adds its pictures by `view.register`, a part of a model by
`view_part.register`.
"""

from functools import singledispatch

import torch
from torch import Tensor, nn

from dgm_run.models.autoregressive import Autoregressive
from dgm_run.models.base import LatentVariableModel
from dgm_run.models.corrupted import CorruptedModel
from dgm_run.models.energy.base import EnergyModel
from dgm_run.models.energy.dbn import DBN
from dgm_run.models.labelled.base import LabelledModel
from dgm_run.models.labelled.class_conditional import ClassConditional
from dgm_run.models.labelled.m1_m2 import M1M2
from dgm_run.priors.vampprior import MixtureOfPosteriors
from dgm_run.recording.image_grid import fill_missing_with_grey, interleave_rows

Pictures = dict[str, Tensor]
"""Images by name, each (N, *shape)."""
NUM_SAMPLES = 64
"""Number of samples, filters or pseudo-inputs in a picture."""
NUM_SHOWN = 32
"""Number of examples that are shown above their reconstructions."""
NUM_STEPS = 500
"""Number of sweeps of the Gibbs chains of an energy model."""


@torch.no_grad()
def view_all(model: nn.Module, x: Tensor) -> Pictures:
    """Returns the pictures of a model and of its parts.

    Args:
        model: model of images, in evaluation mode.
        x: examples, (B, *shape).
    """
    pictures = view(model, x)
    if isinstance(model, M1M2):  # its parts belong to M1, which has another prior
        return pictures
    for part in model.modules():
        pictures |= view_part(part, x)
    return pictures


@singledispatch
def view(model: nn.Module, x: Tensor) -> Pictures:
    """Returns the pictures of a model, without those of its parts; none for a kind that is not registered."""
    return {}


@view.register
def _(model: LatentVariableModel, x: Tensor) -> Pictures:
    p_x = model.generate(NUM_SAMPLES)
    shown = x[:NUM_SHOWN]
    return {
        "samples": p_x.mean,
        "samples_drawn": p_x.sample(),
        "reconstructions": interleave_rows(shown, model.reconstruct(shown), columns=8),
    }


@view.register
def _(model: LabelledModel, x: Tensor) -> Pictures:
    return view.dispatch(LatentVariableModel)(model, x) | {"by_class": model.decode_class_means(8, x)}


@view.register
def _(model: ClassConditional, x: Tensor) -> Pictures:
    return {"samples_drawn": model.sample(NUM_SAMPLES), "by_class": model.decode_class_means(8, x)}


@view.register
def _(model: CorruptedModel, x: Tensor) -> Pictures:
    shown = x[:NUM_SHOWN]
    pictures = view(model.model, model.corrupt.observed(x).nan_to_num(0.0))
    return pictures | {
        "reconstructions": interleave_rows(fill_missing_with_grey(shown), model.reconstruct(shown), columns=8)
    }


@view.register
def _(model: Autoregressive, x: Tensor) -> Pictures:
    p = model.density(NUM_SAMPLES)
    return {"samples": p.mean, "samples_drawn": p.sample()}


@view.register
def _(model: EnergyModel, x: Tensor) -> Pictures:
    states, preactivations = model.anneal(NUM_SAMPLES, NUM_STEPS)
    shown = x[:NUM_SHOWN]
    pictures = {
        "samples": model.visible_means(states, preactivations),
        "samples_drawn": model.visible(states),
        "reconstructions": interleave_rows(shown, model.reconstruct(shown), columns=8),
    }
    weight = model.filters()
    return pictures if weight is None else pictures | {"filters": weights_to_images(weight, model.shape)}


@view.register
def _(model: DBN, x: Tensor) -> Pictures:
    units = model.generate(model.top.sample(NUM_SAMPLES, NUM_STEPS))
    shown = x[:NUM_SHOWN]
    return {
        "samples": model.visible_means(units[1]),
        "samples_drawn": units[0].unflatten(-1, model.shape),
        "reconstructions": interleave_rows(shown, model.reconstruct(shown), columns=8),
        "filters": weights_to_images(model.layers[0].generation.weight, model.shape),
    }


@singledispatch
def view_part(part: nn.Module, x: Tensor) -> Pictures:
    """Returns the pictures of a part of a model; none for a kind that is not registered."""
    return {}


@view_part.register
def _(part: MixtureOfPosteriors, x: Tensor) -> Pictures:
    return {"pseudo_inputs": part.pseudo_inputs[:NUM_SAMPLES]}


def weights_to_images(weight: Tensor, shape: tuple[int, ...]) -> Tensor:
    """Returns the first columns of a weight matrix, (D, M), as images around grey, (N, *shape)."""
    columns = weight.detach().T[:NUM_SAMPLES]
    scale = columns.abs().amax(1, keepdim=True).clamp(min=1e-12)
    return (0.5 + 0.5 * columns / scale).unflatten(-1, shape)
