import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
from omegaconf import OmegaConf
from torch import nn

import dgm_run
from dgm_run.config.compose import instantiate
from dgm_run.config.validate import validate
from dgm_run.errors import ConfigError
from dgm_run.objectives.base import Objective


class EnergyModel(nn.Module):
    """Stands in for a kind of model that a VAE is not."""


class RBM(EnergyModel):
    def __init__(self, num_hidden: int):
        super().__init__()


@dataclass(frozen=True)
class ContrastiveDivergence(Objective):
    num_steps: int
    requires = {"model": EnergyModel}

    def __call__(self, model, x, epoch=None):
        raise NotImplementedError


class TwoEncoders(nn.Module):
    def __init__(self, first: nn.Module, second: nn.Module):
        super().__init__()


@pytest.fixture(autouse=True)
def importable(monkeypatch):
    monkeypatch.syspath_prepend(str(Path(__file__).parent))
    yield
    sys.modules.pop("test_compose", None)


def with_node(key, node, *overrides):
    cfg = dgm_run.compose(*overrides)
    OmegaConf.set_struct(cfg, False)
    cfg[key] = node
    return cfg


def refusal(cfg):
    with pytest.raises(ConfigError) as refused:
        validate(cfg)
    return str(refused.value)


def test_the_default_configuration_is_valid():
    validate(dgm_run.compose())


def test_objective_of_other_model_is_refused():
    cfg = with_node("objective", {"_target_": "test_compose.ContrastiveDivergence", "num_steps": 1})
    assert (
        refusal(cfg) == "objective: ContrastiveDivergence needs model to be of kind EnergyModel; VAE is not: "
        "choose objective=annealed_elbo | elbo | iwae | renyi | stein"
    )


def test_a_part_that_the_model_does_not_take_is_refused():
    rbm = {"_target_": "test_compose.RBM", "num_hidden": 3}
    cfg = with_node("model", rbm, "prior=vampprior", "~posterior", "~encoder", "~decoder", "~likelihood")
    assert refusal(cfg) == "RBM takes no prior: drop prior=..."


def test_a_prior_that_needs_a_posterior_is_refused_without_one():
    network = {
        "_target_": "dgm_run.models.latent.vae.VAE",
        "latent_dim": 2,
        "prior": "${prior}",
        "decoder": "${decoder}",
    }
    cfg = with_node("model", network, "prior=vampprior", "~posterior", "~encoder")
    cfg.model["posterior"] = None
    assert refusal(cfg) == "prior: VampPrior needs a posterior, and none is chosen"


def test_a_missing_part_is_named():
    assert refusal(dgm_run.compose("~prior")) == "VAE needs a prior, and none is chosen: add prior=..."


def test_part_used_twice_is_refused():
    node = {"_target_": "test_compose.TwoEncoders", "first": "${encoder}", "second": "${encoder}", "latent_dim": 2}
    cfg = with_node("model", node, "~prior", "~posterior", "~decoder", "~likelihood")
    assert refusal(cfg) == "encoder: TwoEncoders refers to it 2 times, which builds 2 copies: refer to it once"


def test_value_error_names_the_node():
    with pytest.raises(ConfigError, match=r"^objective: alpha = 1 is the ELBO: use objective=elbo$"):
        instantiate(dgm_run.compose("objective=renyi", "objective.alpha=1").objective)


def test_other_errors_are_one_line():
    node = {"model": {"_target_": "dgm_run.models.latent.vae.VAE", "latent_dim": 2}}
    with pytest.raises(ConfigError, match=r"^model: cannot be built \(TypeError: .*missing 3 required.*\)$") as error:
        instantiate(node)
    assert isinstance(error.value.__cause__, TypeError)  # HYDRA_FULL_ERROR=1 shows it


def test_what_does_not_fit_is_answered_with_what_does():
    said = refusal(dgm_run.compose("prior=vampprior", "posterior=planar_flow"))
    assert said.startswith(
        "prior: VampPrior needs posterior to be of kind EvaluablePosterior; PlanarFlowPosterior is not"
    )
    assert ": choose posterior=full_gaussian | gaussian | householder_flow" in said


def test_a_model_may_build_a_part_as_often_as_it_says():
    validate(dgm_run.compose("model=hvae"))
    cfg = dgm_run.compose("model=hvae")
    cfg.model.decoder = {"_target_": "dgm_run.decoders.mlp.MLPDecoder", "likelihood": "${encoder}"}
    assert "encoder: HVAE refers to it 3 times" in refusal(cfg)


def test_settings_of_unchosen_are_dropped():
    cfg = dgm_run.compose("+experiment=wu_2017/mnist_gan10", "estimators=[prior_sampling]", "data_dir=nowhere")
    assert "ais_decoder" in cfg.estimators  # with the noise that the model's YAML sets, and no more
    validate(cfg)
    assert set(cfg.estimators) == {"prior_sampling", "linear_baseline"}
    cfg = dgm_run.compose("+estimators.prior_samplng.num_samples=3")
    with pytest.raises(ConfigError, match="estimators.prior_samplng: has no _target_"):
        validate(cfg)
    cfg = dgm_run.compose("model=gan", "estimators.sample_quality=null")
    validate(cfg)
    assert set(cfg.estimators) == {"ais_decoder", "linear_baseline"}
    with pytest.raises(ConfigError, match="estimators.foo: has no _target_"):
        validate(dgm_run.compose("+estimators.foo=3"))
    cfg = dgm_run.compose("dataset/augment=[flip]", "+dataset.augment.shift.max_shift=3")
    validate(cfg)
    assert set(cfg.dataset.augment) == {"flip"}


@pytest.mark.parametrize(
    ("override", "told"),
    [
        ("seed=3", ""),
        ("dataset.label_seed=3", ""),
        ("trainer.threads=1", ""),
        ("dataset.source.download=false", ""),
        ("trainer.max_epochs=2", "; changed: trainer.max_epochs=2"),
        ("prior=vampprior", "; changed: prior=vampprior"),
        ("dataset=digits", None),
        ("dataset/corrupt=bit_flip", None),
    ],
)
def test_published_source_names_changes(override, told):
    published = dgm_run.compose("+experiment=kingma_2014/mnist_m2_100").published
    changed = dgm_run.compose("+experiment=kingma_2014/mnist_m2_100", override).published
    assert changed == (None if told is None else {**published, "source": published.source + told})


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("model=vea", r"^model=vea: there is no such choice: did you mean model=vae\?"),
        ("optimizer.lrr=1", r"^optimizer\.lrr: there is no such key: did you mean optimizer\.lr\?"),
        ("vae", r"^vae: write model=vae$"),
    ],
)
def test_a_wrong_override_is_one_line(override, message):
    with pytest.raises(ConfigError, match=message) as refused:
        dgm_run.compose(override)
    assert "\n" not in str(refused.value)
