"""Independent columns of a table, a baseline for models without another one."""

import math

import torch
from torch import Tensor

from dgm_run.data.columns import select_positions
from dgm_run.data.corruptions import Missing
from dgm_run.data.data_split import DataSplit
from dgm_run.data.dataset import LoadedDataset
from dgm_run.distributions.negative_binomial import NegativeBinomial
from dgm_run.distributions.student_t import StudentT
from dgm_run.estimators.base import Baseline

BATCH_SIZE = 10_000
"""Rows at a time."""
NUM_TRAIN = 60_000
"""Number of training rows, the first ones, that the columns are fitted to."""
ADVICE = "train longer, or change optimizer.lr, likelihood.real or likelihood.count"
DEGREES = (2.0, 4.0, 8.0, 16.0, 1e6)
"""Degrees of freedom of Student's t that a real column chooses among; the last are those of a Gaussian."""
NUM_STEPS = 30
"""Number of steps of expectation maximisation for location and scale."""
MIN_SCALE = 0.1
"""Smallest scale in standard deviations of the column: a value that repeats would have an infinite density."""
WEIGHTS = (1.0, 10.0, 100.0, 1e3, 1e9)
"""Weights of the negative binomial, in observed cells, that a count column chooses among; the last uses it alone."""
MAX_SIZE = 1e6
"""Largest r of a negative binomial, whose variance m + m^2 / r is then that of Poisson counts."""


@torch.no_grad()
def fit_independent_columns(data: LoadedDataset) -> Baseline | None:
    """Fits every column of a table to its observed training cells; returns log p of the observed test cells.

    Real columns have Student's t or a Gaussian. Counts have their shares, smoothed by a negative binomial. Codes have
    their shares by Laplace's rule. So no test row is impossible. Returns None for other data, and for noisy tables.
    """
    columns = data.train.columns
    if not columns or not (data.train.corrupt is None or isinstance(data.train.corrupt, Missing)):
        return None
    train, test = (_read_cells(each, num) for each, num in ((data.train, NUM_TRAIN), (data.test, None)))
    log_p = torch.zeros_like(test)
    reals = select_positions(columns, "real")
    if reals:
        log_p[:, reals] = _log_prob_of_reals(train[:, reals], test[:, reals])
    for position, column in enumerate(columns):
        if column.kind != "real":
            known = train[:, position][~train[:, position].isnan()]
            cells = test[:, position].nan_to_num(0.0)
            num_codes = max(2, column.num_codes)  # a unit of a one-hot vector has one value
            is_count = column.kind == "count"
            log_p[:, position] = (
                _log_prob_of_counts(known, cells) if is_count else _log_prob_of_codes(known, cells, num_codes)
            )
    log_p = log_p.masked_fill(test.isnan(), 0.0).sum(1)
    return Baseline("independent columns", data.test.to_data_units(log_p), ADVICE)


def _read_cells(data: DataSplit, num: int | None) -> Tensor:
    """Returns the rows of a split in double precision on the CPU, (N, D), NaN where a cell is missing."""
    return torch.cat([x.double().cpu() for x in data.batches(BATCH_SIZE, num)])


def _log_prob_of_reals(train: Tensor, test: Tensor) -> Tensor:
    """Computes log p of each cell, (N, D), by the degrees of freedom that suit the training cells of its column."""
    best = torch.full((train.shape[1],), -math.inf, dtype=train.dtype)
    log_p = torch.zeros_like(test)
    for degrees in DEGREES:
        p = _fit_student_t(train, degrees)
        fit = p.elementwise_log_prob(train).nan_to_num(0.0).sum(0)
        log_p = torch.where(fit > best, p.elementwise_log_prob(test), log_p)
        best = torch.maximum(fit, best)
    return log_p


def _fit_student_t(x: Tensor, degrees: float) -> StudentT:
    """Fits location and scale of each column, (N, D) with NaN, by expectation maximisation; a Gaussian in one step."""
    location = x.nanmean(0).nan_to_num(0.0)
    deviation = (x - location).square().nanmean(0).sqrt().nan_to_num(0.0)
    deviation = torch.where(deviation > 0, deviation, 1.0)
    scale = deviation
    for _ in range(NUM_STEPS):
        weight = (degrees + 1) / (degrees + ((x - location) / scale).square())
        location = ((weight * x).nansum(0) / weight.nansum(0)).nan_to_num(0.0)
        square = (weight * (x - location).square()).nanmean(0).nan_to_num(0.0)
        scale = torch.maximum(square.sqrt(), MIN_SCALE * deviation)
    return StudentT(location, scale.log(), location.new_tensor(degrees))


def _log_prob_of_counts(known: Tensor, cells: Tensor) -> Tensor:
    """Computes log p of counts, (N,): shares of the observed ones, (M,), smoothed by a negative binomial.

    P(k) = (M_k + w P_NB(k)) / (M + w), where M_k cells are k. The weight w has the best likelihood of each cell given
    all other ones.
    """
    num = len(known)
    base = _fit_negative_binomial(known)
    others = _count_equal(known, known) - 1
    fits = [_smooth(others, num - 1, weight, base, known).sum().item() for weight in WEIGHTS]
    weight = WEIGHTS[max(range(len(WEIGHTS)), key=fits.__getitem__)]
    return _smooth(_count_equal(known, cells), num, weight, base, cells)


def _fit_negative_binomial(known: Tensor) -> NegativeBinomial:
    """Fits mean and variance of counts, (M,); a mean of zero becomes half a count among all cells."""
    mean = known.mean().nan_to_num(0.0).clamp(min=0.5 / max(1, len(known)))
    excess = ((known - known.mean()).square().mean() - mean).nan_to_num(0.0).clamp(min=1e-12)
    size = (mean.square() / excess).clamp(max=MAX_SIZE)
    return NegativeBinomial(mean.log().unsqueeze(0), size.log().unsqueeze(0))


def _smooth(counts: Tensor, num: int, weight: float, base: NegativeBinomial, cells: Tensor) -> Tensor:
    """Computes log((counts + w P_NB(cells)) / (num + w)), (N,)."""
    log_base = base.elementwise_log_prob(cells.unsqueeze(1)).squeeze(1) + math.log(weight)
    return torch.logaddexp(counts.log(), log_base) - math.log(max(0, num) + weight)


def _count_equal(known: Tensor, cells: Tensor) -> Tensor:
    """Counts the elements of `known`, (M,), that equal each of the cells, (N,)."""
    values, counts = known.unique(return_counts=True)
    if not len(values):
        return torch.zeros_like(cells)
    place = torch.searchsorted(values, cells).clamp(max=len(values) - 1)
    return torch.where(values[place] == cells, counts[place].to(cells), 0.0)


def _log_prob_of_codes(known: Tensor, cells: Tensor, num_codes: int) -> Tensor:
    """Computes log p of codes, (N,), by the shares of the observed ones, (M,), with one more of each code."""
    counts = torch.bincount(known.long(), minlength=num_codes) + 1.0
    return (counts / counts.sum()).to(cells).log()[cells.long()]
