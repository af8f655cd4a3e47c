"""Models trained elsewhere: a torch module of the user's with some of the methods of a model.

| methods of the module | kind of model |
| --- | --- |
| `infer(x)`, `latent_prior()`, `decode(z)` | latent-variable model |
| `log_prob(x)`, perhaps `sample(n)` | exact model |
| `sample(n)` | sampler |

The three densities of a latent-variable model are torch distributions: q(z | x) of batch shape (B,), p(z) of batch
shape (), and p(x | z) of batch shape (N,) for z of shape (N, L).
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from textwrap import shorten
from typing import Any

import torch
from torch import Size, Tensor, nn
from torch import distributions as torch_distributions

from dgm_run.distributions.base import Distribution
from dgm_run.distributions.torch_distribution import wrap_distribution
from dgm_run.errors import ConfigError, UserError
from dgm_run.memory import is_out_of_memory
from dgm_run.models.base import ContinuousLatentModel, ExactModel, GenerativeModel
from dgm_run.models.corrupted import get_complete_model

MAX_REASON = 200
"""Characters of an error of the user's module that a message repeats."""

DENSITIES = ("infer", "latent_prior", "decode")
"""Methods of a latent-variable model."""


def build_external_model(
    factory: Callable[..., nn.Module], arguments: Mapping[str, Any] | None, shape: Sequence[int]
) -> GenerativeModel:
    """Builds the model around the module that a function of the user's returns.

    Args:
        factory: function that returns the module.
        arguments: keyword arguments of the function; null for none.
        shape: shape of one example.

    Raises:
        ConfigError: the module has no methods of a model, or they do not return what they should.
    """
    module = factory(**(arguments or {}))
    if not isinstance(module, nn.Module):
        raise ConfigError(f"model.factory: it returns {type(module).__name__}: return a torch.nn.Module")
    if isinstance(module, GenerativeModel):
        return module
    if all(_has(module, name) for name in DENSITIES):
        return ExternalLatentModel(module, shape)
    if _has(module, "log_prob"):
        return ExternalExactModel(module, shape)
    if _has(module, "sample"):
        return ExternalSampler(module, shape)
    raise ConfigError(
        f"model.factory: {type(module).__name__} has neither {', '.join(DENSITIES)} nor log_prob nor sample: wrap it "
        "in a module with one of these three sets of methods"
    )


def _has(module: nn.Module, name: str) -> bool:
    return callable(getattr(module, name, None))


def get_module(model: nn.Module) -> nn.Module:
    """Returns the module of the user's in an external model; any other model unchanged."""
    return model.module if isinstance(model, ExternalModel) else model


def name_model(model: nn.Module) -> str:
    """Returns the class of a model of complete examples; that of the user's module for an external one."""
    return type(get_module(get_complete_model(model))).__name__


class ExternalModel(GenerativeModel):
    """Model around a module of the user's.

    Args:
        module: the module.
        shape: shape of one example.

    Attributes:
        takes: kinds of data that the density admits; None where it does not say.
        kind_name: kind of model, for messages.
    """

    kind_name: str
    module: Any  # of the user's methods, which no type names

    def __init__(self, module: nn.Module, shape: Sequence[int]):
        super().__init__()
        self.module = module
        self.shape = Size(shape)
        self.takes: tuple[str, ...] | None = None
        # a module may have no parameter, and examples follow the device of the model
        self.register_buffer("_place", torch.zeros(()), persistent=False)

    @torch.no_grad()
    def sample(self, n: int) -> Tensor:
        """Draws n examples from p(x), (n, *shape).

        Raises:
            ConfigError: the module cannot be sampled, or its samples have another shape.
        """
        if not _has(self.module, "sample"):
            raise ConfigError(f"{type(self.module).__name__} has no method sample(n)")
        with _describe_failure("sample(n)"):
            x = self.module.sample(n)
        _check_shape("sample(n)", x, (n, *self.shape))
        return x

    def check(self, x: Tensor) -> None:
        """Refuses methods that fail, or return another shape, on examples of the data, (B, *shape).

        Raises:
            ConfigError: one line that names the method.
        """


class ExternalSampler(ExternalModel):
    """Model that can be sampled, without a density."""

    kind_name = "a sampler"

    def check(self, x: Tensor) -> None:
        self.sample(len(x))


class ExternalExactModel(ExternalModel, ExactModel):
    """Model with a log-likelihood in closed form."""

    kind_name = "an exact model"

    def log_prob(self, x: Tensor) -> Tensor:
        return self.module.log_prob(x)

    @torch.no_grad()
    def check(self, x: Tensor) -> None:
        with _describe_failure("log_prob(x)"):
            log_p = self.log_prob(x)
        _check_shape("log_prob(x)", log_p, (len(x),))
        _refuse_nan("log_prob(x)", log_p)


