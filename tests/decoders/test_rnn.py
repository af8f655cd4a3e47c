import pytest
import torch

from dgm_run.decoders.rnn import RNNDecoder
from dgm_run.distributions.vocabulary import END, PAD

X = torch.tensor([[4.0, 5.0, END, PAD], [6.0, 4.0, 4.0, END]])


def make(**settings):
    torch.manual_seed(0)
    sizes = {"latent_dim": 2, "shape": (4,), "vocab_size": 7, "embed_dim": 5, "hidden_dim": 6}
    rest = {
        "cell": "lstm",
        "z_at": "both",
        "inputs": "words",
        "word_dropout": 0.0,
        "dropout": 0.0,
        "bag_of_words": False,
    }
    return RNNDecoder(**(sizes | rest | settings))


@pytest.mark.parametrize("z_at", ["state", "input", "both"])
def test_z_reaches_every_word(z_at):
    decoder = make(z_at=z_at)
    z = torch.randn(2, 2, requires_grad=True)
    logits = decoder.network(X.long(), z)
    for t in range(3):
        assert (torch.autograd.grad(logits[:, t].sum(), z, retain_graph=True)[0] != 0).all()


def test_word_dropout_ends_in_evaluation():
    decoder, z = make(word_dropout=0.9), torch.randn(2, 2)
    whole = make()(z).log_prob(X)
    torch.testing.assert_close(decoder.eval()(z).log_prob(X), whole)
    assert (decoder.train()(z).log_prob(X) - whole).abs().max() > 1e-4


def test_samples_of_z_meet_all_sentences():
    z = torch.randn(5, 2, 2)  # (S, B, L)
    p = make()(z)
    assert p.log_prob(X).shape == (5, 2)
    torch.testing.assert_close(p.log_prob(X)[3], make()(z[3]).log_prob(X))


def test_bag_matches_direct_sum():
    decoder, z = make(bag_of_words=True), torch.randn(3, 2, 2)
    log_p = decoder.bag(z).log_softmax(-1)
    by_hand = log_p[:, 1, 6 - 2] + 2 * log_p[:, 1, 4 - 2] + log_p[:, 1, END - 2]
    torch.testing.assert_close(decoder.log_bag(z, X)[:, 1], by_hand)
    other_order = X[:, [1, 0, 2, 3]]
    torch.testing.assert_close(decoder.log_bag(z, other_order), decoder.log_bag(z, X))
    assert make().bag is None
