import pytest
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra._internal.utils import create_config_search_path
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from dgm_run.cli.search_space import parse_space
from dgm_run.config.hydra_compose import conf_dir
from dgm_run.errors import ConfigError


def parse(*overrides):
    return parse_space(overrides, ConfigLoaderImpl(config_search_path=create_config_search_path(str(conf_dir()))))


@pytest.mark.parametrize(
    ("value", "distribution"),
    [
        ("choice(20,40,80)", CategoricalDistribution(["20", "40", "80"])),
        ("20,40", CategoricalDistribution(["20", "40"])),
        ("[8],[8,16],null", CategoricalDistribution(["[8]", "[8,16]", "null"])),
        ("glob(vamp*)", CategoricalDistribution(["vampprior", "vampprior_data"])),
        ("range(1,10,3)", IntDistribution(1, 7, step=3)),
        ("range(3)", IntDistribution(0, 2)),
        ("range(5,0,-2)", IntDistribution(1, 5, step=2)),
        ("range(0.1,0.45,0.1)", FloatDistribution(0.1, 0.4, step=0.1)),
        ("tag(log,range(1,9))", IntDistribution(1, 8, log=True)),
        ("interval(2,5)", FloatDistribution(2.0, 5.0)),
        ("int(interval(2,5))", IntDistribution(2, 5)),
        ("interval(0.5,2)", FloatDistribution(0.5, 2.0)),
        ("float(interval(1,2))", FloatDistribution(1.0, 2.0)),
        ("tag(log,interval(1e-4,1e-2))", FloatDistribution(1e-4, 1e-2, log=True)),
        ("tag(log,int(interval(1,100)))", IntDistribution(1, 100, log=True)),
    ],
)
def test_syntax_of_hydra_gives_distributions(value, distribution):
    space = parse("seed=3", f"prior={value}")
    assert space.distributions == {"prior": distribution}
    assert space.fixed == ["seed=3"]


def test_values_of_a_range_are_those_of_a_sweep():
    (distribution,) = parse("x=range(0.1,0.75,0.05)").distributions.values()
    count = round((distribution.high - distribution.low) / distribution.step) + 1
    assert [round(distribution.low + i * distribution.step, 9) for i in range(count)] == [
        *(0.1, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.45, 0.5, 0.55, 0.6, 0.65, 0.7),
    ]


def test_shuffled_values_are_choices():
    assert set(parse("seed=shuffle(range(3))").distributions["seed"].choices) == {"0", "1", "2"}


def test_trial_has_fixed_and_chosen_values():
    space = parse("~prior", "+a='x y'", "+b=interval(0,1.0)", "seed=choice(1,2)")
    assert space.write_overrides({"+b": 1e-05, "seed": "2"}) == ["~prior", "+a='x y'", "+b=1e-05", "seed=2"]


def test_last_of_two_overrides_counts():
    assert parse("seed=choice(1,2)", "lr=interval(0,1)", "lr=0.5").fixed == ["lr=0.5"]


def test_examples_hold_every_choice():
    examples = parse("prior=choice(a,b,c)", "seed=1,2", "lr=interval(0.5,1)").make_examples()
    assert examples == [
        {"prior": "a", "seed": "1", "lr": 0.5},
        {"prior": "b", "seed": "2", "lr": 0.5},
        {"prior": "c", "seed": "1", "lr": 0.5},
    ]


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["seed=1"], "no key to choose: write KEY=choice"),
        (["lr=tag(log,interval(0,1))"], "lr=tag\\(log,interval\\(0,1\\)\\): "),
        (["lr=interval(2.0,1.0)"], "lr=interval"),
        (["seed=tag(log,range(1,9,2))"], "seed=tag"),
    ],
)
def test_impossible_spaces_are_refused(overrides, message):
    with pytest.raises(ConfigError, match=message) as refusal:
        parse(*overrides)
    assert "\n" not in str(refusal.value)