class ExternalLatentModel(ExternalModel, ContinuousLatentModel):
    """Latent-variable model from three densities.

    Raises:
        ConfigError: p(z) or p(x | z) is no distribution, or has another shape.
    """

    kind_name = "a latent-variable model"

    def __init__(self, module: nn.Module, shape: Sequence[int]):
        super().__init__(module, shape)
        was_training = module.training
        module.eval()
        with torch.no_grad(), torch.random.fork_rng():
            p = self.latent_prior()
            if p.batch_shape or len(p.event_shape) != 1:
                raise ConfigError(
                    f"model.factory: latent_prior() has batch shape {tuple(p.batch_shape)} and event shape "
                    f"{tuple(p.event_shape)}: return a density of vectors, () and (L,), as "
                    "Independent(Normal(zeros(L), ones(L)), 1)"
                )
            self.takes = _list_kinds(self.decode(p.sample((2,))))
        module.train(was_training)

    sample = ContinuousLatentModel.sample

    def infer(self, x: Tensor) -> Distribution:
        with _describe_failure("infer(x)"):
            q = self.module.infer(x)
        return _wrap("infer(x)", q, x.shape[:1])

    def latent_prior(self) -> Distribution:
        with _describe_failure("latent_prior()"):
            p = self.module.latent_prior()
        return _wrap("latent_prior()", p, Size(getattr(p, "batch_shape", ())))

    def decode(self, z: Tensor) -> Distribution:
        with _describe_failure("decode(z)"):
            p = self.module.decode(z.reshape(-1, z.shape[-1]))
        density = _wrap("decode(z)", p, z.shape[:-1])
        _check_event("decode(z)", density, self.shape)
        return density

    @torch.no_grad()
    def check(self, x: Tensor) -> None:
        _check_event("infer(x)", self.infer(x), self.latent_prior().event_shape)
        with _describe_failure("log p(x, z) - log q(z | x)"):
            log_w = self.log_weights(x, 1)
        _refuse_nan("log p(x, z) - log q(z | x)", log_w)


def _wrap(method: str, density: Any, batch_shape: Size) -> Distribution:
    """Returns a density of the module as one of this package; refuses another object, or another batch shape."""
    if not isinstance(density, torch_distributions.Distribution):
        raise ConfigError(
            f"model.factory: {method} returns {type(density).__name__}: return a torch.distributions.Distribution"
        )
    is_traced = torch.compiler.is_exporting()  # where sizes are symbols
    if not is_traced and density.batch_shape not in (batch_shape, Size((batch_shape.numel(),))):
        shapes = f"batch shape {tuple(density.batch_shape)} and event shape {tuple(density.event_shape)}"
        missing = len(density.batch_shape) - 1
        hint = f": wrap it in torch.distributions.Independent(p, {missing})" if missing > 0 else ""
        raise ConfigError(f"model.factory: {method} has {shapes}, and needs {batch_shape.numel()} densities{hint}")
    return wrap_distribution(density, batch_shape)


def _check_event(method: str, density: Distribution, shape: Size) -> None:
    if not torch.compiler.is_exporting() and density.event_shape != shape:
        raise ConfigError(
            f"model.factory: {method} is a density of shape {tuple(density.event_shape)}, and needs {tuple(shape)}"
        )


def _check_shape(method: str, value: Any, shape: tuple[int, ...]) -> None:
    found = tuple(value.shape) if isinstance(value, Tensor) else type(value).__name__
    if found != shape:
        raise ConfigError(f"model.factory: {method} returns {found}, and needs {shape}")


def _refuse_nan(method: str, log_p: Tensor) -> None:
    if bool(log_p.isnan().any()):
        raise ConfigError(
            f"model.factory: {method} is NaN for the first validation examples: see what the module takes"
        )


def _list_kinds(density: torch_distributions.Distribution) -> tuple[str, ...] | None:
    """Returns the kinds of data that a density admits: a density of real values gives grey levels no probability."""
    base = getattr(density, "base", density)
    try:
        support: Any = base.support
        is_discrete = bool(support.is_discrete)
    except (NotImplementedError, AttributeError):  # a distribution need not state its support
        return None
    if not is_discrete:
        return ("continuous",)
    while isinstance(support, torch_distributions.constraints.independent):
        support = support.base_constraint
    return ("binary",) if support is torch_distributions.constraints.boolean else None


@contextmanager
def _describe_failure(method: str) -> Iterator[None]:
    """Names the method of the user's module in an error that it raises."""
    try:
        yield
    except UserError:
        raise
    except (AttributeError, TypeError, ValueError, RuntimeError, IndexError) as error:
        if is_out_of_memory(error) or torch.compiler.is_exporting():
            raise
        reason = shorten(str(error), MAX_REASON, placeholder=" ...") or "no message"
        raise ConfigError(f"model.factory: {method} fails ({type(error).__name__}: {reason})") from error
