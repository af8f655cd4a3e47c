"""Batches that leave batch normalisation one value of a channel."""

import pytest
import torch

import dgm_run
from dgm_run.config.compose import instantiate
from dgm_run.errors import ConfigError
from dgm_run.trainers.batch_norm import count_smallest_part, find_near_batch_size, refuse_single_values
from tests.support.tiny import SHORT, TINY_GAN, TINY_LABELLED
from tests.support.workers import run_together

# 8 x 8 digits become 1 x 1 after three convolutions
ENCODER = ("encoder=conv", "encoder.batch_norm=true", "encoder.channels=[2,2,2]", "encoder.kernel_sizes=[3,3,3]",
           "encoder.strides=[2,2,2]")  # fmt: skip
DECODER = ("decoder=conv", "decoder.batch_norm=true", "decoder.base_channels=2", "decoder.channels=[2,2]",
           "decoder.kernel_sizes=[1,3]", "decoder.strides=[1,8]")  # fmt: skip
OTHERS = ("model.latent_dim=2", "estimators=[]", *SHORT)


def run(folder, *overrides):
    return dgm_run.run(dgm_run.compose(*overrides), folder)["training"]


@pytest.mark.parametrize("batch_size", [628, 1256, 1])
@pytest.mark.parametrize("part", ["encoder", "decoder"])
def test_an_example_left_alone_is_refused(part, batch_size, tmp_path):
    choice = {"encoder": ENCODER, "decoder": DECODER}[part]
    with pytest.raises(ConfigError) as error:
        run(tmp_path, *OTHERS, *choice, f"trainer.batch_size={batch_size}")
    size = {628: 627, 1256: 1255, 1: 3}[batch_size]
    assert str(error.value) == (
        f"trainer.batch_size={batch_size} leaves 1 of 1,257 examples in the last batch: the batch normalisation of "
        f"the {part} needs two or more: choose trainer.batch_size={size} or set {part}.batch_norm=false"
    )
    assert not (tmp_path / "checkpoints").exists()


def test_the_advised_batch_size_trains(tmp_path):
    assert run(tmp_path, *OTHERS, *ENCODER, "trainer.batch_size=627")["steps"] == 3


@pytest.mark.parametrize("batch_size", [628, 1256])
def test_larger_maps_train_with_one_example(batch_size, tmp_path):
    larger = (*ENCODER[:2], "encoder.channels=[2]", "encoder.kernel_sizes=[3]", "encoder.strides=[2]")
    assert run(tmp_path, *OTHERS, *larger, f"trainer.batch_size={batch_size}")["epochs"] == 1


def test_parts_of_one_example_are_refused(tmp_path):
    with pytest.raises(ConfigError, match=r"batch_size=5 with trainer.micro_batches=4 leaves 1 of .* part of a batch"):
        run(tmp_path, *OTHERS, *ENCODER, "trainer.batch_size=5", "trainer.micro_batches=4")


def test_parts_of_two_processes_are_refused(tmp_path):
    for error in run_together(run, tmp_path, *OTHERS, *ENCODER, "trainer.batch_size=628", "trainer.devices=2"):
        assert isinstance(error, ConfigError)
        assert "batch_size=628 with trainer.micro_batches=2 leaves 1 of 1,257 examples" in str(error)


def test_samples_of_one_example_are_enough(tmp_path):
    several = ("objective=iwae", "objective.num_samples=2", "trainer.batch_size=628")
    assert run(tmp_path, *OTHERS, *DECODER, *several)["steps"] == 3


@pytest.mark.parametrize("part", ["encoder", "decoder"])
def test_networks_of_a_gan_are_refused(part, tmp_path):
    choice = {"encoder": ENCODER, "decoder": DECODER}[part]
    gan = [option for option in TINY_GAN if not option.startswith("estimators")]
    with pytest.raises(ConfigError, match=f"batch normalisation of the {part} needs two or more"):
        run(tmp_path, *gan, *choice, "estimators=[]", "trainer.batch_size=628")


def test_the_first_part_of_m1_m2_is_refused(tmp_path):
    tiny = [option for option in TINY_LABELLED[1:] if not option.startswith(("estimators", "encoder"))]
    with pytest.raises(ConfigError, match="batch normalisation of the encoder needs two or more"):
        run(tmp_path, "model=m1_m2", *tiny, *ENCODER, "estimators=[]", "trainer.batch_size=628")


def test_a_labelled_example_alone_is_refused(tmp_path):
    tiny = [option for option in TINY_LABELLED[1:] if not option.startswith(("estimators", "encoder"))]
    with pytest.raises(ConfigError, match="encoder has one value of a channel, without a variance: set encoder"):
        run(tmp_path, "model=m2", *tiny, *ENCODER, "estimators=[]", "objective.labelled_batch_size=1")


def test_check_changes_nothing_of_model():
    model = instantiate(dgm_run.compose(*OTHERS, *ENCODER, *DECODER).model).train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    x = torch.rand(4, 1, 8, 8).round()
    modes = [part.training for part in model.modules()]
    refuse_single_values(model, lambda index: model.infer(x[index]), 4, 2, 1, torch.device("cpu"))
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert [part.training for part in model.modules()] == modes
    assert not any(part._forward_pre_hooks for part in model.modules())


def test_smallest_part_is_of_last_batch():
    for n in range(1, 30):
        for size in range(1, 30):
            for parts in range(1, size + 1):
                batches = torch.arange(n).split(size)
                least = min(len(part) or 1 for batch in batches for part in batch.tensor_split(parts))
                assert count_smallest_part(n, size, parts) == least
    assert find_near_batch_size(1257, 628, 1) == 627
    assert find_near_batch_size(3, 2, 1) == 3
    assert find_near_batch_size(1, 1, 1) is None
