"""The road of a run: config -> data -> model and objective -> trainer -> estimators -> results."""

import math
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from omegaconf import DictConfig, OmegaConf
from torch import Tensor, nn

from dgm_run import parallel, results, rng, run_folder
from dgm_run.checkpoint import Checkpoints
from dgm_run.config import OF_THE_MACHINE, instantiate, validate
from dgm_run.data.dataset import Dataset, LoadedDataset
from dgm_run.data.text import Sentences, TextDataset
from dgm_run.errors import CheckpointError, ConfigError, TrainingError
from dgm_run.estimators.base import Estimator
from dgm_run.gallery import Gallery
from dgm_run.images import grid, is_image, save_png
from dgm_run.log import RunLog
from dgm_run.models.base import ExactModel
from dgm_run.models.corrupted import corrupted
from dgm_run.priors.base import Prior
from dgm_run.progress import Terminal, duration, readable
from dgm_run.run_folder import VOCABULARY
from dgm_run.signals import Interrupted, StopRequest, stop_requests
from dgm_run.trainers.base import Session, TrainingSummary
from dgm_run.trainers.initialize import initialize
from dgm_run.trainers.rivals import Rivals
from dgm_run.way import key

ALL_THREADS = torch.get_num_threads()
PRODUCTS_PER_THREAD = 64_000_000
"""Products of a weight and an example in a step that keep a thread of the CPU busy."""


def run(
    cfg: DictConfig, run_dir: str | os.PathLike, command: str = "the same with trainer.resume=auto"
) -> dict[str, Any]:
    """Trains and evaluates what `cfg` describes, and leaves everything in `run_dir`.

    Args:
        cfg: from `compose` or the command line.
        run_dir: the run's folder; locked while the run lasts.
        command: how to go on with it, for the hint when it is stopped.

    Returns:
        The contents of results.json.

    Raises:
        UserError: the configuration, the data or a checkpoint cannot be used; one line says why.
        Interrupted: a signal stopped the run after its checkpoint was written.
    """
    validate(cfg)
    if _starts_others(cfg):
        return _relaunched(cfg, run_dir, command)
    try:
        with _at_work(cfg, Path(run_dir)) as (display, stop):
            return _run(cfg, Path(run_dir), display, stop)
    except Interrupted as stopped:
        hint = f"{stopped.message}; to go on: {command}"
        raise Interrupted(stopped.signum, hint) from None


def evaluate(cfg: DictConfig, run_dir: str | os.PathLike) -> dict[str, Any]:
    """Evaluates a finished run again with the estimators of `cfg`, and adds what they find to its results.json.

    Args:
        cfg: that of the run, but for what a resumed run may change as well, the estimators among it.
        run_dir: its folder; locked meanwhile.

    Returns:
        The contents of results.json: of two estimates by the same estimator with the same settings the new one.

    Raises:
        UserError: the folder holds no finished run, or one of another configuration; one line says why.
        Interrupted: a signal stopped it; results.json is as it was.
    """
    validate(cfg)
    if _starts_others(cfg):
        from dgm_run.launch import together

        return together(cfg.trainer.devices, _evaluate_of, OmegaConf.to_yaml(cfg), os.fspath(run_dir))
    with _at_work(cfg, Path(run_dir)) as (display, stop):
        return _evaluate_again(cfg, Path(run_dir), display, stop)


def _starts_others(cfg: DictConfig) -> bool:
    return cfg.trainer.devices > 1 and not parallel.is_started()


def _relaunched(cfg: DictConfig, run_dir: str | os.PathLike, command: str) -> dict[str, Any]:
    """A run by several processes; where one dies, all go on from the last checkpoint."""
    from dgm_run.launch import RELAUNCHES, Died, together  # its import takes a second

    for tries_left in range(RELAUNCHES, -1, -1):
        try:
            return together(cfg.trainer.devices, _run_of, OmegaConf.to_yaml(cfg), os.fspath(run_dir), command)
        except Interrupted as stopped:
            if "to go on: " in stopped.message:
                raise
            raise Interrupted(stopped.signum, f"{stopped.message}; to go on: {command}") from None
        except Died as death:
            if not tries_left:
                raise TrainingError(f"{death}, after {RELAUNCHES} other tries; to go on: {command}") from None
            Terminal().say(f"{death}: all go on from the last checkpoint ({tries_left} tries left)")
        cfg = OmegaConf.merge(cfg, {"trainer": {"resume": "auto"}})
    raise AssertionError("the last try returns or raises")


