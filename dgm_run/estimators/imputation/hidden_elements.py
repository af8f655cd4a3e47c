"""Errors of imputed elements of images and vectors, which have one unit."""

import math
from typing import Any, NamedTuple

from torch import Tensor

from dgm_run.estimators.base import Estimate
from dgm_run.estimators.imputation.error_measures import (
    SquaredError,
    choose_interval_rank,
    measure_binary,
    measure_interval,
)


class HiddenElements(NamedTuple):
    """Elements that a method has to restore.

    Attributes:
        name: name of the corruption.
        truth: complete examples, (B, *shape).
        is_target: mask of the elements to restore, (B, *shape).
        is_standardized: whether the elements are in standard deviations of the training examples.
    """

    name: str
    truth: Tensor
    is_target: Tensor
    is_standardized: bool

    def estimate_errors(
        self,
        method: str,
        mean: Tensor,
        draws: Tensor | None,
        settings: dict[str, Any],
        diagnostics: dict[str, float],
        warning: str | None,
    ) -> list[Estimate]:
        """Estimates the mean squared error.

        Args:
            method: name of the method.
            mean: single imputation, (B, *shape).
            draws: multiple imputations, (K, B, *shape); None where the method has none.
            settings, diagnostics, warning: fields of the `Estimate`.
        """
        error = SquaredError.measure(mean, self.truth, self.is_target)
        more = dict(diagnostics) if draws is None else self._diagnose(mean, draws) | diagnostics
        if bool(self.is_target.all()) and self.truth.min() >= 0 and self.truth.max() <= 1:
            more["psnr"] = -10 * math.log10(max(error.mean, 1e-12))
        unit = "variances" if self.is_standardized else ""
        num = len(self.truth)
        return [Estimate(f"mse_{self.name}", method, "estimate", *error, num, unit, settings, {**more}, warning)]

    def _diagnose(self, mean: Tensor, draws: Tensor) -> dict[str, float]:
        """Returns diagnostics of the draws, which show how reliable the mean is."""
        truth, is_target = self.truth, self.is_target
        errors = [SquaredError.measure(draw, truth, is_target).mean for draw in draws]
        diagnostics = {"mse_of_draws": sum(errors) / len(errors)}
        if bool(((truth == 0) | (truth == 1)).all()):
            return diagnostics | measure_binary(mean[is_target], truth[is_target])
        low, nominal = choose_interval_rank(len(draws), 0.9)
        return diagnostics | measure_interval(draws[:, is_target], truth[is_target], low) | {"nominal": nominal}
