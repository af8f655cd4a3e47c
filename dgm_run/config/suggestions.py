"""Suggests names for an unknown key, group or choice: by spelling, and by synonyms of the field."""

import difflib
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

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


def suggest_keys(key: str, known: Iterable[str], groups: Sequence[str] = ()) -> list[str]:
    """Suggests up to three keys or groups for an unknown key."""
    head, _, last = key.rpartition(".")
    keys = [*known]
    groups = [] if head else groups
    words = (last, *SYNONYMS.get(last.lower(), ()))
    for admits in (
        lambda name: _normalize(name) in [_normalize(word) for word in words],
        lambda name: difflib.SequenceMatcher(None, _normalize(name), _normalize(last)).ratio() >= 0.8,
    ):
        groups_meant = [name for name in groups if admits(name)]
        found = [name for name in keys if admits(name.rpartition(".")[2])]
        found += [word for word in words if word == "hydra.run.dir"]
        near = [name for name in found if name.rpartition(".")[0] == head]
        within = [name for name in found if name.startswith(f"{head.partition('.')[0]}.")]
        if groups_meant or found:
            return [*groups_meant, *(near or within or found)][:3]
    return difflib.get_close_matches(key, [*groups, *keys], 3, 0.75)


def suggest_names(name: str, known: Sequence[str]) -> list[str]:
    """Suggests up to three of the known names for an unknown name."""
    same = [each for each in known if _normalize(each) == _normalize(name)]
    synonyms = [each for each in CHOICE_SYNONYMS.get(name.lower(), ()) if each in known]
    plain = {_normalize(each): each for each in known}
    close = [plain[each] for each in difflib.get_close_matches(_normalize(name), plain, 3, 0.6)]
    within = [each for each in known if len(name) >= 3 and _normalize(name) in _normalize(each)]
    return list(dict.fromkeys(same or [*synonyms, *close, *within]))[:3]


def list_leaves(node: Any, key: str = "") -> Iterator[str]:
    """Yields the keys of a plain configuration that can be set: keys whose value does not refer to another key."""
    if isinstance(node, dict) and node:
        for name, value in node.items():
            yield from list_leaves(value, f"{key}.{name}" if key else str(name))
    elif not (isinstance(node, str) and node.startswith("${")):
        yield key


def _normalize(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())
