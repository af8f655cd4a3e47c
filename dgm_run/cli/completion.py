"""Completes the words of a command in a shell: Hydra's completions without internal folders, and names of presets."""

import os
from collections.abc import Callable, Sequence
from contextlib import redirect_stdout
from io import StringIO

INTERNAL_FOLDERS = ("common",)
"""Folders below a group that hold no choices."""

PRESET_PREFIX = "+experiment="


def is_query(arguments: Sequence[str]) -> bool:
    """Returns whether a shell asks for completions, as in `--shell-completion query=bash`."""
    return any(word.startswith("query=") for word in arguments) and bool({"--shell-completion", "-sc"} & set(arguments))


def answer_query(arguments: Sequence[str], ask_hydra: Callable[[], object], presets: Sequence[str]) -> str:
    """Returns the completions of the command in the environment variable COMP_LINE, as the shell reads them.

    Args:
        arguments: command line of dgm-run, which names the shell.
        ask_hydra: prints Hydra's own completions.
        presets: names of presets, as in `iwae_2016/mnist_vae_k1`.
    """
    with redirect_stdout(StringIO()) as printed:
        ask_hydra()
    separator = "\n" if "query=fish" in arguments else " "
    word = os.environ.get("COMP_LINE", "").rpartition(" ")[2]
    offers = [offer for offer in printed.getvalue().strip().split(separator) if offer]
    return separator.join(complete_word(word, offers, presets)) + "\n"


def complete_word(word: str, offers: Sequence[str], presets: Sequence[str]) -> list[str]:
    """Returns the completions of a word. It completes a preset in two steps: first the paper, then its row.

    Args:
        word: the word as typed so far.
        offers: Hydra's completions.
        presets: names of presets, as in `iwae_2016/mnist_vae_k1`.
    """
    if word.startswith(PRESET_PREFIX):
        typed = word.removeprefix(PRESET_PREFIX)
        names = presets if "/" in typed else {f"{name.partition('/')[0]}/" for name in presets}
        return sorted(PRESET_PREFIX + name for name in names if name.startswith(typed))
    completions = [offer for offer in offers if not _is_internal(offer)]
    if word.startswith("+") and PRESET_PREFIX.startswith(word):
        completions.append(PRESET_PREFIX)
    return sorted(completions)


def _is_internal(offer: str) -> bool:
    """Returns whether an offer is a folder without choices, or the group of presets, which is completed apart."""
    groups = offer.lstrip("+~").rstrip("=/").split("/")
    return groups[0] == "experiment" or groups[-1] in INTERNAL_FOLDERS
