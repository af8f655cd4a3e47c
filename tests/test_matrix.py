"""Matrix of choices, written by hand: which go together and which are refused; the code must agree on each pair."""

import itertools
import re
from copy import deepcopy
from functools import cache

import pytest

from dgm_run.config.compose import compose, instantiate
from dgm_run.config.hydra_compose import conf_dir
from dgm_run.config.signature import import_target
from dgm_run.config.validate import validate
from dgm_run.errors import ConfigError

EVERYWHERE = {"gaussian", "full_gaussian", "householder_flow", "linear_iaf", "nice_flow", "kumaraswamy"}
AT_SAMPLES = {"planar_flow", "radial_flow", "iaf", "sylvester_flow", "gaussian_process"}
NOWHERE = {"stein_particles", "operator"}
STANDALONE = {"standard", "mixture", "autoregressive", "stick_breaking"}
OF_POSTERIORS = {"vampprior", "vampprior_data"}
VAES = {"vae", "m1", "sentence_vae"}
LATENT = VAES | {"hvae", "dlgm"}
LABELLED = {"m2", "m1_m2"}
BINARY = {"boltzmann", "rbm", "subspace_rbm"}
ENERGY = BINARY | {"gaussian_rbm", "dbm"}
BOUNDS = {"elbo", "annealed_elbo", "iwae", "renyi"}
EXACT = {"factor_analysis", "ppca"}
WITHOUT_LATENT = {"autoregressive", "language_model"}
BY_CLASS = {"class_conditional_ppca", "class_conditional_factor_analysis"}
BY_PRIOR = {"density_network", "gan"}
WITHOUT_POSTERIOR = EXACT | BY_PRIOR
ADVERSARIAL = {"minimax", "non_saturating", "least_squares", "hinge", "wasserstein", "wasserstein_gp"}
CHAINS = {"cd", "pcd", "fast_pcd", "parallel_tempering"}
TAKES = {
    **dict.fromkeys(BOUNDS | {"stein", "operator"}, LATENT),
    "bag_of_words": VAES,
    **dict.fromkeys(CHAINS, ENERGY),
    **dict.fromkeys(("exact", "pseudo_likelihood"), BINARY),
    "up_down": {"dbn"},
    "log_likelihood": EXACT | WITHOUT_LATENT | BY_CLASS,
    "monte_carlo": BY_PRIOR,
    "semi_supervised": LABELLED,
    **{loss: {"gan"} for loss in ADVERSARIAL},
}
OBJECTIVES = {
    "elbo": "ELBO",
    "annealed_elbo": "ELBO",
    "iwae": "IWAE",
    "renyi": "Renyi",
    "stein": "Stein",
    "operator": "Operator",
}


def names(group):
    return {path.stem for path in (conf_dir() / group).glob("*.yaml")} - {"external"}  # whose kind the module gives


def refusal(**choices):
    """Returns the message that refuses these choices together, None for valid ones.

    It composes only the first choice anew, to save time.
    """
    (first, name), *others = choices.items()
    cfg = deepcopy(composed(f"{first}={name}"))
    for group, name in others:
        cfg[group] = composed(f"{group}={name}")[group]
    return refusal_of(cfg)


def refusal_of(cfg):
    try:
        validate(cfg)
        instantiate(cfg.model)
    except ConfigError as error:
        return str(error)
    return None


composed = cache(compose)


def every_pair(one, other, fits):
    """Returns all pairs; those that are not the first to fit, or not to fit, of a choice of either side are slow."""
    pairs = list(itertools.product(sorted(one), sorted(other)))
    first = {}
    for left, right in pairs:
        first.setdefault((left, None, fits(left, right)), (left, right))
        first.setdefault((None, right, fits(left, right)), (left, right))
    return [pytest.param(*pair, marks=() if pair in first.values() else pytest.mark.slow) for pair in pairs]


def test_the_lists_here_are_complete():
    assert names("posterior") == EVERYWHERE | AT_SAMPLES | NOWHERE
    assert STANDALONE | OF_POSTERIORS | {"objective"} == names("prior")
    assert LATENT | WITHOUT_POSTERIOR | WITHOUT_LATENT | BY_CLASS | LABELLED | ENERGY | {"dbn"} == names("model")
    assert set(TAKES) == names("objective")


@pytest.mark.parametrize(
    ("posterior", "prior"),
    every_pair(
        EVERYWHERE | AT_SAMPLES,
        names("prior"),
        lambda posterior, prior: not (prior in OF_POSTERIORS and posterior in AT_SAMPLES),
    ),
)
def test_mixtures_of_posteriors_need_a_density_everywhere(posterior, prior):
    message = refusal(posterior=posterior, prior=prior)
    if prior in OF_POSTERIORS and posterior in AT_SAMPLES:
        assert re.match(
            r"prior: VampPrior(Data)? needs posterior to be of kind EvaluablePosterior; .* is not: ", message
        )
        listed = re.search(r"posterior=([a-z_ |]+) or", message)[1]
        assert set(listed.split(" | ")) == EVERYWHERE
        assert set(message.rpartition("prior=")[2].split(" | ")) == STANDALONE | {"objective"}
    else:
        assert message is None


