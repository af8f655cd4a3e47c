"""`python docs/lecture.py [NAME...]`: runs the commands of docs/lecture.md in order, and copies their pictures.

The page is the only list of commands and pictures. Each command names its folder `outputs/lecture/NAME`. The picture
`images/lecture/PATH.png` of the page is `outputs/lecture/PATH.png`, or else the last picture in the folder
`outputs/lecture/PATH/`. Pictures that are no PNG have their own names in `outputs/lecture/`.

NAME... chooses the commands of some folders. Each run prints its row of the table at the end of the page. The seconds
are those of all processors, with the start of the command; the jobs of a sweep share them.
"""

import json
import re
import resource
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "lecture.md"
IMAGES = ROOT / "docs" / "images" / "lecture"
OUTPUTS = "outputs/lecture"
"""Folder of all runs, relative to the folder in which the commands run."""


def main() -> None:
    """Runs the page, or the folders that the command names, in the root of the project.

    Raises:
        SystemExit: a name is not on the page, a command has failed, or a picture is missing.
    """
    text = PAGE.read_text(encoding="utf-8")
    names = list(dict.fromkeys(map(find_name, read_commands(text))))
    chosen = sys.argv[1:] or names
    if unknown := set(chosen) - set(names):
        sys.exit(f"{PAGE.name} has no folder {', '.join(sorted(unknown))}: choose among {', '.join(names)}")
    for folder in sys.argv[1:] or [""]:  # without a name everything is made anew
        shutil.rmtree(ROOT / OUTPUTS / folder, ignore_errors=True)
        shutil.rmtree(IMAGES / folder, ignore_errors=True)
    for name in chosen:
        seconds = sum(run_command(each) for each in read_commands(text) if find_name(each) == name)
        print(*describe_runs(ROOT, name, seconds), sep="\n", flush=True)
        copy_pictures([each for each in read_pictures(text) if each.startswith(f"{name}/")], ROOT, IMAGES)


def read_commands(text: str) -> list[list[str]]:
    """Returns the words of each indented command of a page, in its order."""
    lines = re.sub(r"\\\n\s*", " ", text).splitlines()
    return [shlex.split(line) for line in lines if line.startswith("    dgm-")]


def read_pictures(text: str) -> list[str]:
    """Returns the paths of the pictures of a page below images/lecture/."""
    return re.findall(r"\]\(images/lecture/([^)]+)\)", text)


def find_name(command: list[str]) -> str:
    """Returns NAME of the folder outputs/lecture/NAME to which a command writes."""
    (name,) = re.findall(rf"(?:^|=){OUTPUTS}/(\w+)$", "\n".join(command), re.MULTILINE)
    return name


def run_command(command: list[str]) -> float:
    """Runs a command quietly; returns its processor seconds.

    Raises:
        SystemExit: it has failed; its output goes to the terminal.
    """
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    program = Path(sys.executable).parent / command[0]
    done = subprocess.run([program, *command[1:]], cwd=ROOT, capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"{shlex.join(command)}\n{done.stdout}{done.stderr}")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def describe_runs(root: Path, name: str, seconds: float) -> Iterator[str]:
    """Yields a row for each log-likelihood of a run, or of the jobs of a sweep, which share the seconds."""
    files = sorted((root / OUTPUTS / name).glob("**/results.json"))
    for file in files:
        rows = json.loads(file.read_text())["estimates"]
        for row in rows:
            if row["quantity"] == "log_likelihood":
                number = f"{row['value']:.2f} ± {row['stderr']:.2f}"
                folder = file.parent.relative_to(root / OUTPUTS)
                yield f"| {folder} | {number} | {row['kind']} ({row['estimator']}) | {seconds / len(files):.0f} |"


def find_picture(root: Path, path: str) -> Path:
    """Returns the file of the run folders that the page shows as images/lecture/`path`.

    Raises:
        SystemExit: no run has made it.
    """
    file = root / OUTPUTS / path
    found = [file] if file.is_file() else sorted(file.with_suffix("").glob(f"*{file.suffix}"))
    if not found:
        sys.exit(f"{file} is missing, and {file.with_suffix('')} has no picture: name another in {PAGE.name}")
    return found[-1]


def copy_pictures(paths: list[str], root: Path, target: Path) -> None:
    """Copies pictures of the page from the run folders below `root` to the folder `target`."""
    for path in paths:
        (target / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(find_picture(root, path), target / path)


if __name__ == "__main__":
    main()
