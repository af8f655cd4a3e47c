"""Features of images by a network of the user's own, in a file: TorchScript, or ONNX by onnxruntime.

A network maps images (N, C, H, W), floats in [0, 1], to features (N, D) or (N, D, 1, 1). It sees them in single
precision, `BATCH_SIZE` at a time. Its features are not standardised, so that distances compare with other programs.
"""

import hashlib
import warnings
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import torch
from torch import Tensor

from dgm_run.config.overrides import NETWORK_SUFFIXES
from dgm_run.data.dataset import LoadedDataset
from dgm_run.data.standardize import Standardization
from dgm_run.errors import ConfigError
from dgm_run.recording.image_grid import is_image

BATCH_SIZE = 50
"""Images at a time: a network may enlarge them."""
KEY = "estimators.sample_quality.features"
NUM_CHECKED = 1000
"""Number of training examples whose range is checked."""


class NetworkFile:
    """Network in a file, as a map of examples to features: (B, C, H, W) -> (B, D).

    The file is read by the first call, because reading it may run code.

    Args:
        path: path of the file.
        standardization: units of the examples; None for those of the data.

    Raises:
        ConfigError: the file or its output cannot be used; one line says why.
    """

    def __init__(self, path: str, standardization: Standardization | None = None):
        self.path = Path(path).expanduser()
        self.standardization = standardization
        self._network: Callable[[Tensor], Tensor] | None = None

    @torch.no_grad()
    def __call__(self, x: Tensor) -> Tensor:
        if self._network is None:
            self._network = self._load(x.device)
        if self.standardization:
            x = self.standardization.restore(x)
        x = x.float().clamp(0, 1)
        try:
            z = self._network(x)
        except Exception as error:  # of TorchScript or of onnxruntime, which share no base class
            raise self._refuse(f"fails on images {list(x.shape)}: {_last_line(error)}") from None
        return self._check(z, x)

    def _load(self, device: torch.device) -> Callable[[Tensor], Tensor]:
        if not self.path.is_file():
            raise ConfigError(f"{KEY}: there is no file {self.path}: give a network in TorchScript or ONNX")
        try:
            return (
                _load_onnx(self.path) if self.path.suffix.lower() == ".onnx" else _load_torchscript(self.path, device)
            )
        except ConfigError:
            raise
        except Exception as error:
            kind = "ONNX" if self.path.suffix.lower() == ".onnx" else "TorchScript, as torch.jit.save writes it"
            reason = _last_line(error).partition(". ")[0]
            raise self._refuse(f"is no network in {kind}: {reason}") from None

    def _check(self, z: object, x: Tensor) -> Tensor:
        """Returns features as (B, D); refuses any other output."""
        if not isinstance(z, Tensor):
            raise self._refuse(f"gives {type(z).__name__}: it must give one tensor, (N, D) or (N, D, 1, 1)")
        if z.shape[:1] != x.shape[:1] or z.dim() not in (2, 4) or z.shape[2:].numel() != 1 or not z.numel():
            raise self._refuse(
                f"gives features of shape {list(z.shape)} for {len(x)} images: it must give (N, D) or (N, D, 1, 1)"
            )
        if not bool(z.isfinite().all()):
            raise self._refuse("gives features that are not finite: it must take images in [0, 1]")
        return z.flatten(1).to(x.device)

    def _refuse(self, problem: str) -> ConfigError:
        return ConfigError(f"{KEY}: {self.path.name} {problem}")


def _load_torchscript(path: Path, device: torch.device) -> Callable[[Tensor], Tensor]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # torch advises torch.export to those who write such files
        return torch.jit.load(path, map_location=device).eval()


def _load_onnx(path: Path) -> Callable[[Tensor], Tensor]:
    """Loads a network for onnxruntime, which computes on the CPU."""
    if find_spec("onnxruntime") is None:
        raise ConfigError(f"{KEY}: {path.name} needs onnxruntime, which is not installed: pip install 'dgm-run[onnx]'")
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4  # its errors are raised as well
    options.intra_op_num_threads = torch.get_num_threads()
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name

    def run(x: Tensor) -> Tensor:
        return torch.from_numpy(session.run(None, {name: x.cpu().numpy()})[0])

    return run


def is_network_name(features: str) -> bool:
    """Returns whether the choice of features is the file of a network."""
    return features.lower().endswith(NETWORK_SUFFIXES)


def describe_network(path: str) -> dict[str, str]:
    """Returns name and MD5 of a file, in eight hexadecimal digits, for the settings of an estimate."""
    file = Path(path).expanduser()
    return {"features": file.name, "features_md5": hashlib.md5(file.read_bytes()).hexdigest()[:8]}


def check_network(path: str, data: LoadedDataset) -> None:
    """Refuses data that are no images in [0, 1], and a network that gives no features of them.

    Raises:
        ConfigError: one line that says why.
    """
    if not is_image(data.dataset.shape):
        raise ConfigError(f"{KEY}: {Path(path).name} takes images, and {data.dataset.name} holds none: choose pca")
    x = data.train.batch(slice(0, NUM_CHECKED))
    units = data.train.standardization
    values = units.restore(x) if units else x
    low = values.min().item()
    high = values.max().item()
    if low < 0 or high > 1:
        raise ConfigError(
            f"{KEY}: {Path(path).name} takes images in [0, 1], and {data.dataset.name} has values from {low:.3g} to "
            f"{high:.3g}: scale the data to [0, 1], or choose pca"
        )
    NetworkFile(path, units)(x[:2])


def _last_line(error: Exception) -> str:
    """Returns the line of an error that states the reason: TorchScript prints a traceback before it."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1] if lines else type(error).__name__
