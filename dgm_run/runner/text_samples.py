"""Draws text from a model of sentences: samples, reconstructions, interpolations, completions."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from dgm_run.distributions.base import Distribution
from dgm_run.distributions.sentence import Sentence
from dgm_run.distributions.vocabulary import END, PAD, Vocabulary, count_tokens
from dgm_run.models.base import ContinuousLatentModel
from dgm_run.models.language_model import LanguageModel

NUM_SHOWN = 16
"""Number of sentences that are reconstructed and completed."""
BEAM_WIDTH = 5
NUM_HOMOTOPY_STEPS = 7
NUM_CANDIDATES = 100
"""Number of codes among which one is chosen for the beginning of a sentence."""


@torch.no_grad()
def draw_text(model: nn.Module, x: Tensor, vocabulary: Vocabulary, n: int = NUM_SHOWN) -> dict[str, list[str]]:
    """Draws lines of text by name.

    For a model with latent variables, `samples` are greedy sentences at draws of the prior. `samples_beam` come from a
    beam search at these draws, and `samples_drawn` are draws of sentences. `homotopies` go in even steps of z from the
    mean code of one sentence to that of another.

    Args:
        model: model in evaluation mode.
        x: sentences to reconstruct and complete, (B, T).
        vocabulary: vocabulary of the sentences.
        n: number of samples.
    """
    x = x[:NUM_SHOWN]
    if isinstance(model, LanguageModel):
        texts = {"samples_drawn": vocabulary.decode(model.sample(n))}
        return texts | {
            "completions": _complete_halves(x, vocabulary, lambda prefix: model.sentences(1).greedy_search(prefix))
        }
    assert isinstance(model, ContinuousLatentModel)
    p_x = _sentences(model.generate(n))
    texts = {
        "samples": vocabulary.decode(p_x.greedy_search()),
        "samples_beam": vocabulary.decode(p_x.beam_search(BEAM_WIDTH)),
        "samples_drawn": vocabulary.decode(p_x.sample()),
    }
    codes = model.infer(x).mean
    again = vocabulary.decode(_sentences(model.decode(codes)).greedy_search())
    pairs = zip(vocabulary.decode(x), again, strict=True)
    texts["reconstructions"] = [line for pair in pairs for line in (*pair, "")]
    texts["homotopies"] = []
    for a, b in zip(codes[0:-1:2], codes[1::2], strict=True):
        shares = torch.linspace(0, 1, NUM_HOMOTOPY_STEPS, dtype=a.dtype, device=a.device).unsqueeze(1)
        between = _sentences(model.decode(torch.lerp(a, b, shares)))
        texts["homotopies"] += [*vocabulary.decode(between.greedy_search()), ""]
    return texts | {
        "completions": _complete_halves(x, vocabulary, lambda prefix: complete_sentence(model, prefix, x.shape[1]))
    }


def complete_sentence(model: ContinuousLatentModel, prefix: Tensor, length: int) -> Tensor:
    """Completes the beginning of a sentence with its likeliest words: (1, t) -> (1, length).

    Codes are drawn from q(z | beginning), and one of them is chosen by its importance weight.
    """
    tokens = prefix.new_full((1, length), PAD)
    tokens[:, : prefix.shape[1]] = prefix
    as_sentence = tokens.clone()
    as_sentence[:, prefix.shape[1]] = END
    q = model.infer(as_sentence).proposal()
    p = model.latent_prior()
    z, log_q = q.rsample_and_log_prob((NUM_CANDIDATES,))  # (S, 1, L)
    log_w = model.decode(z).log_prob(tokens) + p.log_prob(z) - log_q
    chosen = torch.distributions.Categorical(logits=log_w[:, 0]).sample()
    return _sentences(model.decode(z[chosen])).greedy_search(prefix)


def _sentences(p: Distribution) -> Sentence:
    assert isinstance(p, Sentence)  # `is_sentence_model` has checked it
    return p


def _complete_halves(x: Tensor, vocabulary: Vocabulary, complete: Callable[[Tensor], Tensor]) -> list[str]:
    """Writes sentences, and below each its first half with the model's completion."""
    lines = []
    for row, size in zip(x, count_tokens(x).tolist(), strict=True):
        prefix = row[: max(1, (size - 1) // 2)].unsqueeze(0)
        beginning = vocabulary.decode(prefix)[0]
        (whole,) = vocabulary.decode(complete(prefix))
        lines += [vocabulary.decode(row.unsqueeze(0))[0], f"{beginning} |{whole.removeprefix(beginning)}", ""]
    return lines


def is_sentence_model(model: nn.Module) -> bool:
    """Returns whether a model draws sentences."""
    if isinstance(model, LanguageModel):
        return True
    return isinstance(model, ContinuousLatentModel) and isinstance(model.generate(1), Sentence)
