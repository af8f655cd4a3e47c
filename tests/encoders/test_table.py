import torch

from dgm_run.encoders.table import TableEncoder
from tests.support.contracts import check_every_parameter_gets_a_gradient
from tests.support.tables import COLUMNS

ROW = torch.tensor([[1.0, 0.3, 2.0, 5.0, -1.2, 3.0, 0.0], [0.0, -0.5, 0.0, 0.0, 0.4, 0.0, 2.0]])


def test_features_are_numbers_and_one_hot_codes():
    encoder = TableEncoder(COLUMNS, [], "relu")
    numbers = [[0.3, -1.2, torch.log(torch.tensor(6.0)), 1.0], [-0.5, 0.4, 0.0, -1.0]]
    codes = [[0, 0, 1, 0, 0, 0, 1, 1, 0, 0], [1, 0, 0, 1, 0, 0, 0, 0, 0, 1]]
    expected = torch.cat([torch.tensor(numbers), torch.tensor(codes)], 1)
    torch.testing.assert_close(encoder(ROW), expected)
    assert encoder.feature_dim == 14


def test_missing_cells_give_zeros():
    features = TableEncoder(COLUMNS, [], "relu")(torch.full((1, 7), torch.nan))
    torch.testing.assert_close(features, torch.zeros(1, 14))


def test_a_missing_cell_changes_no_other():
    encoder = TableEncoder(COLUMNS, [], "relu")
    row = ROW.clone()
    row[:, 2] = torch.nan
    assert (encoder(row) != encoder(ROW)).any(0).nonzero().flatten().tolist() == [4, 6]


def test_counts_are_standardised_by_initialize():
    encoder = TableEncoder(COLUMNS, [], "relu")
    x = ROW.repeat(50, 1)
    x[:, 3] = torch.arange(100.0)
    encoder.initialize(x)
    counts = encoder(x)[:, 2]
    torch.testing.assert_close(counts.mean(), torch.tensor(0.0), atol=1e-5, rtol=0)
    torch.testing.assert_close(counts.std(correction=0), torch.tensor(1.0))


def test_every_parameter_gets_a_gradient():
    encoder = TableEncoder(COLUMNS, [5], "tanh")
    assert encoder(ROW.expand(3, 2, 7)).shape == (3, 2, 5)
    check_every_parameter_gets_a_gradient(encoder, encoder(ROW))