def _run_of(text: str, run_dir: str, command: str) -> dict[str, Any]:
    """`run` of a configuration as text."""
    return run(OmegaConf.create(text), run_dir, command)


def _evaluate_of(text: str, run_dir: str) -> dict[str, Any]:
    """`evaluate` of a configuration as text."""
    return evaluate(OmegaConf.create(text), run_dir)


@contextmanager
def _at_work(cfg: DictConfig, folder: Path) -> Iterator[tuple[Terminal, StopRequest]]:
    """This process, alone or with others, in a run folder that one of them holds."""
    with parallel.joined(cfg.trainer.devices, cfg.trainer.hang_seconds), stop_requests() as stop:
        if not parallel.is_writer():
            yield parallel.Nowhere(), stop
            return
        display = Terminal()
        with run_folder.locked(folder):
            try:
                yield display, stop
            finally:
                display.finish()


def _evaluate_again(cfg: DictConfig, folder: Path, display: Terminal, stop: StopRequest) -> dict[str, Any]:
    found = results.read(folder / "results.json")
    changed = run_folder.changes(run_folder.saved_config(folder), run_folder.settled(cfg))
    if changed:
        raise ConfigError(f"the run has another configuration: {'; '.join(changed)}")
    device = _device(cfg)
    _set_up_torch(device)
    model, dataset = run_folder.load(folder), instantiate(cfg.dataset)
    estimators = _estimators(cfg)
    _refuse_wrong_kind(model, estimators, dataset)
    _refuse_needing_complete(model, dataset, estimators)
    _place(model, device, cfg)

    data = parallel.writer_first(lambda: dataset.load(device))
    _refuse_other_data(found["binarization"], dataset)
    for estimator in estimators.values():
        estimator.check(model, data)

    def show(name: str, picture: np.ndarray) -> None:
        if parallel.is_writer():
            save_png(picture, folder / name / "evaluated.png")

    estimates, values = _evaluate(model, estimators, data, cfg.seed, display, stop, show)
    if not parallel.is_writer():
        return found
    found["estimates"] = results.merged(found["estimates"], estimates)
    results.write_values(folder / "values.npz", found["estimates"], values)
    results.write(folder / "results.json", found)
    display.estimates(estimates, "Estimates per example", [f"added to {folder / 'results.json'}"])
    return found


def _run(cfg: DictConfig, folder: Path, display: Terminal, stop: StopRequest) -> dict[str, Any]:
    config = run_folder.settled(cfg)
    checkpoints = Checkpoints(folder / "checkpoints") if parallel.is_writer() else parallel.Nowhere()
    found, resume = parallel.from_writer(lambda: _begun(config, checkpoints, folder, display))
    if found:
        display.say(f"{folder} holds this run, ended: nothing is left to do")
        return found

    trainer = instantiate(cfg.trainer)
    device = _device(cfg)
    _set_up_torch(device)
    dataset: Dataset = instantiate(cfg.dataset)
    rng.reseed(cfg.seed, "model")
    model = instantiate(cfg.model)
    objective = instantiate(cfg.objective)
    estimators = _estimators(cfg)
    _refuse_wrong_kind(model, estimators, dataset)
    if dataset.corrupt:
        model = corrupted(model, dataset.corrupt)
    _refuse_needing_complete(model, dataset, {"objective": objective, "trainer": trainer} | estimators)
    _place(model, device, cfg)
    data = parallel.writer_first(lambda: dataset.load(device))
    if resume:
        _refuse_other_data(resume[1]["data"], dataset)
    if isinstance(data.train, Sentences) and parallel.is_writer():
        data.train.vocabulary.write(folder / VOCABULARY)
    model.eval()
    for estimator in estimators.values():
        estimator.check(model, data)
    model.train()
    rng.reseed(cfg.seed, "initialize")
    initialize(model, data.train)
    display.say(_introduction(model, data, device, folder))

    log = _open_log(folder, display, resume)
    gallery = Gallery(model, data, log, cfg.seed) if parallel.is_writer() else parallel.Nowhere()
    try:
        log.hparams(_hparams(config))
        session = Session(cfg.seed, checkpoints, log, display, stop, Rivals(folder), gallery, config, resume)
        summary = trainer.fit(model, objective, data, session)

        def show(name: str, picture: np.ndarray) -> None:
            log.picture(name, picture, summary.steps, f"epoch_{summary.epochs:04}.png")

        model.eval()
        estimates, values = _evaluate(model, estimators, data, cfg.seed, display, stop, show)
        gallery(summary.steps, summary.epochs)
        log.scalars(_named(estimates), summary.steps, summary.epochs)
    finally:
        log.close()
        if parallel.is_writer():  # a second command in this folder, refused, may have overwritten it
            run_folder.save_config(folder, config)

    choices = {"seed": cfg.seed, "published": config["published"]}
    found = results.results(choices, model, dataset, estimates, summary)
    if not parallel.is_writer():
        return found
    results.write_values(folder / "values.npz", estimates, values)
    results.write(folder / "results.json", found)
    display.estimates(estimates, "Estimates per example", _conclusion(found, summary, folder))
    return found


