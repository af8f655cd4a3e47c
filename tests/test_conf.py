"""YAML files of `conf/`: each composes, fits its target, builds, and trains a step."""

import inspect
import itertools
from functools import cache

import pytest
import yaml
from omegaconf import OmegaConf

import dgm_run
from dgm_run.config.hydra_compose import conf_dir
from dgm_run.config.leaves import iterate_leaves
from dgm_run.config.presets import read_presets
from dgm_run.config.schema import GROUPS, LIST_GROUPS
from dgm_run.config.signature import import_target
from dgm_run.config.validate import _drop_settings_of_unchosen, validate
from dgm_run.errors import ConfigError
from dgm_run.estimators.baselines.linear import LinearBaseline
from dgm_run.models.base import ExactModel
from dgm_run.models.energy.base import UnnormalizedModel
from dgm_run.models.labelled.base import JointModel
from dgm_run.models.latent.density_network import DensityNetwork
from dgm_run.models.latent.gan import GAN
from dgm_run.models.layered import LayeredModel
from dgm_run.models.linear.factor_analysis import EMModel
from tests.support.tables import draw_cells, write_csv
from tests.support.tiny import (
    FEW_TEMPERATURES,
    SHORT,
    TINY,
    TINY_DENSITY,
    TINY_ENERGY,
    TINY_EXACT,
    TINY_GAN,
    TINY_LABELLED,
    TINY_LAYERS,
    TINY_SENTENCE_VAE,
    TINY_SENTENCES,
)

OPTIONS = sorted(
    (path.parent.name, path.stem)
    for group in GROUPS
    for path in (conf_dir() / group).glob("*.yaml")
    if group != "dataset"
)
PARTS_OF_RUNS = [group for group in GROUPS if group not in ("dataset", "optimizer", "schedule", *LIST_GROUPS)]
DATASETS = sorted(path.stem for path in (conf_dir() / "dataset").glob("*.yaml"))
AUGMENTATIONS = sorted(path.stem for path in (conf_dir() / "dataset" / "augment").glob("*.yaml"))
CORRUPTIONS = sorted(path.stem for path in (conf_dir() / "dataset" / "corrupt").glob("*.yaml"))
EXPERIMENTS = sorted(
    str(path.relative_to(conf_dir() / "experiment").with_suffix(""))
    for path in (conf_dir() / "experiment").glob("*/*.yaml")
)
FIRST = {name.partition("/")[0]: name for name in reversed(EXPERIMENTS)}.values()  # of each paper
LISTED = {preset.name: preset for preset in read_presets(conf_dir() / "experiment")}

