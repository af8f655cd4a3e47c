import torch

from dgm_run.posteriors.operator import TestFunction


def test_divergence_is_jacobian_trace():
    torch.manual_seed(0)
    f = TestFunction(3, 4, 6).double()
    for parameter in f.parameters():
        torch.nn.init.normal_(parameter, 0, 3.0)
    z, features = torch.randn(2, 5, 3).double(), torch.randn(5, 4).double()
    value, divergence = f(z, features)
    for s in range(2):
        for b in range(5):
            jacobian = torch.autograd.functional.jacobian(lambda z, b=b: f(z, features[b])[0], z[s, b])
            torch.testing.assert_close(divergence[s, b], jacobian.trace())
    assert (value.norm(dim=-1) <= 6**0.5).all()