def _begun(
    config: Mapping[str, Any], checkpoints: Checkpoints, folder: Path, display: Terminal
) -> tuple[dict[str, Any] | None, tuple[dict, dict] | None]:
    """What this run has found, if it has ended, or the checkpoint to go on from, if there is one."""
    if config["trainer"]["resume"] == "auto" and (found := _ended(config, checkpoints, folder)):
        return found, None
    return None, _find_checkpoint(config, checkpoints, folder, display)


def _ended(config: Mapping[str, Any], checkpoints: Checkpoints, folder: Path) -> dict[str, Any] | None:
    """What a run with this very configuration has found, if it has ended."""
    try:
        found = results.read(folder / "results.json")
        begun, damaged = checkpoints.load("last")[1]["config"], checkpoints.load("best")[2]
    except CheckpointError:
        return None
    return None if damaged or run_folder.changes(begun, config, may_change=OF_THE_MACHINE) else found


def _find_checkpoint(
    config: Mapping[str, Any], checkpoints: Checkpoints, folder: Path, display: Terminal
) -> tuple[dict, dict] | None:
    """The checkpoint to go on from, as (weights, state); None for a fresh run."""
    checkpoints.remove_temporaries()
    wanted = config["trainer"]["resume"]
    if not checkpoints.exists("last"):
        if wanted not in (None, "auto"):
            raise CheckpointError(f"trainer.resume: there is no checkpoint in {folder}: start the run without it")
        run_folder.save_config(folder, config)
        return None
    weights, state, damaged = checkpoints.load("last")
    for line in damaged:
        display.say(f"{line}; the one before it is used")
    if wanted is None:
        run_folder.save_config(folder, state["config"])  # as it was before this command
        raise CheckpointError(f"{folder} holds a run: add trainer.resume={folder} to go on, or choose another folder")
    changed = run_folder.changes(state["config"], config)
    if changed:
        run_folder.save_config(folder, state["config"])
        raise CheckpointError(f"trainer.resume: the configuration has changed: {'; '.join(changed)}")
    return weights, state


def _device(cfg: DictConfig) -> torch.device:
    name = cfg.trainer.device
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    if cfg.trainer.devices > 1 and name != "cpu":
        if name != "cuda":
            raise ConfigError(f"trainer.device: {cfg.trainer.devices} processes cannot share {name}: use auto or cuda")
        if parallel.local_rank() >= torch.cuda.device_count():
            raise ConfigError(
                f"trainer.devices: there are {torch.cuda.device_count()} GPUs: ask for as many, or set "
                "trainer.device=cpu"
            )
        name = f"cuda:{parallel.local_rank()}"
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise ConfigError(f"trainer.device: {name} cannot be used ({reason}): use auto, cpu or cuda") from None
    return device


def _set_up_torch(device: torch.device) -> None:
    # jobs of a sweep share a process: everything is set anew
    torch.set_flush_denormal(True)  # importance weights underflow; denormals slow the CPU fivefold
    torch.set_default_dtype(torch.float32)
    if device.type == "cuda":
        torch.cuda.set_device(device)
        torch.cuda.init()


def _estimators(cfg: DictConfig) -> dict[str, Estimator]:
    return {name: instantiate(node) for name, node in (cfg.estimators or {}).items()}


