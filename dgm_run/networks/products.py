"""Matrix products in single precision, by the library that computes them fastest on this processor.

torch asks MKL for them, which has no kernels for AVX-512 on processors of AMD. oneDNN, which torch brings too, has: it
takes half of the time there.
"""

import platform
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

MIN_PRODUCTS = 4_000_000
"""Number of products of two elements from which the time saved exceeds that of a call."""


def _prefers_onednn() -> bool:
    """Returns whether this is a processor of AMD with AVX-512."""
    has_units = torch.backends.cpu.get_cpu_capability() == "AVX512"
    return has_units and torch.backends.mkldnn.is_available() and "AuthenticAMD" in _read_vendor()


def _read_vendor() -> str:
    """Reads the name of the processor's maker, as Linux or Windows states it."""
    cpuinfo = Path("/proc/cpuinfo")
    return cpuinfo.read_text()[:200] if cpuinfo.exists() else platform.processor()


PREFERS_ONEDNN = _prefers_onednn()


def multiply(x: Tensor, y: Tensor, bias: Tensor | None = None) -> Tensor:
    """Computes x y + bias: (*batch, N), (N, M), (M,) or (*batch, M) -> (*batch, M), with derivatives of any order.

    On a device other than the CPU, in another precision, under autocast, under transforms of `torch.func`, and in
    programs that leave this package, torch computes it.
    """
    if not _suits_onednn(x, y):
        return F.linear(x, y.T, bias)
    product = _Product.apply if torch.is_grad_enabled() else _run_onednn
    if bias is not None and bias.shape != y.shape[1:]:
        return multiply(x, y) + bias
    return product(x.flatten(0, -2), y, bias).view(*x.shape[:-1], y.shape[1])


def _suits_onednn(x: Tensor, y: Tensor) -> bool:
    return (
        PREFERS_ONEDNN
        and not torch.compiler.is_exporting()
        and x.device.type == "cpu"
        and x.dtype == y.dtype == torch.float32
        and x.dim() > 1
        and x.numel() * y.shape[1] >= MIN_PRODUCTS
        and not torch.is_autocast_enabled("cpu")
        and not torch._C._are_functorch_transforms_active()
    )


class _Product(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, y: Tensor, bias: Tensor | None) -> Tensor:
        ctx.save_for_backward(x, y)
        return _run_onednn(x, y, bias)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
        x, y = ctx.saved_tensors
        needs_x, needs_y, needs_bias = ctx.needs_input_grad
        return (
            multiply(grad, y.T) if needs_x else None,
            _multiply_in_layout(x.T, grad, y) if needs_y else None,
            grad.sum(0) if needs_bias else None,
        )


def _multiply_in_layout(x: Tensor, y: Tensor, like: Tensor) -> Tensor:
    """Computes x y by columns if `like` is stored by columns, as a layer's transposed weights are, else by rows."""
    return multiply(y.T, x.T).T if like.T.is_contiguous() else multiply(x, y)


def _run_onednn(x: Tensor, y: Tensor, bias: Tensor | None) -> Tensor:
    """Computes x y + bias for matrices; compiled code sees one operation, which it cannot look into."""
    run = torch.ops.dgm_run.multiply if torch.compiler.is_compiling() else _call_onednn
    return run(x, y, bias)


def _call_onednn(x: Tensor, y: Tensor, bias: Tensor | None) -> Tensor:
    # other layouts of y have no fast kernel, others of the bias would be read wrongly
    y = y if y.T.is_contiguous() else y.contiguous()
    bias = None if bias is None else bias.contiguous()
    x = x if _has_plain_layout(x) else x.contiguous()
    return torch.ops.mkldnn._linear_pointwise(x, y.T, bias, "none", [], "")


def _has_plain_layout(x: Tensor) -> bool:
    """Returns whether a matrix is stored by rows or by columns, with or without a gap between them."""
    rows, columns = x.stride()
    return (columns == 1 and rows >= x.shape[1]) or (rows == 1 and columns >= x.shape[0])


@torch.library.custom_op("dgm_run::multiply", mutates_args=())
def _multiply_in_compiled_code(x: Tensor, y: Tensor, bias: Tensor | None) -> Tensor:
    return _call_onednn(x, y, bias)


@_multiply_in_compiled_code.register_fake
def _(x: Tensor, y: Tensor, bias: Tensor | None) -> Tensor:
    return x.new_empty(x.shape[0], y.shape[1])