def has_fitting_posterior(posterior, objective):
    return posterior not in NOWHERE if objective in BOUNDS else objective != "operator" or posterior == "operator"


@pytest.mark.parametrize(
    ("posterior", "objective"),
    every_pair(names("posterior"), BOUNDS | {"stein", "operator"}, has_fitting_posterior),
)
def test_objectives_need_fitting_posteriors(posterior, objective):
    message = refusal(posterior=posterior, objective=objective)
    if objective in BOUNDS and posterior in NOWHERE:
        assert re.match(r"objective: \w+ needs posterior to be of kind ExplicitPosterior; .* is not: ", message)
        fitting = {"stein"} | ({"operator"} if posterior == "operator" else set())
        assert set(message.rpartition("objective=")[2].split(" | ")) == fitting
    elif objective == "operator" and posterior != "operator":
        assert "needs posterior to be of kind OperatorPosterior" in message
        assert "choose posterior=operator or objective=" in message
    else:
        assert message is None


def takes_prior(model, prior):
    return prior in STANDALONE or model in VAES or (model == "hvae" and prior != "objective")


@pytest.mark.parametrize(("model", "prior"), every_pair(LATENT | BY_PRIOR, names("prior"), takes_prior))
def test_some_models_take_some_priors(model, prior):
    message = refusal(model=model, prior=prior)
    if model in BY_PRIOR and prior in OF_POSTERIORS:
        assert re.match(r"prior: VampPrior(Data)? needs a posterior, and none is chosen", message)
    elif model in BY_PRIOR | {"dlgm"} and prior not in STANDALONE:
        assert message.endswith("choose prior=autoregressive | mixture | standard | stick_breaking")
    elif model == "hvae" and prior == "objective":
        assert message.endswith("choose model=vae, or another prior")
    else:
        assert message is None


@pytest.mark.parametrize(
    ("model", "posterior"),
    every_pair(LATENT, names("posterior"), lambda model, posterior: model in VAES or posterior not in NOWHERE),
)
def test_two_levels_need_a_density(model, posterior):
    objective = posterior if posterior == "operator" else "stein" if posterior in NOWHERE else "elbo"
    message = refusal(model=model, posterior=posterior, objective=objective)
    if model not in VAES and posterior in NOWHERE:
        assert re.match(
            rf"model: {model.upper()} needs posterior to be of kind ExplicitPosterior; .* is not: ", message
        )
    else:
        assert message is None


def test_an_objective_needs_a_kind_of_model():
    configs = {name: composed(f"model={name}") for name in names("model")}
    for objective, taken in TAKES.items():
        needs = import_target(composed(f"objective={objective}").objective, "objective").requires
        fitting = {
            name
            for name, cfg in configs.items()
            if issubclass(import_target(cfg.model, "model"), needs["model"])
            and ("posterior" not in needs or cfg.posterior is not None)
        }
        assert fitting == taken, objective


@pytest.mark.parametrize(
    ("model", "objective"), every_pair(names("model"), TAKES, lambda model, objective: model in TAKES[objective])
)
def test_an_objective_takes_its_models(model, objective):
    posterior = ("posterior=operator",) if model in LATENT and objective == "operator" else ()
    cfg = deepcopy(composed(f"model={model}", *posterior))
    cfg.objective = composed(f"objective={objective}").objective
    message = refusal_of(cfg)
    if model in WITHOUT_POSTERIOR and TAKES[objective] == LATENT:
        assert message == f"objective: {OBJECTIVES[objective]} needs a posterior, and none is chosen"
    elif model not in TAKES[objective]:
        assert re.match(r"objective: \w+ needs model to be of kind \w+; \w+ is not: choose model=", message)
        listed = re.search(r"model=([a-z0-9_ |]+?)( or|$)", message)[1]
        assert set(listed.split(" | ")) == TAKES[objective]
    elif (model, objective) == ("gan", "monte_carlo"):
        assert message.startswith("trainer: AdversarialTrainer needs objective to be of kind Adversarial;")
    elif objective == "bag_of_words" and model != "sentence_vae":
        assert message.startswith("objective: BagOfWords needs decoder to be of kind RNNDecoder; MLPDecoder is not")
    elif objective == "operator" and model not in VAES:
        assert "needs posterior to be of kind ExplicitPosterior" in message
    else:
        assert message is None
