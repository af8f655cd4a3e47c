import torch

from dgm_run.models.energy import as_images, binary_states, column, flip_one, log_sum_over_states, mix

CPU = torch.device("cpu")


def test_binary_states_are_all_different_and_come_in_any_slice():
    every = binary_states(5, 0, 32, CPU)
    assert len(every.unique(dim=0)) == 32
    assert torch.equal(binary_states(5, 7, 20, CPU), every[7:20])


def test_a_sum_over_more_states_than_a_block_holds():
    b = torch.linspace(-1, 1, 15, dtype=torch.float64)
    found = log_sum_over_states(15, lambda states: states @ b, CPU)
    torch.testing.assert_close(found, torch.nn.functional.softplus(b).sum())


def test_a_mix_lies_between_its_ends_row_by_row():
    base, end = torch.zeros(3), torch.ones(2, 3)
    assert mix(base, end, 1.0) is end
    torch.testing.assert_close(mix(base, end, 0.25), torch.full((2, 3), 0.25))
    torch.testing.assert_close(mix(base, end, torch.tensor([0.0, 0.5])), torch.tensor([[0.0] * 3, [0.5] * 3]))


def test_one_beta_for_each_row_multiplies_any_number_of_axes():
    beta = torch.tensor([1.0, 2.0])
    assert column(beta, 3).shape == (2, 1, 1)
    assert column(0.5, 3) == 0.5


def test_filters_are_grey_where_a_weight_is_zero():
    images = as_images(torch.tensor([[2.0, 0], [-2, 0], [0, 0], [1, 0]]), (1, 2, 2))
    torch.testing.assert_close(images[0].flatten(), torch.tensor([1.0, 0.0, 0.5, 0.75]))
    torch.testing.assert_close(images[1].flatten(), torch.full((4,), 0.5))


def test_one_pixel_is_flipped_and_all_are_as_likely():
    x = torch.zeros(60_000, 2, 3)
    torch.manual_seed(0)
    flipped = flip_one(x)
    assert (flipped.flatten(1).sum(1) == 1).all()
    assert x.sum() == 0
    frequency = flipped.flatten(1).mean(0)
    assert ((frequency - 1 / 6).abs() < 5 * (5 / 36 / 60_000) ** 0.5).all()
