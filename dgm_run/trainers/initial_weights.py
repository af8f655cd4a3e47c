"""Initial weights from another run, or from a file."""

import hashlib
from collections.abc import Sequence
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from dgm_run.errors import ConfigError
from dgm_run.recording.checkpoint import Checkpoints

NUM_NAMED = 5
"""Largest number of tensors that a message names."""


def load_initial_weights(model: nn.Module, source: str, parts: Sequence[str] | None) -> str:
    """Copies weights into a model, and returns a digest of the copied tensors.

    Args:
        model: the model.
        source: folder of a run, whose best checkpoint is taken, or a file in the format of safetensors.
        parts: names of the parts to copy, as `encoder`; None for the whole model.

    Raises:
        ConfigError: there are no such weights, or they do not fit; one line names the tensors.
    """
    given = {name: value for name, value in _read(Path(source).expanduser()).items() if _is_in(name, parts)}
    own = {name: value for name, value in model.state_dict().items() if _is_in(name, parts)}
    _refuse_unknown_parts(model, parts)
    problems = {
        "lacks": [name for name in own if name not in given],
        "has also": [name for name in given if name not in own],
        "has other sizes of": [name for name in own if name in given and own[name].shape != given[name].shape],
    }
    found = "; ".join(f"{verb} {_list(names)}" for verb, names in problems.items() if names)
    if found:
        choose = "choose parts that fit by trainer.init_parts" if parts is None else "leave the part out of it"
        raise ConfigError(f"trainer.init_from: {source} {found}: {choose}")
    with torch.no_grad():
        for name, value in own.items():
            value.copy_(given[name])
            if not bool(value.isfinite().all()):
                raise ConfigError(f"trainer.init_from: {source} has values of {name} that are not finite")
    return _digest({name: given[name] for name in own})


def _read(path: Path) -> dict[str, Tensor]:
    if path.is_dir():
        checkpoints = Checkpoints(path / "checkpoints")
        return checkpoints.load("best" if checkpoints.exists("best") else "last")[0]
    if not path.is_file():
        raise ConfigError(f"trainer.init_from: {path}: there is no such run folder or file")
    try:
        return load_file(path)
    except (SafetensorError, OSError) as error:
        reason = str(error).splitlines()[0]
        raise ConfigError(f"trainer.init_from: {path} is no file of safetensors ({reason})") from None


def _is_in(name: str, parts: Sequence[str] | None) -> bool:
    return parts is None or any(name == part or name.startswith(f"{part}.") for part in parts)


def _refuse_unknown_parts(model: nn.Module, parts: Sequence[str] | None) -> None:
    for part in parts or ():
        if not any(_is_in(name, [part]) for name in model.state_dict()):
            known = ", ".join(dict.fromkeys(name.partition(".")[0] for name in model.state_dict()))
            raise ConfigError(f"trainer.init_parts: the model has no part {part}: choose from {known}")


def _list(names: Sequence[str]) -> str:
    more = f" and {len(names) - NUM_NAMED} more" if len(names) > NUM_NAMED else ""
    return ", ".join(names[:NUM_NAMED]) + more


def _digest(weights: dict[str, Tensor]) -> str:
    md5 = hashlib.md5()
    for name, value in sorted(weights.items()):
        md5.update(f"{name} {tuple(value.shape)} {value.dtype}".encode())
        md5.update(value.contiguous().flatten().view(torch.uint8).numpy().tobytes())
    return md5.hexdigest()[:8]
