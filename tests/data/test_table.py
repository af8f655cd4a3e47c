import numpy as np
import pytest
import torch

from dgm_run.data.corruptions import MissingAtRandom, MissingValues
from dgm_run.data.table import TableDataset
from dgm_run.errors import DataError
from tests.support.tables import COLUMNS, draw_cells, make_table_file, write_csv

KINDS = {"grade": "categorical"}


def make_source(path, columns=(), **settings):
    return make_table_file(path, columns=columns, **{"kinds": KINDS, "num_valid": 20, "num_test": 30} | settings)


def make(path, corrupt=None, num_labels=None, standardize="columns", **settings):
    found = make_source(path, **settings).guess()
    columns, shape = found.pop("columns"), found.pop("shape")
    source = make_source(path, columns, **settings, label_column=found.get("label_column"))
    labels = (found.get("label_column"), found.get("num_classes"), num_labels, 0)
    return TableDataset(source, "table", columns, shape, *labels, "none", False, standardize, corrupt, 0)


@pytest.fixture
def path(tmp_path):
    write_csv(tmp_path / "table.csv", draw_cells(150))
    return tmp_path / "table.csv"


@pytest.fixture
def holes(tmp_path):
    write_csv(tmp_path / "table.csv", draw_cells(150), missing=0.2)
    return tmp_path / "table.csv"


def test_columns_follow_from_the_file(path):
    assert TableDataset.complete(make_source(path)) == {"columns": COLUMNS, "shape": [7]}


def test_a_label_is_no_feature(path):
    found = TableDataset.complete(make_source(path, label="town"))
    assert [each["name"] for each in found["columns"]] == [each["name"] for each in COLUMNS if each["name"] != "town"]
    assert (found["shape"], found["label_column"], found["num_classes"]) == ([6], COLUMNS[2], 3)


def test_labels_stay_with_their_rows(path):
    data = make(path, label="grade", split_seed=3).load()
    for split in (data.train, data.valid, data.test):
        visits = split.batch(slice(None))[:, 3].tolist()
        pairs = set(zip(visits, split.y.tolist(), strict=True))
        cells = draw_cells(150)
        assert pairs <= {(count, grade - 1) for count, grade in zip(cells["visits"], cells["grade"], strict=True)}
    assert sorted(data.train.y.unique().tolist()) == [0, 1, 2, 3]


def test_a_missing_label_is_unlabelled(tmp_path):
    rows = write_csv(tmp_path / "table.csv", draw_cells(150), missing=0.2)
    data = make(tmp_path / "table.csv", label="town").load()
    expected = [-1 if row[2] is None else "abc".index(row[2]) for row in rows[:100]]
    assert data.train.y.tolist() == expected
    assert data.train.labelled.tolist() == [i for i, y in enumerate(expected) if y >= 0]


def test_few_labels_can_be_chosen(path):
    data = make(path, label="town", num_labels=6).load()
    assert torch.bincount(data.train.y[data.train.labelled]).tolist() == [2, 2, 2]


def test_known_columns_are_kept(tmp_path):
    assert TableDataset.complete(make_source(tmp_path / "none.csv", COLUMNS[:2])) == {}


@pytest.mark.parametrize(("use", "kind"), [(None, "mixed"), (["real"], "continuous"), (["binary"], "binary")])
def test_kind_follows_from_the_columns(path, use, kind):
    assert make(path, use=use).kind == kind


def test_real_columns_alone_are_standardised(path):
    data = make(path).load()
    x = data.train.batch(slice(None))
    income = np.array(draw_cells(150)["income"][:100])
    expected = (income - income.mean()) / income.std()
    np.testing.assert_allclose(x[:, 1].numpy(), expected, atol=1e-5)
    assert x[:, 3].tolist() == draw_cells(150)["visits"][:100]
    assert x[:, 5].tolist() == [grade - 1 for grade in draw_cells(150)["grade"][:100]]
    assert [len(split) for split in (data.train, data.valid, data.test)] == [100, 20, 30]


def test_one_scale_is_that_of_the_real_columns(path):
    units = make(path, standardize="global")
    units.load()
    units = units.preprocessing.standardization
    cells = draw_cells(150)
    expected = np.sqrt(np.mean([np.var(cells[name][:100]) for name in ("income", "height")]))
    assert units.scale[[1, 4]].tolist() == pytest.approx([expected, expected])
    assert units.scale[[0, 2, 3, 5, 6]].tolist() == [1] * 5


def test_densities_are_in_data_units(path):
    data = make(path).load()
    cells = draw_cells(150)
    expected = -sum(np.log(np.std(cells[name][:100])) for name in ("income", "height"))
    assert data.test.mean_log_det == pytest.approx(expected)


def test_missing_cells_are_nan(holes):
    dataset = make(holes)
    data = dataset.load()
    assert isinstance(dataset.corrupt, MissingValues)
    assert dataset.preprocessing.has_missing_values
    assert data.train.batch(slice(None)).isnan().float().mean().item() == pytest.approx(0.2, abs=0.05)
    assert data.train.num_observed.sum() == (~data.train.batch(slice(None)).isnan()).sum()


def test_log_names_kinds_and_missing_cells(holes):
    dataset = make(holes, kinds={"grade": "drop"})
    dataset.load()
    assert dataset.notes[0] == "columns left out: grade (4 values)"
    assert dataset.notes[1] == (
        "table: 2 real: income, height; 1 count: visits; 1 binary: sex; 2 categorical: town, area"
    )
    assert dataset.notes[2].startswith("to change a kind: 'dataset.source.kinds={NAME: KIND}'")
    assert "NaN is a missing value" in dataset.notes[3]
    assert dataset.protocol.startswith("none; md5 ")
    assert "columns: 2 real, 1 count, 1 binary, 2 categorical; seen through missing values" in dataset.protocol


def test_categories_can_be_units(path):
    dataset = make(path, use=["binary", "categorical"], one_hot=True)
    assert dataset.kind == "binary"
    assert dataset.shape == (1 + 3 + 4 + 3,)
    x = dataset.load().train.batch(slice(None))
    cells = draw_cells(150)
    assert x[:, 1:4].argmax(1).tolist() == ["abc".index(town) for town in cells["town"][:100]]
    assert (x[:, 1:4].sum(1) == 1).all()


def test_more_cells_can_be_hidden(holes):
    data = make(holes, MissingAtRandom(0.5)).load()
    assert data.train.batch(slice(None)).isnan().float().mean().item() == pytest.approx(0.6, abs=0.05)


def test_a_seed_shuffles_rows(path):
    first, second = (make(path, split_seed=0).load().test.batch(slice(None)) for _ in range(2))
    torch.testing.assert_close(first, second)
    in_order = make(path).load().test.batch(slice(None))
    assert not torch.equal(first[:, 3], in_order[:, 3])


def test_a_changed_file_is_refused(path):
    dataset = make(path)
    cells = draw_cells(150)
    write_csv(path, {**cells, "sex": ["d", *cells["sex"][1:]]})
    with pytest.raises(DataError, match="column sex has the value 'd', which is none of its 2 values"):
        dataset.load()
    write_csv(path, {"sex": cells["sex"]})
    with pytest.raises(DataError, match=r"^dataset: the table has no column income, which the model takes: name it so"):
        dataset.load()
