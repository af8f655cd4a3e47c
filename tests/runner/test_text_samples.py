import math

import numpy as np
import pytest
import torch

import dgm_run
from dgm_run.config.compose import compose, instantiate
from dgm_run.data.text import Sentences
from dgm_run.distributions.vocabulary import END, Vocabulary
from dgm_run.errors import CheckpointError
from dgm_run.estimators.likelihood.importance_sampling import ImportanceSampling
from dgm_run.runner.text_samples import complete_sentence, draw_text, is_sentence_model
from tests.distributions.test_sentence import finished_sentences, unfinished_sentences
from tests.support.tiny import SHORT, TINY_SENTENCE_VAE, TINY_SENTENCES, run_command

WORDS = Vocabulary(["a", "b"])


def vae(latent_dim=1, length=4):
    torch.manual_seed(0)
    parts = ("encoder", "decoder")
    sizes = [f"{part}.{size}" for part in parts for size in ("hidden_dim=5", "embed_dim=3")]
    data = ("dataset.vocab_size=6", f"dataset.shape=[{length}]")
    overrides = ("model=sentence_vae", f"model.latent_dim={latent_dim}", *data, *sizes)
    model = instantiate(compose(*overrides).model).eval()
    with torch.no_grad():
        for parameter in model.decoder.parameters():
            parameter.mul_(2.0)
    return model


@torch.no_grad()
def test_likelihood_matches_quadrature():
    model, rows = vae(), torch.tensor([*finished_sentences(4), *unfinished_sentences(4)]).float()
    grid = torch.linspace(-7, 7, 1401).unsqueeze(1)
    log_joint = model.decode(grid).log_prob(rows.unsqueeze(1)) + model.latent_prior().log_prob(grid)
    exact = log_joint.double().logsumexp(1) + math.log(14 / 1400)
    assert exact.exp().sum().item() == pytest.approx(1, abs=1e-4)
    torch.manual_seed(0)
    data = Sentences(rows.long(), WORDS)
    found = {e.quantity: e for e in ImportanceSampling(2000, 5000, "posterior", 0.1)(model, data)}
    assert found["log_likelihood"].value == pytest.approx(exact.mean().item(), abs=0.01)
    tokens = data.num_observed.double()
    assert found["perplexity"].value == pytest.approx(torch.exp(-exact.sum() / tokens.sum()).item(), rel=0.01)


def test_evaluation_uses_the_full_weight():
    model = vae()
    objective = instantiate(compose("model=sentence_vae", "objective.free_bits=0").objective)
    from dgm_run.objectives.base import Progress

    x = model.sample(20)
    losses = []
    for progress in (Progress(torch.tensor(0.0), {}), Progress(torch.tensor(99.0), {}), None):
        torch.manual_seed(0)
        loss, terms = objective(model, x, progress)
        losses.append(loss.item())
        assert terms["elbo"].item() == pytest.approx((terms["reconstruction"] - terms["kl"]).item())
    assert losses[0] != pytest.approx(losses[1])
    assert losses[1] == pytest.approx(losses[2]) == pytest.approx(-terms["elbo"].item())


@torch.no_grad()
def test_completion_keeps_the_beginning():
    model, prefix = vae(length=5), torch.tensor([[4.0, 5.0]])
    torch.manual_seed(0)
    ends = torch.cat([complete_sentence(model, prefix, 5) for _ in range(300)])
    assert (ends[:, :2] == prefix).all()
    # the codes are those of p(z | the beginning): the greedy ends at draws from it, by quadrature
    grid = torch.linspace(-7, 7, 1401).unsqueeze(1)
    begun = torch.tensor([[4.0, 5.0, 0.0, 0.0, 0.0]])
    weights = (model.decode(grid).log_prob(begun) + model.latent_prior().log_prob(grid)).softmax(0)
    greedy = model.decode(grid).greedy_search(prefix.expand(1401, -1))
    for end in greedy.unique(dim=0):
        expected = weights[(greedy == end).all(1)].sum().item()
        share = (ends == end).all(1).float().mean().item()
        assert share == pytest.approx(expected, abs=0.1)


