import csv

import pytest
import torch

from dgm_run.data.columns import read_columns
from dgm_run.data.corruptions import MissingValues
from dgm_run.data.preprocessing import Preprocessing
from dgm_run.data.standardize import Standardization
from dgm_run.data.table import TableDataset
from dgm_run.decoders.mlp import MLPDecoder
from dgm_run.errors import ConfigError
from dgm_run.likelihoods.mixed import MixedLikelihood
from dgm_run.models.corrupted import CorruptedModel
from dgm_run.models.latent.density_network import DensityNetwork
from dgm_run.priors.standard import StandardPrior
from dgm_run.runner.table_samples import (
    complete_table,
    draw_labelled_rows,
    find_label,
    read_run_columns,
    to_cells,
    write_tables,
)
from tests.support.tables import COLUMNS, draw_cells, make_table_file, write_csv

MEAN = torch.tensor([0, 5, 0, 0, 0, 0, 0], dtype=torch.float64)
SCALE = torch.tensor([1, 2, 1, 1, 1, 1, 1], dtype=torch.float64)
UNITS = Preprocessing(Standardization(MEAN, SCALE), True)
CONFIG = {"dataset": {"columns": COLUMNS, "source": {"path": "mine.tsv"}}}


@pytest.fixture
def model():
    """A model whose decoder ignores z: men with an income of 7 +- 0.001, four visits, and equal odds of categories."""
    likelihood = MixedLikelihood(COLUMNS, "gaussian", "poisson", 0.0, 0.001)
    decoder = MLPDecoder(1, [], "relu", likelihood)
    with torch.no_grad():
        decoder.output.weight.zero_()
        decoder.output.bias.zero_()
        decoder.output.bias[:4] = torch.tensor([1.0, -1.0, 4.0, 9.0])
        decoder.output.bias[2].log_()
        decoder.output.bias[4:10] = torch.tensor([0.0, 9.0, 9.0, 0.0, 0.0, 0.0])  # town b, area x
        likelihood.log_scale.fill_(-20.0)
    return CorruptedModel(DensityNetwork(1, StandardPrior(1), decoder), MissingValues()).eval()


@pytest.fixture
def dataset(tmp_path):
    cells = {"id": [f"p{i}" for i in range(60)], **draw_cells(60)}
    rows = write_csv(tmp_path / "mine.csv", cells, missing=0.3)
    source = make_table_file(tmp_path / "mine.csv", columns=COLUMNS, split_seed=0)
    return TableDataset(source, "table", COLUMNS, [7], None, None, None, 0, "none", False, "columns", None, 0), rows


def test_rows_become_cells():
    columns = read_columns(COLUMNS)
    scale = torch.tensor([1, 1000.0, 1, 1, 1e-3, 1, 1], dtype=torch.float64)
    preprocessing = Preprocessing(Standardization(torch.zeros(7), scale))
    x = torch.tensor([[1, 1234.56789, 2, 5, 0.12345678949, 0, torch.nan]], dtype=torch.float64)
    assert to_cells(x, columns, preprocessing) == [["m"], [1234.568], ["c"], [5], [0.123456789], [1], [None]]


def test_missing_cells_are_completed(model, dataset):
    table, rows = dataset
    columns, completed = complete_table(model, table, 0, UNITS)
    assert [column.name for column in columns] == ["id", *(each["name"] for each in COLUMNS)]
    assert set(completed) == {"completed", "completed_drawn"}
    expected = {1: "m", 2: 7.0, 3: "b", 5: -1.0, 7: "x"}
    for name, cells in completed.items():
        for row, found in zip(rows, zip(*cells, strict=True), strict=True):
            for place, cell in enumerate(row):
                if cell is not None:
                    assert found[place] == cell
                elif place in expected and not (place in (3, 7) and name == "completed_drawn"):
                    assert found[place] == (
                        pytest.approx(expected[place], abs=0.02) if place in (2, 5) else expected[place]
                    )
    means = [cell for row, cell in zip(rows, completed["completed"][4], strict=True) if row[4] is None]
    assert means
    assert set(means) == {4}


def test_columns_left_out_stay(model, dataset):
    table, rows = dataset
    _, completed = complete_table(model, table, 0, UNITS)
    assert completed["completed"][0] == [row[0] for row in rows]


def test_complete_tables_need_no_completion(model, dataset, tmp_path):
    table, _ = dataset
    write_csv(tmp_path / "mine.csv", draw_cells(60))
    assert complete_table(model, table, 0, UNITS) == ([], {})
    assert complete_table(model.model, table, 0, UNITS) == ([], {})


def test_files_have_the_columns(model, dataset, tmp_path):
    x = torch.tensor([[1.0, 5.5, 2.0, 3.0, 1.5, 0.0, 0.0], [0.0, 6.0, 1.0, 0.0, 1.75, 3.0, 2.0]])
    files = write_tables(model, x, None, 0, None, CONFIG, UNITS, tmp_path)
    assert files == [tmp_path / "samples.tsv"]
    with files[0].open(newline="") as file:
        rows = list(csv.reader(file, delimiter="\t"))
    assert rows[0] == [each["name"] for each in COLUMNS]
    assert rows[1:] == [["m", "5.5", "c", "3", "1.5", "1", "x"], ["f", "6.0", "b", "0", "1.75", "4", "z"]]
    table, _ = dataset
    files = write_tables(model, x, None, 0, table, CONFIG, UNITS, tmp_path)
    assert [file.name for file in files] == ["samples.tsv", "completed.tsv", "completed_drawn.tsv"]


def test_other_runs_have_no_columns():
    assert read_run_columns({"dataset": {"name": "digits"}}) == ()
    assert read_run_columns(CONFIG) == read_columns(COLUMNS)


TOWN = {"dataset": {"label_column": COLUMNS[2]}}


@pytest.mark.parametrize(("text", "number"), [("a", 0), ("c", 2), ("1", 1)])
def test_a_label_has_a_name_or_a_number(text, number):
    assert find_label(TOWN, text) == number


def test_a_value_of_the_table_precedes_a_number():
    assert find_label({"dataset": {"label_column": COLUMNS[5]}}, "1") == 0  # grades are 1 to 4


@pytest.mark.parametrize(
    ("config", "message"),
    [(TOWN, r"^label=d: .*: choose one of a, b, c, or its number$"), ({"dataset": {}}, r": give its number, from 0$")],
)
def test_an_unknown_label_is_refused(config, message):
    with pytest.raises(ConfigError, match=message):
        find_label(config, "d")


def test_rows_come_with_their_labels():
    class Model:
        num_classes = 3
        log_p_label = torch.tensor([0.2, 0.5, 0.3]).log()

        def sample_of_class(self, n, y):
            return torch.full((n, 2), float(y))

    x, y = draw_labelled_rows(Model(), 2000, 0)
    assert torch.equal(x[:, 0].long(), y)
    assert (torch.bincount(y) / 2000).tolist() == pytest.approx([0.2, 0.5, 0.3], abs=0.04)
    assert (y[1:] != y[:-1]).double().mean() > 0.5  # not sorted
