"""Suggests names for an unknown key, group or choice: by spelling, and by synonyms of the field."""

import difflib
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from dgm_run.config.leaves import iterate_leaves

SYNONYMS = {
    **dict.fromkeys(("learning_rate", "step_size", "eta", "rate"), ("lr",)),
    **dict.fromkeys(("epoch", "epochs", "num_epochs", "n_epochs"), ("max_epochs",)),
    **dict.fromkeys(("steps", "iterations", "num_iterations", "max_iter", "num_updates"), ("max_steps", "num_steps")),
    **dict.fromkeys(("k", "gibbs_steps", "cd_k"), ("num_samples", "num_steps")),
    **dict.fromkeys(("batch", "bs", "minibatch_size"), ("batch_size",)),
    **dict.fromkeys(
        ("hidden", "hidden_size", "hidden_units", "hidden_layers", "layers", "units", "width"),
        ("hidden_dims", "hidden_dim", "num_hidden"),
    ),
    **dict.fromkeys(("z_dim", "dim_z", "nz", "latent_size", "latents", "num_latents", "code_dim"), ("latent_dim",)),
    **dict.fromkeys(("wd", "l2", "l2_penalty"), ("weight_decay",)),
    **dict.fromkeys(("beta1", "beta2"), ("betas",)),
    **dict.fromkeys(("samples", "n_samples", "particles", "num_particles", "importance_samples"), ("num_samples",)),
    **dict.fromkeys(("components", "pseudo_inputs", "num_pseudo_inputs", "num_mixtures"), ("num_components",)),
    **dict.fromkeys(("chains", "fantasy_particles"), ("num_chains",)),
    **dict.fromkeys(("temperatures", "num_betas"), ("num_temperatures",)),
    **dict.fromkeys(("gpus", "num_gpus", "n_gpus", "world_size"), ("devices",)),
    **dict.fromkeys(("gpu", "cuda", "accelerator"), ("device",)),
    **dict.fromkeys(("early_stopping", "early_stop"), ("patience",)),
    **dict.fromkeys(("grad_clip", "gradient_clip", "gradient_clip_val", "max_grad_norm"), ("clip_norm",)),
    **dict.fromkeys(("kl_weight", "kl_beta"), ("beta",)),
    **dict.fromkeys(("warmup", "warm_up", "anneal_epochs", "kl_annealing"), ("warmup_epochs",)),
    **dict.fromkeys(("act", "nonlinearity", "activation_fn"), ("activation",)),
    **dict.fromkeys(("root", "data_root", "data_path", "datadir"), ("data_dir",)),
    **dict.fromkeys(("random_seed", "manual_seed"), ("seed",)),
    **dict.fromkeys(("amp", "fp16", "mixed_precision", "dtype"), ("precision",)),
    **dict.fromkeys(("workers", "num_threads", "num_workers"), ("threads",)),
    **dict.fromkeys(("eval_freq", "val_every", "validate_every"), ("eval_every",)),
    **dict.fromkeys(("checkpoint", "ckpt", "resume_from", "restore"), ("resume",)),
    **dict.fromkeys(("output_dir", "out_dir", "save_dir", "log_dir", "logdir", "run_dir"), ("hydra.run.dir",)),
    **dict.fromkeys(("data", "data_set"), ("dataset",)),
    **dict.fromkeys(("loss", "criterion", "bound"), ("objective",)),
    **dict.fromkeys(("opt", "optim"), ("optimizer",)),
    **dict.fromkeys(("scheduler", "lr_scheduler", "lr_schedule"), ("schedule",)),
    **dict.fromkeys(("metric", "metrics", "evaluation"), ("estimators",)),
    **dict.fromkeys(("loggers", "log", "tracker", "wandb", "mlflow"), ("logger",)),
    **dict.fromkeys(("callback", "hooks"), ("callbacks",)),
    **dict.fromkeys(("max_time", "time_limit", "hours"), ("max_hours",)),
    **dict.fromkeys(("overfit_batches", "overfit_batch"), ("overfit_examples",)),
    **dict.fromkeys(("network", "net", "architecture"), ("encoder", "decoder")),
    **dict.fromkeys(("q", "guide"), ("posterior",)),
    **dict.fromkeys(("observation_model", "noise_model"), ("likelihood",)),
    **dict.fromkeys(("preset", "exp"), ("experiment",)),
}
"""Keys and groups by their synonyms in the field."""

CHOICE_SYNONYMS = {
    "ais": ("energy", "ais_decoder"),
    "is": ("importance_sampling",),
    "normal": ("standard", "gaussian"),
    "gaussian": ("standard",),
    "vamp": ("vampprior",),
    "vae": ("elbo",),
    "gmm": ("mixture",),
    "mog": ("mixture",),
    "maf": ("autoregressive",),
    "nice": ("nice_flow",),
    "fid": ("sample_quality",),
    "persistent_cd": ("pcd",),
    "sgd_momentum": ("sgd",),
    "exponential": ("burda",),
    "cifar": ("cifar10",),
    "softmax": ("categorical",),
    "mse": ("gaussian",),
    "bce": ("bernoulli",),
    "fa": ("factor_analysis",),
    "pca": ("ppca",),
}
"""Choices by their synonyms."""

MIN_SIMILARITY = 0.8
"""Smallest ratio of `difflib` at which a name counts as misspelt."""


def suggest_keys(key: str, known: Iterable[str], groups: Sequence[str] = ()) -> list[str]:
    """Suggests up to three keys or groups for an unknown key."""
    parent, _, name = key.rpartition(".")
    keys = [*known]
    groups = [] if parent else groups
    words = (name, *SYNONYMS.get(name.lower(), ()))
    synonyms = {_normalize(word) for word in words}

    def is_synonym(other: str) -> bool:
        return _normalize(other) in synonyms

    def is_similar(other: str) -> bool:
        return difflib.SequenceMatcher(None, _normalize(other), _normalize(name)).ratio() >= MIN_SIMILARITY

    for is_meant in (is_synonym, is_similar):
        matching_groups = [group for group in groups if is_meant(group)]
        matches = [each for each in keys if is_meant(each.rpartition(".")[2])]
        matches += [word for word in words if word == "hydra.run.dir"]
        siblings = [each for each in matches if each.rpartition(".")[0] == parent]
        in_same_group = [each for each in matches if each.startswith(f"{parent.partition('.')[0]}.")]
        if matching_groups or matches:
            return [*matching_groups, *(siblings or in_same_group or matches)][:3]
    return difflib.get_close_matches(key, [*groups, *keys], 3, 0.75)


def suggest_names(name: str, known: Sequence[str]) -> list[str]:
    """Suggests up to three of the known names for an unknown name."""
    equal = [each for each in known if _normalize(each) == _normalize(name)]
    synonyms = [each for each in CHOICE_SYNONYMS.get(name.lower(), ()) if each in known]
    by_spelling = {_normalize(each): each for each in known}
    similar = [by_spelling[each] for each in difflib.get_close_matches(_normalize(name), by_spelling, 3, 0.6)]
    containing = [each for each in known if _normalize(name) in _normalize(each)] if len(name) >= 3 else []
    return list(dict.fromkeys(equal or [*synonyms, *similar, *containing]))[:3]


def list_settable_keys(node: Any) -> Iterator[str]:
    """Yields the keys of a plain configuration that can be set: keys whose value does not refer to another key."""
    for key, value in iterate_leaves(node):
        if not (isinstance(value, str) and value.startswith("${")):
            yield key


def _normalize(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())
