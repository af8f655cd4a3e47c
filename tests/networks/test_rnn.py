import pytest
import torch

from dgm_run.distributions.vocabulary import END, START, UNKNOWN
from dgm_run.networks.rnn import TokenNetwork, recurrent_layer


def network(word_dropout=0.0, dropout=0.0, context_dim=2, context_at="both", cell="lstm"):
    torch.manual_seed(0)
    return TokenNetwork(9, context_dim, context_at, 4, 6, cell, True, word_dropout, dropout)


TOKENS = torch.tensor([[4, 5, 6, 7, END]])
CONTEXT = torch.tensor([[0.5, -1.0]])


@pytest.mark.parametrize("cell", ["lstm", "gru"])
def test_token_sees_preceding_and_context(cell):
    made = network(cell=cell)
    weights = made.embedding(TOKENS).detach().requires_grad_()
    made.embedding.forward = lambda tokens: torch.cat([torch.zeros(1, 1, 4), weights[:, :-1]], 1)
    context = CONTEXT.clone().requires_grad_()
    logits = made(TOKENS, context)  # (1, 5, 7)
    for t in range(5):
        seen, of_context = torch.autograd.grad(logits[0, t].sum(), (weights, context), retain_graph=True)
        reached = seen[0].abs().sum(-1) > 0
        assert reached.tolist() == [i < t for i in range(5)]
        assert (of_context != 0).all()


def test_no_context_is_needed():
    made = network(context_dim=0, context_at="state")
    assert made(TOKENS, None).shape == (1, 5, 7)
    assert made.first_state is None


def test_word_dropout_spares_the_start():
    made, seen = network(word_dropout=1.0), []
    forward = made.embedding.forward
    made.embedding.forward = lambda tokens: seen.append(tokens.clone()) or forward(tokens)
    made.train()(TOKENS, CONTEXT)
    made.eval()(TOKENS, CONTEXT)
    assert seen[0].tolist() == [[START, UNKNOWN, UNKNOWN, UNKNOWN, UNKNOWN]]
    assert seen[1].tolist() == [[START, 4, 5, 6, 7]]
    torch.manual_seed(0)
    half = network(word_dropout=0.5).train()
    half.embedding.forward = lambda tokens: seen.append(tokens.clone()) or forward(tokens)
    half(TOKENS.expand(2000, -1), CONTEXT.expand(2000, -1))
    assert (seen[-1][:, 1:] == UNKNOWN).float().mean().item() == pytest.approx(0.5, abs=0.03)


def test_a_share_is_one():
    for wrong in ({"word_dropout": 1.5}, {"dropout": -0.1}):
        with pytest.raises(ValueError, match="must lie between 0 and 1"):
            network(**wrong)
    assert recurrent_layer("gru", 3, 4)(torch.zeros(2, 5, 3))[0].shape == (2, 5, 4)


def test_context_replaces_word_inputs():
    made = network()
    made.has_word_inputs = False
    others = torch.tensor([[7, 4, 4, 8, END]])
    for mode in (made.train(), made.eval()):
        assert torch.equal(mode(TOKENS, CONTEXT), mode(others, CONTEXT))
        assert not torch.equal(mode(TOKENS, CONTEXT), mode(TOKENS, -CONTEXT))
    # and word after word it draws by what it scores
    state = made.start(1, CONTEXT)
    token, logits = torch.tensor([START]), []
    for t in range(5):
        one, state = made.step(token, CONTEXT, state)
        logits.append(one)
        token = TOKENS[:, t]
    torch.testing.assert_close(torch.stack(logits, 1), made(TOKENS, CONTEXT))
