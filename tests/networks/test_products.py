"""Products by oneDNN equal those in double precision, with their derivatives."""

import pytest
import torch

from dgm_run.networks import products
from dgm_run.networks.linear import Linear
from dgm_run.networks.products import multiply

has_onednn = pytest.mark.skipif(not torch.backends.mkldnn.is_available(), reason="torch has no oneDNN here")


@pytest.fixture
def onednn(monkeypatch):
    """Computes every product by oneDNN; returns the number of its calls so far."""
    calls = []
    run = products._call_onednn
    monkeypatch.setattr(products, "PREFERS_ONEDNN", True)
    monkeypatch.setattr(products, "MIN_PRODUCTS", 1)
    monkeypatch.setattr(products, "_call_onednn", lambda *arguments: calls.append(1) or run(*arguments))
    return calls


def with_derivatives(x, y, bias):
    """A product, its gradient, and the gradient of a function of that."""
    arguments = [x.requires_grad_(), y.requires_grad_(), bias.requires_grad_()]
    product = multiply(*arguments)
    first = torch.autograd.grad((product.sin() * product).mean(), arguments, create_graph=True)
    second = torch.autograd.grad(sum(each.square().sum() for each in first), arguments)
    return product, *first, *second


LAYOUTS = {
    "rows": (lambda: torch.randn(7, 5), lambda: torch.randn(5, 3)),
    "columns": (lambda: torch.randn(5, 7).T, lambda: torch.randn(3, 5).T),
    "gaps": (lambda: torch.randn(7, 10)[:, ::2], lambda: torch.randn(5, 6)[:, ::2]),
    "half of the columns": (lambda: torch.randn(7, 10)[:, :5], lambda: torch.randn(5, 6)[:, :3]),
    "one row for all": (lambda: torch.randn(1, 5).expand(7, 5), lambda: torch.randn(5, 1).expand(5, 3)),
    "samples of a batch": (lambda: torch.randn(4, 7, 5), lambda: torch.randn(5, 3)),
}


@has_onednn
@pytest.mark.parametrize("layout", LAYOUTS)
def test_onednn_multiplies_any_layout(onednn, layout):
    x, y = (make() for make in LAYOUTS[layout])
    bias = torch.randn(3)
    found = with_derivatives(x.detach(), y.detach(), bias)
    assert onednn
    products.PREFERS_ONEDNN = False
    expected = with_derivatives(x.detach().double(), y.detach().double(), bias.detach().double())
    for a, b in zip(found, expected, strict=True):
        assert torch.allclose(a.double(), b, rtol=1e-4, atol=1e-5)


@has_onednn
def test_layer_uses_onednn_with_and_without_gradient(onednn):
    layer, x = Linear(5, 3), torch.randn(7, 5)
    expected = torch.nn.functional.linear(x, layer.weight, layer.bias)
    assert torch.allclose(layer(x), expected, atol=1e-6)
    with torch.no_grad():
        assert torch.allclose(layer(x), expected, atol=1e-6)
    assert len(onednn) == 2


@has_onednn
@pytest.mark.parametrize("what", ["double", "vector", "autocast", "small"])
def test_torch_multiplies_what_onednn_does_not_suit(onednn, monkeypatch, what):
    x, y = torch.randn(7, 5), torch.randn(5, 3)
    if what == "double":
        x, y = x.double(), y.double()
    if what == "vector":
        x = x[0]
    if what == "small":
        monkeypatch.setattr(products, "MIN_PRODUCTS", 7 * 5 * 3 + 1)
    with torch.autocast("cpu", torch.bfloat16, enabled=what == "autocast"):
        product = multiply(x, y)
    assert product.dtype == (torch.bfloat16 if what == "autocast" else x.dtype)
    assert torch.allclose(product.to(x), x @ y, rtol=0.05, atol=0.05)
    assert not onednn


@has_onednn
@pytest.mark.slow
def test_compiled_product_equals_the_eager_one(onednn):
    x, y = torch.randn(7, 5, requires_grad=True), torch.randn(5, 3, requires_grad=True)

    def gradients(function):
        return torch.autograd.grad(function(x, y), (x, y))

    def loss(x, y):
        return multiply(x, y).relu().sum()

    for compiled, eager in zip(gradients(torch.compile(loss)), gradients(loss), strict=True):
        assert torch.allclose(compiled, eager, atol=1e-6)


@pytest.mark.parametrize(
    ("capability", "vendor", "expected"),
    [
        ("AVX512", "vendor_id : AuthenticAMD", True),
        ("AVX512", "vendor_id : GenuineIntel", False),
        ("AVX2", "vendor_id : AuthenticAMD", False),
        ("DEFAULT", "", False),
    ],
)
def test_amd_with_avx512_prefers_onednn(monkeypatch, capability, vendor, expected):
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: capability)
    monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: True)
    monkeypatch.setattr(products, "_read_vendor", lambda: vendor)
    assert products._prefers_onednn() is expected
