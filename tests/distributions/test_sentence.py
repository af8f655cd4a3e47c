import itertools
import math

import pytest
import torch

from dgm_run.distributions.sentence import Sentence
from dgm_run.distributions.vocabulary import END, PAD, START, UNKNOWN
from dgm_run.networks.rnn import TokenNetwork

VOCAB, LENGTH = 6, 4  # the predicted tokens: the end, <unk> and two words


def make(context_dim=2, cell="lstm", seed=0, length=LENGTH, context_at="both"):
    torch.manual_seed(seed)
    network = TokenNetwork(VOCAB, context_dim, context_at, 5, 7, cell, True, 0.0, 0.0).eval()
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.mul_(2.5)  # far from uniform
    return Sentence(network, torch.randn(3, context_dim), length)


def finished_sentences(length):
    """Yields every sentence that ends within `length` tokens."""
    for n in range(length):
        for words in itertools.product((UNKNOWN, 4, 5), repeat=n):
            yield [*words, END, *[PAD] * (length - n - 1)]


def unfinished_sentences(length):
    return [list(words) for words in itertools.product((UNKNOWN, 4, 5), repeat=length)]


@torch.no_grad()
@pytest.mark.parametrize("cell", ["lstm", "gru"])
@pytest.mark.parametrize("context_at", ["state", "input", "both"])
def test_all_sentences_have_the_mass_one(cell, context_at):
    p = make(cell=cell, context_at=context_at)
    rows = torch.tensor([*finished_sentences(LENGTH), *unfinished_sentences(LENGTH)]).float()
    mass = p.log_prob(rows.unsqueeze(1)).exp().sum(0)
    torch.testing.assert_close(mass, torch.ones(3), rtol=0, atol=1e-5)


@torch.no_grad()
def test_density_matches_single_steps():
    p = make(cell="gru")
    row = [4, 5, 4, END]
    for i in range(3):
        context = p.context[i : i + 1]
        state, token, log_p = p.network.start(1, context), START, 0.0
        for following in row:
            logits, state = p.network.step(torch.tensor([token]), context, state)
            log_p += logits.log_softmax(-1)[0, following - 2].item()
            token = following
        assert p.log_prob(torch.tensor(row).float())[i].item() == pytest.approx(log_p, abs=1e-5)


@torch.no_grad()
def test_padding_is_free_and_end_counts():
    p = make()
    row = torch.tensor([[4.0, 5.0, END, PAD]])
    torch.testing.assert_close(p.log_prob(row), p.log_prob(row[:, :3]))
    without_end = p.log_prob(row[:, :2])
    assert (p.log_prob(row) < without_end - 0.01).all()


@torch.no_grad()
def test_draws_follow_the_density():
    p = make()
    torch.manual_seed(1)
    draws = p.sample((30_000,))[:, 0]
    rows = torch.tensor([*finished_sentences(LENGTH), *unfinished_sentences(LENGTH)]).float()
    expected = p.log_prob(rows.unsqueeze(1))[:, 0].exp()
    code = torch.tensor([VOCAB**i for i in range(LENGTH)]).float()
    counts = (draws @ code).unique(return_counts=True)
    found = dict(zip(counts[0].tolist(), counts[1].tolist(), strict=True))
    assert set(found) <= set((rows @ code).tolist())
    for row, q in zip(rows, expected.tolist(), strict=True):
        count = found.get((row @ code).item(), 0)
        assert abs(count - 30_000 * q) < 5 * math.sqrt(30_000 * q) + 1


@torch.no_grad()
def test_wide_beam_finds_the_optimum():
    for seed in range(5):
        p = make(seed=seed, length=3)
        rows = torch.tensor([*finished_sentences(3), *unfinished_sentences(3)]).float()
        best = rows[p.log_prob(rows.unsqueeze(1)).argmax(0)]
        assert p.beam_search(60).tolist() == best.tolist()
        assert p.beam_search(1).tolist() == p.greedy_search().tolist()
    with pytest.raises(ValueError, match="width = 0"):
        p.beam_search(0)


@torch.no_grad()
def test_greedy_words_are_most_probable():
    p = make(seed=2)
    found = p.greedy_search()
    for i, row in enumerate(found.tolist()):
        size = row.index(END) + 1 if END in row else LENGTH
        for t in range(size):
            options = torch.tensor([[*row[:t], token, *[PAD] * (LENGTH - t - 1)] for token in (END, UNKNOWN, 4, 5)])
            log_p = p.log_prob(options.float().unsqueeze(1))[:, i]
            assert (END, UNKNOWN, 4, 5)[log_p.argmax()] == row[t]
        assert row[size:] == [PAD] * (LENGTH - size)


@torch.no_grad()
def test_what_is_begun_is_gone_on_with():
    p = make(seed=3)
    prefix = torch.tensor([[5.0, 4.0]]).expand(3, -1)
    torch.manual_seed(0)
    draws = p.sample((20_000,), prefix=prefix.expand(20_000, -1, -1))
    assert (draws[..., :2] == torch.tensor([5.0, 4.0])).all()
    options = torch.tensor([[5, 4, END, PAD]]).float()
    expected = (p.log_prob(options) - p.log_prob(options[:, :2])).exp()
    ended = (draws[..., 2] == END).float().mean(0)
    torch.testing.assert_close(ended, expected, rtol=0, atol=0.015)
    assert (p.greedy_search(prefix)[:, :2] == prefix).all()


def test_batch_counts_without_context():
    p = make(context_dim=0)
    assert p.log_prob(torch.tensor([4.0, END, PAD, PAD])).shape == (3,)
    assert p.sample((2,)).shape == (2, 3, LENGTH)
    with pytest.raises(NotImplementedError, match="use greedy"):
        _ = p.mean


@torch.no_grad()
def test_blocks_change_nothing(monkeypatch):
    p = make()
    x = p.sample((5,))
    whole = p.log_prob(x)
    monkeypatch.setattr("dgm_run.distributions.sentence.MAX_LOGITS", 4 * x.shape[1] * p.network.output.out_features)
    torch.testing.assert_close(p.log_prob(x), whole)
