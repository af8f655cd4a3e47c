"""Runs on a user's own arrays: columns in very different units, and their density under a factor analysis."""

import numpy as np
import torch

import dgm_run
from dgm_run.data.preprocessing import Preprocessing
from tests.support.tiny import SHORT, TINY

SIZES = ("dataset.source.num_valid=30", "dataset.source.num_test=30", "dataset.source.split_seed=null")
ARRAYS = ("dataset=arrays", *SIZES)
GAUSSIAN = ("likelihood=gaussian", "dataset.shape=[4]", *TINY)
FACTORS = ("model=factor_analysis", "model.latent_dim=2", "dataset.shape=[4]", *SHORT)


def draw_columns():
    """Four correlated columns of scales from 0.01 to 1,000, far from zero, (200, 4)."""
    rng = np.random.default_rng(0)
    z = rng.normal(size=(200, 2)) @ rng.normal(size=(2, 4)) + 0.5 * rng.normal(size=(200, 4))
    return z * np.array([0.01, 1.0, 100.0, 1000.0]) + np.array([5.0, -3.0, 1e5, 0.0])


def run(path, tmp_path, *overrides):
    cfg = dgm_run.compose(*ARRAYS, f"dataset.source.path={path}", *overrides)
    found = dgm_run.run(cfg, tmp_path / "run")
    return {row["quantity"]: row for row in found["estimates"]}, found


def save(tmp_path, x, **more):
    np.savez(tmp_path / "mine.npz", x=x, **more)
    return tmp_path / "mine.npz"


def gaussian_log_density(x, mean, covariance):
    """Mean over the rows of the density of their observed elements, by NumPy."""
    found = []
    for row in x:
        seen = ~np.isnan(row)
        away, block = (row - mean)[seen], covariance[np.ix_(seen, seen)]
        log_det = np.linalg.slogdet(2 * np.pi * block)[1]
        found.append(-0.5 * (away @ np.linalg.solve(block, away) + log_det))
    return np.mean(found)


def density_in_data_units(folder):
    """Mean and covariance of a trained factor analysis, in the units of the data."""
    model, units = dgm_run.load(folder).model, Preprocessing.read(folder).standardization
    p = getattr(model, "model", model).density
    scale, mean = units.scale.numpy(), units.mean.numpy()
    covariance = (p.weight @ p.weight.T + torch.diag(p.log_var.exp())).detach().numpy()
    return mean + scale * p.bias.detach().numpy(), covariance * np.outer(scale, scale)
