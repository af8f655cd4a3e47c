"""Errors of imputed cells of a table, by the kind of their column.

Sources: A. Nazábal, P. M. Olmos, Z. Ghahramani, I. Valera, Handling incomplete heterogeneous data using VAEs, 2018,
https://arxiv.org/abs/1807.03653 (errors by kind, and the imputation of the mean or mode as a baseline);
D. J. Stekhoven, P. Bühlmann, MissForest, 2012, https://arxiv.org/abs/1105.0828 (share of falsely classified entries).
"""

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import torch
from torch import Tensor

from dgm_run.data.columns import KINDS, Column, Kind, select_positions
from dgm_run.estimators.base import Estimate
from dgm_run.estimators.imputation.error_measures import (
    SquaredError,
    choose_interval_rank,
    measure_binary,
    measure_interval,
)
from dgm_run.estimators.intervals import Margin
from dgm_run.estimators.proportions import PERCENT, bounded_interval


class TableReference(NamedTuple):
    """Constants of the training rows that the errors of a table refer to.

    Attributes:
        columns: columns of the elements.
        guess: mean of each real column and count, most frequent code of each other column, (D,).
        scale: standard deviation of each real column and count, 1 where it is zero and for codes, (D,).
    """

    columns: tuple[Column, ...]
    guess: Tensor
    scale: Tensor

    @classmethod
    def fit(cls, x: Tensor, columns: tuple[Column, ...]) -> "TableReference":
        """Fits the constants to the observed cells of training rows, (N, D), NaN where a cell is missing."""
        guess = x.nanmean(0).nan_to_num(0.0)
        deviation = (x - guess).square().nanmean(0).sqrt()
        scale = torch.where(deviation > 0, deviation, 1.0)
        for position, column in enumerate(columns):
            if column.kind in ("binary", "categorical"):
                cells = x[:, position]
                guess[position] = cells[~cells.isnan()].mode().values if not bool(cells.isnan().all()) else 0.0
                scale[position] = 1.0
        return cls(columns, guess, scale)


class HiddenCells(NamedTuple):
    """Cells that were hidden from a method.

    Attributes:
        name: name of the corruption.
        truth: complete rows, (B, D).
        is_target: mask of the hidden cells, (B, D).
        reference: constants of the training rows.
    """

    name: str
    truth: Tensor
    is_target: Tensor
    reference: TableReference

    def estimate_errors(
        self,
        method: str,
        mean: Tensor,
        draws: Tensor | None,
        settings: dict[str, Any],
        diagnostics: dict[str, float],
        warning: str | None,
    ) -> list[Estimate]:
        """Estimates an error for each kind of column that has hidden cells.

        Numbers have a root mean squared error, in standard deviations of the training rows. Codes have the share of
        wrong ones, in per cent.

        Args:
            method: name of the method.
            mean: mean of each number, probability of the second value of a binary column, (B, D).
            draws: multiple imputations, (K, B, D); None where the method has none.
            settings, diagnostics, warning: fields of the `Estimate`.
        """
        guess = mean if draws is None else guess_cells(mean, draws, self.reference.columns)
        estimates = []
        for kind in KINDS:
            position = select_positions(self.reference.columns, kind)
            is_target = self.is_target[:, position]
            if not bool(is_target.any()):
                continue
            error = self._measure(kind, position, guess)
            more = diagnostics if draws is None else self._diagnose(kind, position, guess, draws) | diagnostics
            num = len(self.truth)
            is_number = kind in ("real", "count")
            quantity = f"{'rmse' if is_number else 'error'}_{kind}_{self.name}"
            unit = "standard deviations" if is_number else PERCENT
            estimate = Estimate(quantity, method, "estimate", *error, num, unit, settings, {**more}, warning)
            interval = _root_interval(error, num) if is_number else _share_interval(error, int(is_target.sum()))
            estimates.append(replace(estimate, interval=interval))
        return estimates

    def _measure(self, kind: Kind, position: Sequence[int], guess: Tensor) -> SquaredError:
        """Measures the RMSE of numbers in standard deviations, or the share of wrong codes in per cent."""
        x, truth, is_target = (each[:, position] for each in (guess, self.truth, self.is_target))
        if kind in ("binary", "categorical"):
            is_wrong = ((x > 0.5) != (truth > 0.5)) if kind == "binary" else x != truth
            share = SquaredError.measure(is_wrong.to(truth), torch.zeros_like(truth), is_target)
            return SquaredError(100 * share.mean, None if share.stderr is None else 100 * share.stderr)
        scale = self.reference.scale[position]
        square = SquaredError.measure(x / scale, truth / scale, is_target)
        root = math.sqrt(square.mean)
        return SquaredError(root, square.stderr / (2 * root) if square.stderr is not None and root > 0 else None)

    def _diagnose(self, kind: Kind, position: Sequence[int], guess: Tensor, draws: Tensor) -> dict[str, float]:
        """Returns the error of single draws, the coverage of real values, and binary scores."""
        measure = "rmse" if kind in ("real", "count") else "error"
        errors = [self._measure(kind, position, draw).mean for draw in draws]
        diagnostics = {f"{measure}_of_draws": sum(errors) / len(errors)}
        is_target = self.is_target[:, position]
        truth = self.truth[:, position][is_target]
        if kind == "real":
            low, nominal = choose_interval_rank(len(draws), 0.9)
            hidden = draws[:, :, position][:, is_target]
            diagnostics |= measure_interval(hidden, truth, low) | {"nominal": nominal}
        if kind == "binary":
            diagnostics |= measure_binary(guess[:, position][is_target], truth)
        return diagnostics


def guess_cells(mean: Tensor, draws: Tensor, columns: Sequence[Column]) -> Tensor:
    """Returns the single imputation of rows, (B, D): the most frequent draw of a category, else the mean.

    The mean of a binary column is the probability of its second value.

    Args:
        mean: means, (B, D).
        draws: multiple imputations, (K, B, D).
        columns: columns of the elements.
    """
    categories = select_positions(columns, "categorical")
    guess = mean.clone()
    guess[:, categories] = draws[..., categories].mode(0).values
    return guess


def _root_interval(error: SquaredError, num: int) -> tuple[float, float] | None:
    """Returns the 95% interval of a root mean squared error, by that of its square."""
    if error.stderr is None:
        return None
    low, high = Margin.student(2 * error.mean * error.stderr, num - 1).around(error.mean**2)
    return math.sqrt(max(0.0, low)), math.sqrt(high)


def _share_interval(error: SquaredError, num_cells: int) -> tuple[float, float]:
    """Returns the 95% interval of a share in per cent, whose standard error is over rows."""
    stderr = None if error.stderr is None else error.stderr / 100
    low, high = bounded_interval(error.mean / 100, stderr, num_cells, num_cells)
    return 100 * low, 100 * high
