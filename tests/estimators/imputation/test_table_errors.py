import numpy as np
import pytest
import torch

from dgm_run.data.columns import read_columns
from dgm_run.estimators.imputation.table_errors import HiddenCells, TableReference, guess_cells
from tests.support.tables import COLUMNS

NAMES = ("sex", "income", "visits", "town")
TABLE = tuple(column for name in NAMES for column in read_columns(COLUMNS) if column.name == name)
TRAIN = torch.tensor(
    [[0.0, -1.0, 2.0, 1.0], [1.0, 1.0, 4.0, 1.0], [1.0, torch.nan, 6.0, 0.0], [torch.nan, 0.0, 8.0, 2.0]]
)


def draw_rows(num=40):
    torch.manual_seed(0)
    truth = torch.stack([torch.randint(0, n, (num,)).float() for n in (2, 9, 9, 3)], 1)
    truth[:, 1] = torch.randn(num)
    return truth, torch.rand(num, 4) < 0.5


def test_reference_ignores_missing_cells():
    reference = TableReference.fit(TRAIN.clone(), TABLE)
    assert reference.guess.tolist() == pytest.approx([1.0, 0.0, 5.0, 1.0])
    assert reference.scale.tolist() == pytest.approx([1.0, (2 / 3) ** 0.5, 5**0.5, 1.0])


def test_errors_match_numpy():
    truth, hidden = draw_rows()
    reference = TableReference.fit(TRAIN.clone(), TABLE)
    cells = HiddenCells("random", truth, hidden, reference)
    rows = cells.estimate_errors("mean_or_mode", reference.guess.expand_as(truth), None, {}, {}, None)
    x, mask = truth.numpy(), hidden.numpy()
    expected = {
        "rmse_real_random": np.sqrt(np.mean((x[mask[:, 1], 1] / np.sqrt(2 / 3)) ** 2)),
        "rmse_count_random": np.sqrt(np.mean(((x[mask[:, 2], 2] - 5) / np.sqrt(5)) ** 2)),
        "error_binary_random": 100 * np.mean(x[mask[:, 0], 0] != 1),
        "error_categorical_random": 100 * np.mean(x[mask[:, 3], 3] != 1),
    }
    assert {row.quantity: row.value for row in rows} == pytest.approx(expected, rel=1e-5)
    assert {row.quantity: row.unit for row in rows}["rmse_real_random"] == "standard deviations"
    assert all(row.interval[0] < row.value < row.interval[1] for row in rows)


def test_missing_truth_is_no_target():
    truth, hidden = draw_rows()
    whole = HiddenCells("random", truth, hidden, TableReference.fit(TRAIN.clone(), TABLE))
    unknown = truth.clone()
    unknown[::2] = torch.nan
    cells = whole._replace(truth=unknown, is_target=hidden & ~unknown.isnan())
    half = whole._replace(truth=truth[1::2], is_target=hidden[1::2])
    guess = whole.reference.guess
    values = [row.value for row in cells.estimate_errors("m", guess.expand(40, 4), None, {}, {}, None)]
    assert values == pytest.approx(
        [row.value for row in half.estimate_errors("m", guess.expand(20, 4), None, {}, {}, None)]
    )


def test_draws_fill_categories_and_diagnose():
    truth, hidden = draw_rows()
    draws = truth.repeat(20, 1, 1)
    draws[:6, :, 3] = (truth[:, 3] + 1) % 3  # 6 of 20 are wrong, so that the mode is right
    mean = draws.mean(0)
    assert torch.equal(guess_cells(mean, draws, TABLE)[:, 3], truth[:, 3])
    cells = HiddenCells("random", truth, hidden, TableReference.fit(TRAIN.clone(), TABLE))
    rows = {row.quantity: row for row in cells.estimate_errors("m", mean, draws, {}, {"ess_median": 3.0}, None)}
    assert rows["error_categorical_random"].value == 0
    assert rows["error_categorical_random"].diagnostics == {"error_of_draws": pytest.approx(30), "ess_median": 3.0}
    assert rows["rmse_real_random"].diagnostics["coverage"] == 1
    assert rows["error_binary_random"].diagnostics["f1"] == 1


def test_a_kind_without_hidden_cells_has_no_row():
    truth, hidden = draw_rows()
    hidden[:, 2] = False
    cells = HiddenCells("random", truth, hidden, TableReference.fit(TRAIN.clone(), TABLE))
    rows = cells.estimate_errors("m", truth, None, {}, {}, None)
    assert [row.quantity for row in rows] == ["rmse_real_random", "error_binary_random", "error_categorical_random"]
