import pytest
import torch

from dgm_run.distributions.vocabulary import END, PAD
from dgm_run.encoders.rnn import RNNEncoder


@pytest.mark.parametrize("cell", ["lstm", "gru"])
def test_features_ignore_padding(cell):
    torch.manual_seed(0)
    encoder = RNNEncoder(9, 4, 6, cell, 0.0).eval()
    short = torch.tensor([[4.0, 5.0, END]])
    padded = torch.tensor([[4.0, 5.0, END, PAD, PAD, PAD]])
    torch.testing.assert_close(encoder(padded), encoder(short))
    both = torch.tensor([[4.0, 5.0, END, PAD], [4.0, 5.0, 6.0, END]])
    torch.testing.assert_close(encoder(both)[0], encoder(short)[0])  # whatever else is in the batch
    states, _ = encoder.layer(encoder.embedding(short.long()))
    torch.testing.assert_close(encoder(short)[0], states[0, -1])


def test_axes_in_front_stay():
    encoder = RNNEncoder(9, 4, 6, "gru", 0.5)
    assert encoder(torch.full((2, 3, 5), 4.0)).shape == (2, 3, 6)
    assert encoder.feature_dim == 6