SMALL_NOISE = ("posterior.noise_dim=4", "posterior.hidden_dim=8")
NEEDS = {  # what a choice needs beside the defaults, and what makes its run short
    "gaussian likelihood": ("dataset.binarize=none", "dataset.dequantize=true"),
    "categorical likelihood": ("dataset.binarize=none",),
    **dict.fromkeys(("mixed likelihood", "table encoder"), ("dataset=wine", "trainer.batch_size=40")),
    "discretized_logistic likelihood": ("dataset.binarize=none",),
    "linear_with_momentum schedule": ("optimizer=sgd", "optimizer.lr=1e-4"),
    "sylvester_flow posterior": ("posterior.num_vectors=2",),
    "iaf posterior": ("posterior.hidden_dims=[8]",),
    "autoregressive prior": ("prior.hidden_dims=[8]",),
    "stein objective": ("posterior=stein_particles", *SMALL_NOISE),
    "operator objective": ("posterior=operator", *SMALL_NOISE, "posterior.test_dim=8"),
    "stein_particles posterior": ("objective=stein", *SMALL_NOISE),
    "operator posterior": ("objective=operator", *SMALL_NOISE, "posterior.test_dim=8"),
    "ais_decoder estimators": ("estimators.ais_decoder.num_temperatures=3", "estimators.ais_decoder.target_gap=null"),
    "ais_decoder_paper estimators": (
        "estimators.ais_decoder.num_temperatures=2",
        "estimators.ais_decoder.num_examples=5",
        "estimators.ais_decoder.num_simulated=5",
    ),
    "imputation estimators": tuple(
        f"estimators.imputation.{setting}"
        for setting in (
            "num_examples=10",
            "num_draws=2",
            "methods.pseudo_gibbs.num_steps=102",
            "methods.metropolis_within_gibbs.num_steps=102",
            "methods.importance_sampling.num_samples=50",
        )
    ),
    "classification estimators": ("estimators.classification.num_samples=2",),
    "out_of_distribution estimators": ("estimators.out_of_distribution.num_samples=2",),
    "sample_quality estimators": (
        "estimators.sample_quality.num_samples=100",
        "estimators.sample_quality.features=pixels",  # a classifier takes a second to train
    ),
    "modes estimators": ("dataset=gaussian_mixture", "dataset.source.num_train=1100", "likelihood=gaussian"),
    "parzen estimators": (
        *("likelihood=gaussian", "dataset.binarize=none", "dataset.dequantize=true"),
        *("estimators.parzen.num_samples=100", "estimators.parzen.num_valid=100"),
    ),
    **dict.fromkeys(
        ("prior_sampling estimators", "density_network model", "monte_carlo objective"),
        ("estimators.prior_sampling.num_samples=1000",),
    ),
    "hvae model": ("model.total_dim=4", "model.hidden_dims=[8]"),
    "bag_of_words objective": ("decoder.bag_of_words=true",),
    **dict.fromkeys(
        ("exact objective", "boltzmann model"),
        ("dataset=bars_and_stripes", "trainer.max_epochs=3"),
    ),
    "rbm model": ("dataset=bars_and_stripes", "trainer.max_epochs=3", "model.num_hidden=8"),
    "subspace_rbm model": ("dataset=bars_and_stripes", "trainer.max_epochs=3", "model.num_gates=3"),
    **dict.fromkeys(
        ("autoregressive model", "pixelcnn decoder", "gated_pixelcnn decoder"),
        ("decoder.network.channels=4", "decoder.network.num_layers=2"),
    ),
}
SAME_RUN = {  # as that of another choice, with which it comes
    **dict.fromkeys(
        [
            *(("estimators", "importance_sampling"), ("likelihood", "bernoulli"), ("objective", "elbo")),
            *(("optimizer", "adam"), ("posterior", "gaussian"), ("prior", "standard")),
            *(("schedule", "constant"), ("trainer", "gradient"), ("logger", "tensorboard")),
        ],
        ("model", "vae"),
    ),
    **dict.fromkeys([("decoder", "rnn"), ("encoder", "rnn")], ("model", "sentence_vae")),
    **dict.fromkeys([("objective", "up_down"), ("trainer", "layerwise")], ("model", "dbn")),
    **dict.fromkeys([("objective", "log_likelihood"), ("trainer", "em")], ("model", "factor_analysis")),
    ("estimators", "energy"): ("objective", "pcd"),
    ("estimators", "prior_sampling"): ("model", "density_network"),
    ("trainer", "stacked"): ("model", "m1_m2"),
    ("trainer", "adversarial"): ("objective", "non_saturating"),
    ("objective", "semi_supervised"): ("model", "m2"),
    ("posterior", "operator"): ("objective", "operator"),
    ("posterior", "stein_particles"): ("objective", "stein"),
}
TRAINED_ELSEWHERE = {  # by the tests of their modules
    *(("logger", "wandb"), ("logger", "mlflow"), ("logger", "trackio"), ("callbacks", "overfit")),
    *(("model", "external"), ("trainer", "none")),
}
TOGETHER = (  # choices that train in one run, and in a slow test each by itself
    "posterior=full_gaussian prior=vampprior optimizer=adam_norm_grad schedule=burda objective=annealed_elbo",
    "posterior=householder_flow prior=vampprior_data optimizer=adamax schedule=cosine objective=iwae",
    "posterior=kumaraswamy prior=stick_breaking optimizer=adamw schedule=linear objective=renyi",
    "posterior=linear_iaf prior=objective optimizer=rmsprop schedule=plateau",
    "posterior=nice_flow prior=mixture optimizer=sgd schedule=linear_with_momentum",
    "posterior=iaf prior=autoregressive likelihood=gaussian",
    "posterior=planar_flow likelihood=categorical",
    "posterior=radial_flow likelihood=discretized_logistic",
    "posterior=sylvester_flow encoder=conv decoder=conv",
    "posterior=gaussian_process encoder=dcgan decoder=dcgan",
    "encoder=resnet decoder=resnet",
    "encoder=table likelihood=mixed",
    "encoder=mlp decoder=pixelcnn",
    "decoder=gated_pixelcnn",
)
NOT_ALONE = {tuple(choice.split("=")) for run in TOGETHER for choice in run.split()}


@cache
def node_of(group, option):
    return dgm_run.compose(choose(group, option))[group]


def choose(group, option):
    """Returns the override that makes a choice."""
    return f"{group}=[{option}]" if group in LIST_GROUPS else f"{group}={option}"


