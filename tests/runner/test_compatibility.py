import math

import pytest
import torch
from torch import nn

import dgm_run
from dgm_run.config.compose import instantiate
from dgm_run.data.data_split import DataSplit, to_float
from dgm_run.data.dataset import LoadedDataset
from dgm_run.errors import CheckpointError, ConfigError
from dgm_run.runner.compatibility import refuse_other_data, refuse_values_outside_unit_interval
from tests.support.tiny import TINY, TINY_EXACT


class SquashedMean(nn.Module):
    squash = True


class RealValues:
    name = "any"
    num_levels = None


MISSING = "dataset/corrupt=missing_half"


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (
            (*TINY, "dataset.binarize=none"),
            "BernoulliLikelihood takes binary data, and dataset.binarize=none gives levels: set "
            "dataset.binarize=dynamic, or choose likelihood=discretized_logistic",
        ),
        (
            (*TINY, "likelihood=discretized_logistic"),
            "takes levels data, and dataset.binarize=dynamic gives binary: set dataset.binarize=none "
            "dataset.dequantize=false, or choose likelihood=bernoulli",
        ),
        (
            (*TINY, "dataset=laplace_sources"),
            "BernoulliLikelihood takes binary data, and those of laplace_sources are real: choose likelihood=gaussian; "
            "for grey levels set dataset.num_levels=256 dataset.binarize=dynamic (integers 0 to 255",
        ),
        (
            (*TINY, "dataset=gaussian_mixture", "likelihood=gaussian", "likelihood.squash=true"),
            "likelihood.squash: means lie in [0, 1], and gaussian_mixture has values from -4.1",
        ),
        ((*TINY, "dataset=pcfg"), "takes no sentences, which pcfg holds: choose model=sentence_vae or language_model"),
        (
            (*TINY, "estimators=[importance_sampling,ngram_baseline]"),
            "NgramBaseline takes sentences, and digits holds none: choose dataset=pydoc, text_file, ptb or pcfg",
        ),
        (
            (*TINY_EXACT, MISSING),
            "trainer: EMTrainer needs complete data: choose trainer=gradient",
        ),
        (
            (*TINY_EXACT, "dataset/augment=[flip]"),
            "dataset/augment: EMTrainer takes the training examples as they are: drop it, or choose trainer=gradient",
        ),
    ],
)
def test_incompatible_parts_are_refused_with_what_to_choose(overrides, message, tmp_path):
    with pytest.raises(ConfigError) as refused:
        dgm_run.run(dgm_run.compose(*overrides), tmp_path)
    assert message in str(refused.value)


def test_a_run_goes_on_with_the_data_it_began_with():
    digits = instantiate(dgm_run.compose(*TINY).dataset)
    refuse_other_data(digits.protocol, digits)
    with pytest.raises(CheckpointError, match=r"digits has changed since the run started: then fixed; now dynamic"):
        refuse_other_data("fixed", digits)


@pytest.mark.parametrize(("low", "high"), [(-0.25, 0.5), (0.0, 1.25)])
def test_squashed_means_need_unit_interval(low, high):
    def refuse(values):
        values = torch.tensor(values).view(-1, 1)
        data = LoadedDataset(RealValues(), *[DataSplit(values, None, to_float)] * 3)
        refuse_values_outside_unit_interval(SquashedMean(), data)

    refuse([0.0, 1.0, math.nan])
    with pytest.raises(ConfigError, match=f"any has values from {low:.3g} to {high:.3g}: set likelihood.squash=false"):
        refuse([low, math.nan, high])
