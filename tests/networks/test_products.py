"""Products by oneDNN equal those in double precision, with their derivatives."""

import pytest
import torch

import dgm_run
from dgm_run.networks import products
from dgm_run.networks.linear import Linear
from dgm_run.networks.products import multiply
from tests.support.tiny import (
    SHORT,
    TINY,
    TINY_DENSITY,
    TINY_ENERGY,
    TINY_GAN,
    TINY_LABELLED,
    TINY_LAYERS,
    TINY_SENTENCE_VAE,
)

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
    arguments = [each.detach().requires_grad_() for each in (x, y, bias)]
    product = multiply(*arguments)
    first = torch.autograd.grad((product.sin() * product).mean(), arguments, create_graph=True)
    second = torch.autograd.grad(sum(each.square().sum() for each in first), arguments)
    return product, *first, *second


def lay_out(shape):
    """The layouts in which a matrix of this shape may be stored, with the same values."""
    rows, columns = shape
    wide, tall = torch.randn(rows, 2 * columns), torch.randn(2 * columns, rows)
    return {
        "rows": wide[:, :columns].clone(),
        "columns": tall[:columns].clone().T,
        "part of rows": wide[:, columns:],
        "part of columns": tall.T[:, :columns],
        "every other row": torch.randn(2 * rows, columns)[::2],
        "every other column": wide[:, ::2],
        "one row": torch.randn(1, columns).expand(shape),
        "one column": torch.randn(rows, 1).expand(shape),
        "windows": torch.randn(rows + columns).unfold(0, columns, 1)[:rows],
    }


LAYOUTS = list(lay_out((2, 2)))
BIASES = {
    "vector": lambda: torch.randn(3),
    "every other": lambda: torch.randn(6)[::2],
    "one number": lambda: torch.randn(1).expand(3),
    "a row each": lambda: torch.randn(7, 3),
    "a number": lambda: torch.randn(()),
    "a number in a vector": lambda: torch.randn(1),
}


@has_onednn
@pytest.mark.parametrize("of_y", LAYOUTS)
@pytest.mark.parametrize("of_x", LAYOUTS)
def test_onednn_multiplies_any_layout(onednn, monkeypatch, of_x, of_y):
    for bias in BIASES.values():
        arguments = lay_out((7, 5))[of_x], lay_out((5, 3))[of_y], bias()
        with torch.no_grad():
            plain = multiply(*arguments)
        found = with_derivatives(*arguments)
        assert onednn
        monkeypatch.setattr(products, "PREFERS_ONEDNN", False)
        expected = with_derivatives(*(each.double() for each in arguments))
        monkeypatch.setattr(products, "PREFERS_ONEDNN", True)
        for a, b in zip((plain, *found), (expected[0], *expected), strict=True):
            assert (a - b).abs().max() <= 1e-4 * b.abs().max() + 1e-6


@has_onednn
@pytest.mark.parametrize("shape", [(1, 5, 3), (7, 1, 3), (7, 5, 1), (1, 1, 1)])
def test_onednn_multiplies_single_rows_and_columns(onednn, shape):
    rows, inner, columns = shape
    x, y = torch.randn(rows, inner), torch.randn(inner, columns)
    assert torch.allclose(multiply(x, y), (x.double() @ y.double()).float(), atol=1e-5)
    assert torch.allclose(multiply(y.T, x.T), (x.double() @ y.double()).T.float(), atol=1e-5)
    assert len(onednn) == 2


@has_onednn
def test_samples_of_a_batch_are_rows(onednn):
    x, y = torch.randn(4, 7, 5), torch.randn(5, 3)
    assert torch.allclose(multiply(x, y), (x.double() @ y.double()).float(), atol=1e-5)
    assert torch.allclose(multiply(x, y, torch.ones(4, 7, 3)), (x.double() @ y.double() + 1).float(), atol=1e-5)
    assert onednn


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
def test_transforms_of_torch_func_multiply(onednn):
    x, y = torch.randn(7, 5), torch.randn(5, 3)
    assert torch.allclose(torch.func.vmap(lambda row: multiply(row.unsqueeze(0), y)[0])(x), x @ y, atol=1e-6)
    assert torch.allclose(torch.func.grad(lambda y: multiply(x, y).sum())(y), x.T @ torch.ones(7, 3), atol=1e-5)


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


FAMILIES = {
    "vae": TINY,
    "vampprior": (*TINY, "prior=vampprior", "prior.num_components=5"),
    "hvae": (*TINY, "model=hvae", "model.total_dim=4", "model.hidden_dims=[8]"),
    "conv": ("encoder=conv", "decoder=conv", "model.latent_dim=2", *SHORT),
    "gan": TINY_GAN,
    "density network": TINY_DENSITY,
    "m2": TINY_LABELLED,
    "sentences": TINY_SENTENCE_VAE,
    "rbm": TINY_ENERGY,
    "centred rbm": (*TINY_ENERGY, "objective=pcd", "objective.centering_rate=0.01"),
    "gaussian rbm": (*TINY_ENERGY, "model=gaussian_rbm", "dataset.binarize=none", "dataset.dequantize=true"),
    "subspace rbm": ("model=subspace_rbm", "model.num_gates=8", *SHORT),
    "boltzmann": ("model=boltzmann", *SHORT),
    "dbn": ("model=dbn", *TINY_LAYERS),
    "dbm": ("model=dbm", *TINY_LAYERS),
}


@has_onednn
@pytest.mark.slow
@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_multiplies_by_onednn(family, onednn, tmp_path):
    results = dgm_run.run(dgm_run.compose(*FAMILIES[family]), tmp_path)
    assert results["failed_estimators"] == {}
    assert onednn
