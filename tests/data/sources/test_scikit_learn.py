import numpy as np
import pytest
from sklearn import datasets

import dgm_run
from dgm_run.config.compose import instantiate
from dgm_run.config.validate import validate


def load(name):
    cfg = dgm_run.compose(f"dataset={name}", "dataset.source.split_seed=null")
    validate(cfg)
    dataset = instantiate(cfg.dataset)
    return dataset, dataset.load()


@pytest.mark.parametrize(
    ("name", "kinds", "sizes"),
    [
        ("breast_cancer", ["real"] * 30 + ["binary"], (369, 100, 100)),
        ("wine", ["real"] * 13 + ["categorical"], (98, 40, 40)),
        ("diabetes", ["real", "binary"] + ["real"] * 9, (282, 80, 80)),
    ],
)
def test_columns_and_sizes_are_fixed(name, kinds, sizes):
    dataset, data = load(name)
    assert [column.kind for column in dataset.columns] == kinds
    assert tuple(len(split) for split in (data.train, data.valid, data.test)) == sizes


@pytest.mark.parametrize("name", ["breast_cancer", "wine"])
def test_values_are_those_of_scikit_learn(name):
    dataset, data = load(name)
    expected = getattr(datasets, f"load_{name}")()
    x = dataset.preprocessing.restore(data.train.batch(slice(None))).numpy()
    np.testing.assert_allclose(x[:, :-1], expected.data[: len(x)], rtol=1e-5, atol=1e-6)
    target = dataset.columns[-1]
    names = [target.values[int(code)] for code in x[:, -1]]
    assert names == [str(expected.target_names[code]) for code in expected.target[: len(x)]]


def test_diabetes_has_its_own_units():
    dataset, data = load("diabetes")
    expected = datasets.load_diabetes(scaled=False)
    x = dataset.preprocessing.restore(data.test.batch(slice(None))).numpy()
    assert dataset.columns[1].values == (1.0, 2.0)
    np.testing.assert_allclose(x[:, 0], expected.data[-80:, 0], rtol=1e-5)
    np.testing.assert_allclose(x[:, 1] + 1, expected.data[-80:, 1])
    np.testing.assert_allclose(x[:, -1], expected.target[-80:], rtol=1e-5)
