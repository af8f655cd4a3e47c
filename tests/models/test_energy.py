import torch

from dgm_run.models.energy import as_images, column


def test_one_beta_for_each_row_multiplies_any_number_of_axes():
    beta = torch.tensor([1.0, 2.0])
    assert column(beta, 3).shape == (2, 1, 1)
    assert column(0.5, 3) == 0.5


def test_filters_are_grey_where_a_weight_is_zero():
    images = as_images(torch.tensor([[2.0, 0], [-2, 0], [0, 0], [1, 0]]), (1, 2, 2))
    torch.testing.assert_close(images[0].flatten(), torch.tensor([1.0, 0.0, 0.5, 0.75]))
    torch.testing.assert_close(images[1].flatten(), torch.full((4,), 0.5))
