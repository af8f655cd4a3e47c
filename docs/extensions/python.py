"""The reference of the Python interface, from the docstrings."""

import dgm_run

CONTRACTS = {
    "models": "dgm_run.models.base",
    "energy models": "dgm_run.models.energy.base",
    "models of labels": "dgm_run.models.labelled.base",
    "priors": "dgm_run.priors.base",
    "posteriors": "dgm_run.posteriors.base",
    "likelihoods": "dgm_run.likelihoods.base",
    "encoders": "dgm_run.encoders.base",
    "decoders": "dgm_run.decoders.base",
    "distributions": "dgm_run.distributions.base",
    "objectives": "dgm_run.objectives.base",
    "objectives of energy models": "dgm_run.objectives.energy.base",
    "estimators": "dgm_run.estimators.base",
    "trainers": "dgm_run.trainers.base",
    "callbacks": "dgm_run.trainers.callbacks.base",
    "loggers": "dgm_run.recording.base",
}
"""Modules that own parts build on, by what they are about."""


def describe_python() -> str:
    """Returns the page in Markdown, which Sphinx fills from the docstrings."""
    parts = ["# Python interface", "", "## Functions", ""]
    for name in dgm_run.__all__:
        parts += [f"```{{eval-rst}}\n.. autofunction:: dgm_run.{name}\n```", ""]
    parts += ["## Contracts", "", "A part of your own is a class that follows one of these.", ""]
    for title, module in CONTRACTS.items():
        parts += [f"### {title}", "", f"```{{eval-rst}}\n.. automodule:: {module}\n```", ""]
    return "\n".join(parts)
