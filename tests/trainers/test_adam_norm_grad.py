import pytest
import torch

from dgm_run.trainers.adam_norm_grad import AdamNormGrad

LR, BETAS, EPS = 0.1, (0.9, 0.99), 1e-8


def compute_reference(weight, gradients):
    """Weight after a step of AdamNormGrad for each gradient, by the equations."""
    m = v = torch.zeros_like(weight)
    for t, gradient in enumerate(gradients, 1):
        gradient = gradient / gradient.norm()
        m = BETAS[0] * m + (1 - BETAS[0]) * gradient
        v = BETAS[1] * v + (1 - BETAS[1]) * gradient**2
        weight = weight - LR * (m / (1 - BETAS[0] ** t)) / ((v / (1 - BETAS[1] ** t)).sqrt() + EPS)
    return weight


@pytest.mark.parametrize("fused", [True, False])
def test_it_adam_on_directions_of_gradients(fused):
    torch.manual_seed(0)
    shapes = [(3, 4), (5,)]
    start = [torch.randn(shape, dtype=torch.float64) for shape in shapes]
    gradients = [[torch.randn(shape, dtype=torch.float64) * 10**i for i in range(4)] for shape in shapes]
    parameters = [torch.nn.Parameter(each.clone()) for each in start]
    optimizer = AdamNormGrad(parameters, lr=LR, betas=BETAS, eps=EPS, fused=fused)
    for step in range(4):
        for parameter, of_it in zip(parameters, gradients, strict=True):
            parameter.grad = of_it[step].clone()
        optimizer.step()
    for parameter, first, of_it in zip(parameters, start, gradients, strict=True):
        torch.testing.assert_close(parameter.data, compute_reference(first, of_it), rtol=1e-6, atol=1e-6)


def test_scale_of_the_loss_is_ignored():
    ends = []
    for scale in (1.0, 1e4):
        weight, unused = torch.nn.Parameter(torch.tensor([1.0, -2.0])), torch.nn.Parameter(torch.ones(2))
        optimizer = AdamNormGrad([weight, unused], lr=LR)
        for _ in range(3):
            optimizer.zero_grad()
            (scale * weight.square().sum() + 0.0 * unused.sum()).backward()
            optimizer.step()
        ends.append(weight.data)
        assert torch.equal(unused.data, torch.ones(2))
    torch.testing.assert_close(*ends, rtol=1e-5, atol=1e-6)


def test_a_closure_is_asked_first():
    weight = torch.nn.Parameter(torch.tensor([3.0, 4.0]))
    optimizer = AdamNormGrad([weight], lr=LR)

    def closure():
        optimizer.zero_grad()
        loss = weight.square().sum()
        loss.backward()
        return loss

    assert optimizer.step(closure).item() == 25.0
    torch.testing.assert_close(weight.grad, torch.tensor([0.6, 0.8]))
