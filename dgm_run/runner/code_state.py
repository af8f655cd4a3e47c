"""State of the code that a run uses: its commit, and how its files differ from it."""

import os
import shutil
import subprocess
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

MAX_DIFF_BYTES = 10_000_000
"""Largest difference that is kept."""

SOURCES = (":(top)*.py", ":(top)*.yaml")
"""Files of a checkout that belong to the difference although git does not track them."""


class CodeState(NamedTuple):
    """State of a checkout.

    Attributes:
        commit: commit, marked `-dirty` if tracked files have changed; None outside a repository.
        diff: difference of the files to the commit, with untracked sources; empty where there is none.
    """

    commit: str | None
    diff: str


@cache  # the code was imported once: later changes of its files are not used
def read_code_state(folder: Path) -> CodeState:
    """Reads the state of the checkout that holds a folder."""
    commit = _run_git(folder, "describe", "--always", "--abbrev=40", "--dirty", "--exclude=*").strip()
    if not commit:
        return CodeState(None, "")
    has_untracked = bool(_run_git(folder, "ls-files", "--others", "--exclude-standard", "--full-name", "--", *SOURCES))
    if not commit.endswith("-dirty") and not has_untracked:
        return CodeState(commit, "")
    diff = _read_diff(folder)
    if len(diff.encode()) > MAX_DIFF_BYTES:
        diff = f"left out: the difference has {len(diff.encode()):,} bytes\n"
    return CodeState(commit, diff)


def _read_diff(folder: Path) -> str:
    """Reads the difference to the commit. A copy of git's index lists the untracked sources; the index stays."""
    index = folder / _run_git(folder, "rev-parse", "--git-path", "index").strip()
    with TemporaryDirectory() as temporary:
        copied = Path(temporary) / "index"
        try:
            shutil.copy(index, copied)
        except OSError:
            return _run_git(folder, "diff", "HEAD")
        for pattern in SOURCES:  # git refuses a pattern that fits no file
            _run_git(folder, "add", "--intent-to-add", "--", pattern, index=copied)
        return _run_git(folder, "diff", "HEAD", index=copied)


def _run_git(folder: Path, *arguments: str, index: Path | None = None) -> str:
    """Returns the output of a git command in a folder; an empty text if it fails or git is not installed."""
    environment = os.environ | {"GIT_OPTIONAL_LOCKS": "0"} | ({"GIT_INDEX_FILE": str(index)} if index else {})
    command = ["git", "-C", str(folder), *arguments]
    try:
        process = subprocess.run(command, capture_output=True, env=environment, check=False)
    except OSError:
        return ""
    return process.stdout.decode("utf-8", "replace")
