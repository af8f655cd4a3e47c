"""Sessions of a run: each start or resume, with its command, machine, versions and code.

`sessions.jsonl` in the run folder has one line for each session. It is written before training, so that a run that
fails has it too. results.json holds the last session as `environment`.
"""

import json
import os
import platform
import re
import socket
import sys
from collections.abc import Mapping
from contextlib import suppress
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any

import torch

import dgm_run
from dgm_run.config.commands import join_for_shell
from dgm_run.distributed import nvml, process_group
from dgm_run.runner.code_state import read_code_state

SESSIONS = "sessions.jsonl"
"""File in a run folder with a line for each session."""


def describe_session(device: torch.device) -> dict[str, Any]:
    """Collects command, start time, host, device, versions, packages, number of processes, threads, and commit."""
    is_gpu = device.type == "cuda"
    return {
        "command": _read_command(),
        "started": datetime.now().astimezone().isoformat(timespec="seconds"),
        "host": socket.gethostname(),
        "system": f"{platform.system()} {platform.release()}",
        "dgm_run": dgm_run.__version__,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "device": torch.cuda.get_device_name(device) if is_gpu else "cpu",
        "processor": read_processor(),
        "cuda": torch.version.cuda if is_gpu else None,
        "cudnn": torch.backends.cudnn.version() if is_gpu else None,
        "driver": nvml.read_driver_version() if is_gpu else None,
        "processes": process_group.size(),
        "threads": torch.get_num_threads(),
        "commit": read_code_state(Path(__file__).parent).commit,
        "packages": list_packages(),
    }


def write_session(folder: Path, session: Mapping[str, Any]) -> None:
    """Appends a session to sessions.jsonl, and writes the differences of changed code beside it.

    The code is that of dgm_run, and that of the current folder, where a user's own parts lie. Session N has
    `code_N.diff` and `own_code_N.diff`.

    Raises:
        OSError: a file cannot be written.
    """
    path = folder / SESSIONS
    number = 1 + (path.read_bytes().count(b"\n") if path.exists() else 0)
    with open(path, "a", encoding="utf-8") as file:
        file.write(f"{json.dumps(session)}\n")
    code = read_code_state(Path(__file__).parent)
    own = read_code_state(Path.cwd())
    diffs = {"code": code.diff, "own_code": own.diff if own != code else ""}
    for name, diff in diffs.items():
        if diff:
            (folder / f"{name}_{number}.diff").write_text(diff, encoding="utf-8")


def _read_command() -> str:
    """Returns the command of this process, as a shell reads it."""
    program, *arguments = sys.argv or [""]
    if Path(program).name == "__main__.py":
        return join_for_shell("python", "-m", Path(program).parent.name, *arguments)
    if program.endswith(".py"):
        return join_for_shell("python", program, *arguments)
    return join_for_shell(os.path.basename(program), *arguments)


def read_processor() -> str:
    """Reads the name of the processor, as Linux or another system states it."""
    with suppress(OSError):
        found = re.search(r"^model name\s*: (.*)$", Path("/proc/cpuinfo").read_text(encoding="utf-8"), re.MULTILINE)
        if found:
            return found[1].strip()
    return platform.processor()


@cache
def list_packages() -> list[str]:
    """Lists the installed packages as `name==version`, by the names of their folders: reading them would be slow."""
    packages = {}
    for entry in reversed(sys.path):  # the first entry that has a package wins
        for info in Path(entry or ".").glob("*.dist-info"):
            found = re.fullmatch(r"(.+)-([^-]+)", info.stem)
            if found:
                packages[found[1].replace("_", "-").lower()] = found[2]
    return [f"{name}=={version}" for name, version in sorted(packages.items())]