def _place(model: nn.Module, device: torch.device, cfg: DictConfig) -> None:
    """The model where it is to work, in the precision asked for, by as many threads as it keeps busy."""
    torch.set_num_threads(cfg.trainer.threads or _threads(model, cfg.trainer.batch_size // cfg.trainer.devices))
    torch.set_default_dtype(torch.float64 if cfg.trainer.precision == "fp64" else torch.float32)
    model.to(device, torch.get_default_dtype())  # built in single precision: the start is the same in both


def _threads(model: nn.Module, batch_size: int) -> int:
    """More threads than a step has work for wait for one another: up to ten times slower on a busy machine."""
    work = batch_size * sum(parameter.numel() for parameter in model.parameters())
    return min(max(1, ALL_THREADS // parallel.size()), math.ceil(work / PRODUCTS_PER_THREAD))


def _refuse_wrong_kind(model: nn.Module, estimators: Mapping[str, Estimator], dataset: Dataset) -> None:
    for part in (*model.modules(), *estimators.values()):
        takes = getattr(part, "takes", None)
        if takes and dataset.kind not in takes:
            if "tokens" in (*takes, dataset.kind):
                raise ConfigError(_not_of_one_kind(part, dataset))
            levels = "dataset.num_levels=256 " if dataset.num_levels is None else ""
            kind = "model" if part is model else "estimator" if isinstance(part, Estimator) else "likelihood"
            raise ConfigError(
                f"{type(part).__name__} takes {' or '.join(takes)} data, and dataset.binarize={dataset.binarize} gives "
                f"{dataset.kind}: set {levels}{_HOW_TO_GET[takes[0]]}, or choose another {kind}"
            )
        if getattr(part, "value_range", None) and dataset.num_levels is None:
            raise ConfigError(
                "prior.value_range: the data are real values, not intensities: set prior.value_range=null"
            )


def _refuse_other_data(begun_with: str, dataset: Dataset) -> None:
    if begun_with != dataset.binarization:
        raise CheckpointError(
            f"{dataset.name} is not what it was when the run began: then {begun_with}; now {dataset.binarization}"
        )


def _not_of_one_kind(part: nn.Module | Estimator, dataset: Dataset | TextDataset) -> str:
    name = type(part).__name__
    if dataset.kind != "tokens":
        return f"{name} takes sentences, and {dataset.name} holds none: choose dataset=pydoc, text_file, ptb or pcfg"
    instead = "choose model=sentence_vae or language_model"
    if isinstance(part, Estimator):
        instead = "drop it"
    elif isinstance(part, Prior):
        instead = "choose another prior"
    return f"{name} takes no sentences, which {dataset.name} holds: {instead}"


def _refuse_needing_complete(model: nn.Module, dataset: Dataset, users: Mapping[str, Any]) -> None:
    """Objective, trainer and estimators that cannot do with what is left of corrupted data."""
    if dataset.corrupt is None:
        return
    for name, user in users.items():
        kind = user.requires.get("model", object)
        if not isinstance(model, kind) or (isinstance(user, Estimator) and not user.takes_corrupted):
            otherwise = {
                "objective": "choose objective=elbo, iwae or renyi, or log_likelihood of factor_analysis and ppca",
                "trainer": "choose trainer=gradient",
            }
            drop = f"drop it, or evaluate with estimators=[{'exact' if isinstance(model, ExactModel) else _BOUNDED}]"
            raise ConfigError(f"{name}: {type(user).__name__} needs complete data: {otherwise.get(name, drop)}")


_BOUNDED = "importance_sampling,imputation"
_HOW_TO_GET = {
    "binary": "dataset.binarize=dynamic",
    "levels": "dataset.binarize=none dataset.dequantize=false",
    "continuous": "dataset.binarize=none dataset.dequantize=true",
}


def _introduction(model: nn.Module, data: LoadedDataset, device: torch.device, folder: Path) -> str:
    sizes = " + ".join(str(len(split)) for split in (data.train, data.valid, data.test))
    parameters = sum(parameter.numel() for parameter in model.parameters())
    protocol = data.protocol
    return (
        f"{type(model).__name__} with {parameters:,} parameters on {device}; {protocol.name}: {sizes} examples, "
        f"binarisation {protocol.binarization}\nwriting to {folder}"
    )


def _open_log(folder: Path, display: Terminal, resume: tuple[dict, dict] | None) -> RunLog:
    if not parallel.is_writer():
        return parallel.Nowhere()
    if resume is None:
        return RunLog(folder, display.say)
    state = resume[1]
    display.say(f"going on after step {state['logged_step']}")
    return RunLog(folder, display.say, state["metrics_offset"], purge_step=state["logged_step"] + 1)


def _hparams(config: Mapping[str, Any]) -> dict[str, Any]:
    """What stands in a settled configuration, by names that fit a column of TensorBoard's HParams page."""
    leaves: dict[str, Any] = {}

    def walk(node: Any, key: str) -> None:
        if key in _NO_COLUMN or node is None:
            return
        if isinstance(node, Mapping):
            for name, value in node.items():
                walk(value, f"{key}.{name}" if key else name)
        elif key.endswith("._target_"):
            leaves[key.removesuffix("._target_")] = node.rpartition(".")[2]
        elif not key.endswith("._partial_") and not str(node).startswith("${"):  # parts stand for themselves
            leaves[key] = node if isinstance(node, bool | int | float | str) else str(node)

    walk(config, "")
    return leaves


_NO_COLUMN = (
    *("estimators", "published", "dataset._target_", "dataset.source._target_", "trainer.eval_batch_size"),
    *("trainer.pictures_every", "trainer.checkpoint_seconds", *OF_THE_MACHINE),
)
"""What is no choice between models, or changes no number."""


def _evaluate(
    model: nn.Module, estimators: Mapping[str, Estimator], data: LoadedDataset, seed: int, display: Terminal,
    stop: StopRequest, show: Callable[[str, np.ndarray], None],
) -> tuple[list[dict[str, Any]], dict[str, Tensor]]:  # fmt: skip
    """Looks at the test data, once, with every estimator; `show` takes its pictures by name.

    Returns:
        Rows of results.json, and the values of single examples.
    """

    def report(done: int, total: int) -> None:
        if stop:
            raise Interrupted(stop.signum, "stopped while evaluating, training is done and saved")
        display.evaluated(done, total)

    rows, values = [], {}
    for name, estimator in estimators.items():
        display.evaluating(f"{name}: fitting")
        rng.reseed(seed, f"estimate {name}")
        begun = time.monotonic()
        fitted = estimator.fitted(model, data.train, data.valid, report)
        display.evaluating(name)
        estimates = fitted(model, data.test, report)
        if is_image(data.protocol.shape):
            for picture, images in fitted.pictures(model).items():
                show(picture, grid(images, columns=8))
        for plot, picture in fitted.plots().items():
            show(plot, picture)
        seconds = time.monotonic() - begun
        for estimate in estimates:
            rows.append(results.row(estimate, "test", seconds))
            if estimate.values is not None:
                values[key(rows[-1])] = estimate.values
    return rows, values


def _named(estimates: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """The values by split and quantity, and by estimator where two of them have found the same quantity."""
    values: dict[str, float] = {}
    for row in estimates:
        name = f"{row['split']}/{row['quantity']}"
        values[f"{name}_{row['estimator']}" if name in values else name] = row["value"]
    return values


def _conclusion(found: Mapping[str, Any], summary: TrainingSummary, folder: Path) -> list[str]:
    likelihoods = [row for row in found["estimates"] if row["quantity"] == "log_likelihood"]
    lines = [f"{row['num_examples']} test examples, binarisation {found['binarization']}" for row in likelihoods[:1]]
    lines.append(
        f"{summary.epochs} epochs in {duration(summary.seconds)} (stopped by {summary.stopped_by}), "
        f"{summary.examples_per_second:,.0f} examples/s; best {summary.monitor} {readable(summary.best)} "
        f"after epoch {summary.best_epoch}"
    )
    if found["published"]:
        lines.append(f"published: {found['published']['value']} ({found['published']['source']})")
    lines += _diagnostics(found["estimates"])
    lines += [f"{row['quantity']}: {row['warning']}" for row in found["estimates"] if row["warning"]]
    lines.append(f"outputs in {folder}")
    lines.append(f"look at them with: tensorboard --logdir {folder.parent}")
    return lines


def _diagnostics(estimates: Sequence[Mapping[str, Any]]) -> list[str]:
    """What each estimator saw of itself: a line for every number at which it was another."""
    seen: dict[str, dict[str, str]] = {}
    for row in estimates:
        found = [f"{name} {'unknown' if v is None else f'{v:.5g}'}" for name, v in row["diagnostics"].items()]
        if found:
            seen.setdefault(row["estimator"], {}).setdefault(", ".join(found), row["quantity"])
    return [
        f"{estimator}: {told}" if len(of_numbers) == 1 else f"{estimator}, {quantity}: {told}"
        for estimator, of_numbers in seen.items()
        for told, quantity in of_numbers.items()
    ]
