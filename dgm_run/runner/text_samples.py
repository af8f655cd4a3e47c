"""What can be read of a model of sentences: draws, reconstructions, the way from one to another, completions."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from dgm_run.distributions.base import Distribution
from dgm_run.distributions.sentence import Sentence
from dgm_run.distributions.vocabulary import END, PAD, Vocabulary, lengths
from dgm_run.models.base import ContinuousLatentModel
from dgm_run.models.language_model import LanguageModel

SHOWN = 16
BEAM = 5
STEPS = 7
"""Of a homotopy."""
CANDIDATES = 100
"""Codes among which one is chosen for the beginning of a sentence."""


@torch.no_grad()
def read(model: nn.Module, x: Tensor, vocabulary: Vocabulary, n: int = SHOWN) -> dict[str, list[str]]:
    """Lines by name.

    Of a model with latent variables `samples` are the likeliest words one after another at draws of the prior,
    `samples_beam` what a beam of five finds there, and `samples_drawn` draws. `homotopies` go in even steps of z from
    the mean code of one sentence to that of another.

    Args:
        model: in evaluation mode.
        x: sentences to look at, (B, T).
        vocabulary: theirs.
        n: how many samples.
    """
    x = x[:SHOWN]
    if isinstance(model, LanguageModel):
        found = {"samples_drawn": vocabulary.decode(model.sample(n))}
        return found | {"completions": _completions(x, vocabulary, lambda prefix: model.sentences(1).greedy(prefix))}
    assert isinstance(model, ContinuousLatentModel)
    p_x = _sentences(model.generate(n))
    found = {
        "samples": vocabulary.decode(p_x.greedy()),
        "samples_beam": vocabulary.decode(p_x.beam(BEAM)),
        "samples_drawn": vocabulary.decode(p_x.sample()),
    }
    codes = model.infer(x).mean
    again = vocabulary.decode(_sentences(model.decode(codes)).greedy())
    pairs = zip(vocabulary.decode(x), again, strict=True)
    found["reconstructions"] = [line for pair in pairs for line in (*pair, "")]
    found["homotopies"] = []
    for a, b in zip(codes[0:-1:2], codes[1::2], strict=True):
        shares = torch.linspace(0, 1, STEPS, dtype=a.dtype, device=a.device).unsqueeze(1)
        between = _sentences(model.decode(torch.lerp(a, b, shares)))
        found["homotopies"] += [*vocabulary.decode(between.greedy()), ""]
    return found | {"completions": _completions(x, vocabulary, lambda prefix: completed(model, prefix, x.shape[1]))}


def completed(model: ContinuousLatentModel, prefix: Tensor, length: int) -> Tensor:
    """The likeliest words after the beginning of a sentence, at a code that fits it: (1, t) -> (1, length).

    Codes are drawn from q(z | the beginning as a sentence), and one of them is chosen as it explains the beginning.
    """
    tokens = prefix.new_full((1, length), PAD)
    tokens[:, : prefix.shape[1]] = prefix
    as_sentence = tokens.clone()
    as_sentence[:, prefix.shape[1]] = END
    q, p = model.infer(as_sentence).proposal(), model.latent_prior()
    z, log_q = q.rsample_and_log_prob((CANDIDATES,))  # (S, 1, L)
    log_w = model.decode(z).log_prob(tokens) + p.log_prob(z) - log_q
    chosen = torch.distributions.Categorical(logits=log_w[:, 0]).sample()
    return _sentences(model.decode(z[chosen])).greedy(prefix)


def _sentences(p: Distribution) -> Sentence:
    assert isinstance(p, Sentence)  # by `is_of_sentences`
    return p


def _completions(x: Tensor, vocabulary: Vocabulary, complete: Callable[[Tensor], Tensor]) -> list[str]:
    """Sentences, and below them their first halves with what a model makes of the rest."""
    lines = []
    for row, size in zip(x, lengths(x).tolist(), strict=True):
        prefix = row[: max(1, (size - 1) // 2)].unsqueeze(0)
        begun, (whole,) = vocabulary.decode(prefix)[0], vocabulary.decode(complete(prefix))
        lines += [vocabulary.decode(row.unsqueeze(0))[0], f"{begun} |{whole.removeprefix(begun)}", ""]
    return lines


def is_of_sentences(model: nn.Module) -> bool:
    """Whether a model draws sentences."""
    if isinstance(model, LanguageModel):
        return True
    return isinstance(model, ContinuousLatentModel) and isinstance(model.generate(1), Sentence)