def test_what_is_read_of_model_has_words():
    model = vae()
    torch.manual_seed(0)
    x = torch.tensor([[4.0, 5.0, END, 0.0], [5.0, END, 0.0, 0.0]])
    found = draw_text(model, x, WORDS, 3)
    assert set(found) == {"samples", "samples_beam", "samples_drawn", "reconstructions", "homotopies", "completions"}
    assert [len(found[name]) for name in ("samples", "samples_beam", "samples_drawn")] == [3, 3, 3]
    assert found["reconstructions"][0] == "a b"
    ways = found["homotopies"]
    assert len(ways) == 8
    with torch.no_grad():
        ends = WORDS.decode(model.decode(model.infer(x).mean).greedy_search())
    assert [ways[0], ways[6]] == ends
    assert found["completions"][0] == "a b"
    assert found["completions"][1].startswith("a |")
    assert is_sentence_model(model)
    assert not is_sentence_model(instantiate(compose("model=rbm").model))
    assert not is_sentence_model(instantiate(compose("model.latent_dim=2").model))


@pytest.mark.parametrize("model", ["sentence_vae", "language_model"])
def test_a_run_leaves_words_and_more_can_be_drawn(model, tmp_path):
    overrides = TINY_SENTENCE_VAE if model == "sentence_vae" else (f"model={model}", *TINY_SENTENCES)
    done = run_command("main", *overrides, "hydra.run.dir=run", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    folder = tmp_path / "run"
    assert "dog" in (folder / "vocabulary.txt").read_text().split()
    assert (folder / "samples_drawn" / "epoch_0001.txt").exists()
    for seed in (1, 1, 2):
        done = run_command("sample", "run", "n=5", f"seed={seed}", cwd=tmp_path)
        assert done.returncode == 0, done.stderr
    one, two = ((folder / "drawn" / f"seed_{seed}" / "samples_drawn.txt").read_text() for seed in (1, 2))
    assert len(one.splitlines()) == 5
    assert one != two
    assert dgm_run.load(folder).sample(3).shape == (3, 20)
    assert np.isfinite(dgm_run.load(folder).sample(3)).all()


@pytest.mark.parametrize("kind", ["stein", "operator"])
def test_implicit_posterior_draws_text(kind, tmp_path):
    posterior = {"stein": "stein_particles", "operator": "operator"}[kind]
    noise = ("posterior.noise_dim=4", "posterior.hidden_dim=8")
    overrides = (*TINY_SENTENCE_VAE, f"posterior={posterior}", f"objective={kind}", *noise)
    found = dgm_run.run(dgm_run.compose(*overrides), tmp_path)
    assert found["estimates"]
    assert (tmp_path / "completions" / "epoch_0001.txt").exists()


def test_changed_text_is_refused(tmp_path):
    text = tmp_path / "mine.txt"
    text.write_text("\n\n".join(f"Some words {i} are told here." for i in range(40)))
    source = ("dataset=text_file", f"dataset.source.path={text}", "dataset.source.num_valid=5")
    cfg = dgm_run.compose("model=language_model", *source, "dataset.source.num_test=5", *SHORT)
    dgm_run.run(cfg, tmp_path / "run")
    before = (tmp_path / "run" / "results.json").read_text()
    text.write_text(text.read_text() + "\n\nAnd one more sentence.")
    with pytest.raises(CheckpointError, match="text_file has changed since the run started: then none .*; now none"):
        dgm_run.evaluate(cfg, tmp_path / "run")
    cfg.trainer.resume, cfg.trainer.max_epochs = "auto", 2
    with pytest.raises(CheckpointError, match="text_file has changed since the run started"):
        dgm_run.run(cfg, tmp_path / "run")
    assert (tmp_path / "run" / "results.json").read_text() == before