def targets_of(group, option):
    """Returns the classes that a choice builds."""
    node = yaml.safe_load((conf_dir() / group / f"{option}.yaml").read_text())
    node = node.get(group, node)
    nodes = [node] if "_target_" in node else [each for each in node.values() if "_target_" in each]
    return [import_target(each, group) for each in nodes or node_of(group, option).values()]


def tiny_with(group, option):
    """Overrides that make a run with this choice tiny, a model that it goes with among them."""
    if option in ("m1_m2", "stacked"):
        return ("model=m1_m2", *TINY_LABELLED[1:], "trainer.pretraining.max_epochs=1")[group == "model" :]
    if option == "language_model":
        return TINY_SENTENCES
    if option.startswith("class_conditional"):
        return ("model.part.latent_dim=2", *SHORT)
    if option in ("rnn", "sentence_vae", "bag_of_words", "ngram_baseline"):
        tiny = [o for o in TINY_SENTENCE_VAE if group != "estimators" or not o.startswith("estimators")]
        return tuple(tiny[1:] if group == "model" else tiny)
    for target in targets_of(group, option):
        kind = target if group == "model" else getattr(target, "requires", {}).get("model", object)
        if issubclass(kind, LayeredModel):
            return TINY_LAYERS if group == "model" else ("model=dbn", *TINY_LAYERS)
        if issubclass(kind, (ExactModel, EMModel)) or target is LinearBaseline:
            return TINY_EXACT[1:] if group == "model" else TINY_EXACT
        if issubclass(kind, JointModel):
            tiny = [option for option in TINY_LABELLED if group != "estimators" or not option.startswith("estimators")]
            return tiny[1:] if group == "model" else tiny
        if issubclass(kind, GAN):
            if group in ("objective", "trainer"):  # estimators take most of the time
                return ("model=gan", *SHORT, "estimators=[]")
            return TINY_GAN[1:] if group == "model" else TINY_GAN
        if issubclass(kind, DensityNetwork):
            return TINY_DENSITY[1:] if group == "model" else TINY_DENSITY
        if issubclass(kind, UnnormalizedModel):
            return (*SHORT, *FEW_TEMPERATURES) if group == "model" else TINY_ENERGY
    dropped = {f"{group}.hidden_dims=[8]"}
    if group == "estimators" and option != "importance_sampling":
        dropped.add("estimators.importance_sampling.num_samples=2")
    return tuple(override for override in TINY if override not in dropped)


def compose_tiny(group, option):
    """Composes the tiny run of a choice."""
    return dgm_run.compose(*tiny_with(group, option), choose(group, option), *NEEDS.get(f"{option} {group}", ()))


@pytest.mark.slow
@pytest.mark.parametrize(("choice", "other"), SAME_RUN.items())
def test_choices_have_the_same_run(choice, other):
    assert compose_tiny(*choice) == compose_tiny(*other)


@pytest.mark.parametrize("run", TOGETHER)
def test_choices_train_together(run, tmp_path):
    choices = [choice.split("=") for choice in run.split()]
    tiny = set.intersection(*(set(tiny_with(*choice)) for choice in choices))
    needs = itertools.chain.from_iterable(NEEDS.get(f"{option} {group}", ()) for group, option in choices)
    results = dgm_run.run(dgm_run.compose(*sorted(tiny), *run.split(), *needs), tmp_path)
    assert results["training"]["steps"] == 3
    assert results["estimates"]


@pytest.mark.parametrize(
    ("group", "option"),
    [
        pytest.param(*each, marks=pytest.mark.slow if each in NOT_ALONE else ())
        for each in OPTIONS
        if each not in SAME_RUN and each not in TRAINED_ELSEWHERE
    ],
)
def test_every_choice_trains_a_step(group, option, tmp_path):
    cfg = compose_tiny(group, option)
    results = dgm_run.run(cfg, tmp_path / "run")
    steps = {"LayerwiseTrainer": 9, "EMTrainer": 1, "GradientTrainer": 3, "AdversarialTrainer": 3}
    expected = 6 if option in ("m1_m2", "stacked") else steps[cfg.trainer._target_.rpartition(".")[2]]
    assert results["training"]["steps"] == expected
    assert (tmp_path / "run" / "results.json").exists()


@pytest.mark.parametrize("name", [option for group, option in OPTIONS if group == "estimators"])
def test_every_estimator_has_a_seed_and_repeats(name):
    for node in dgm_run.compose(f"estimators=[{name}]").estimators.values():
        assert (node.seed, node.repeats) == (0, 1)


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_every_corruption_trains_a_step(name, tmp_path):
    real = ("likelihood=gaussian", "dataset.binarize=none", "dataset.dequantize=true")
    needs = real if name in ("gaussian_noise", "salt_and_pepper") else ()
    results = dgm_run.run(dgm_run.compose(*TINY, *needs, f"dataset/corrupt={name}"), tmp_path)
    assert f"seen through {name.replace('_', ' ')} (" in results["preprocessing"]


@pytest.mark.parametrize("name", AUGMENTATIONS)
def test_every_augmentation_trains_a_step(name, tmp_path):
    results = dgm_run.run(dgm_run.compose(*TINY, f"dataset/augment=[{name}]"), tmp_path)
    assert f"; training images augmented by {name} (" in results["preprocessing"]


@pytest.mark.parametrize("name", DATASETS)
def test_every_data_set_composes_and_fits_its_target(name, tmp_path):
    path = ("dataset.source.path=x",) if name in ("arrays", "image_folder", "text_file") else ()
    if name == "table":
        write_csv(tmp_path / "x.csv", draw_cells(30))
        path = (f"dataset.source.path={tmp_path / 'x.csv'}",)
    validate(dgm_run.compose(f"dataset={name}", "data_dir=nowhere", *path))


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=() if name in FIRST else pytest.mark.slow) for name in EXPERIMENTS]
)
def test_experiments_name_command_and_number(name):
    lines = (conf_dir() / "experiment" / f"{name}.yaml").read_text().splitlines()
    assert lines[0] == "# @package _global_"
    assert lines[1] == f"# dgm-run +experiment={name}"
    cfg = dgm_run.compose(f"+experiment={name}", "data_dir=nowhere")
    validate(cfg)
    values = cfg.published["values"].values()  # `.values` is the method of every mapping
    assert values
    assert all(isinstance(value, float) for value in values)
    assert "http" in cfg.published.source
    listed = LISTED[name]
    assert (listed.kind, listed.values, listed.source, listed.hours) == (
        *(cfg.published.kind, cfg.published["values"], cfg.published.source),
        cfg.published.get("hours"),
    )
    assert listed.epochs in (None, cfg.trainer.max_epochs)
    assert all("_target_" in node for node in (cfg.estimators or {}).values()), (
        "it sets an estimator that is not chosen"
    )


def test_every_argument_of_a_target_stands_in_its_file():
    # a knob that is not in the YAML cannot be found, and a default would stand in two places
    options = [[each for each in OPTIONS if each[0] == group] for group in PARTS_OF_RUNS]
    for some in itertools.zip_longest(*options):  # one of each group at a time: composing is slow
        chosen = [each for each in some if each]
        cfg = dgm_run.compose(*(f"{group}={option}" for group, option in chosen))
        _drop_settings_of_unchosen(cfg)
        for group, option in chosen:
            arguments = set(inspect.signature(import_target(cfg[group], group)).parameters)
            assert arguments == set(cfg[group]) - {"_target_", "_partial_"}, f"{group}/{option}.yaml"


MODELS = sorted(path.stem for path in (conf_dir() / "model").glob("*.yaml") if path.stem != "external")
COUNTS = ("num_samples", "num_examples", "num_temperatures", "num_steps", "num_draws", "num_chains", "max_steps")


@pytest.mark.parametrize("debug", ["fast", "overfit"])
@pytest.mark.parametrize(
    "model", [pytest.param(model, marks=() if model in ("vae", "dbm") else pytest.mark.slow) for model in MODELS]
)
def test_every_model_can_be_debugged(model, debug):
    cfg = dgm_run.compose(f"model={model}", f"+debug={debug}")
    validate(cfg)
    assert cfg.trainer.patience is None
    assert cfg.trainer.max_steps == (3 if debug == "fast" else None)


@pytest.mark.parametrize("name", [option for group, option in OPTIONS if group == "estimators"])
def test_every_estimator_is_fast_in_debugging(name):
    cfg = dgm_run.compose(f"estimators=[{name}]", "+debug=fast")
    chosen = set(cfg.estimators)
    _drop_settings_of_unchosen(cfg)
    assert set(cfg.estimators) < chosen
    leaves = dict(iterate_leaves(OmegaConf.to_container(cfg.estimators)))
    assert len({key.partition(".")[0] for key in leaves}) == 1
    counts = {key: value for key, value in leaves.items() if key.rpartition(".")[2] in COUNTS}
    assert all(value <= 1000 for value in counts.values()), counts


def test_an_unknown_choice_is_refused_with_the_available_ones():
    with pytest.raises(Exception, match="vampprior"):
        dgm_run.compose("prior=vampprio")


def test_a_misspelt_top_level_key_is_refused():
    with pytest.raises(ConfigError, match=r"^modle: there is no such key: did you mean model\?"):
        dgm_run.compose("modle=vae")
