"""The lecture: its commands make the pictures of the page, and its numbers stand in one table."""

import re
import sys

import pytest

from tests.support import readme
from tests.support.tiny import run_command
from tests.test_readme import run

sys.path.insert(0, str(readme.ROOT / "docs"))

from lecture import IMAGES, copy_pictures, describe_runs, find_name, find_picture, read_commands, read_pictures

TEXT = readme.PAGES["docs/lecture.md"]
COMMANDS = read_commands(TEXT)
PICTURES = read_pictures(TEXT)
IDEAS = re.split(r"^### ", TEXT, flags=re.MULTILINE)[1:]
NUMBER = re.compile(r"-\d+\.\d\d ± \d\.\d\d")


def read_table():
    """Returns the cells of each row of the table at the end: idea, command, log p(x), kind, seconds."""
    table = TEXT.partition("## All numbers")[2]
    return [line.strip("| ").split(" | ") for line in table.splitlines() if NUMBER.search(line)]


def test_script_runs_the_commands_of_the_page():
    assert readme.read_commands(TEXT) == COMMANDS
    assert {each[0] for each in COMMANDS} == {"dgm-run", "dgm-eval", "dgm-report"}
    assert len(COMMANDS) > 25


def test_every_idea_has_a_picture():
    assert len(IDEAS) > 20
    assert [idea.splitlines()[0] for idea in IDEAS if not read_pictures(idea)] == []


def test_pictures_are_of_runs_above_them():
    names = []
    for idea in IDEAS:
        names += [find_name(command) for command in read_commands(idea)]
        assert {path.partition("/")[0] for path in read_pictures(idea)} <= set(names)
    assert {path.partition("/")[0] for path in PICTURES} == set(names)


def test_no_two_runs_share_a_folder():
    names = [find_name(command) for command in COMMANDS if command[0] == "dgm-run"]
    assert sorted(names) == sorted(set(names))


def test_pictures_exist_and_are_small():
    files = {path.relative_to(IMAGES).as_posix(): path.stat().st_size for path in IMAGES.rglob("*.*")}
    assert set(files) == set(PICTURES)
    assert max(files.values()) < 30_000
    assert sum(files.values()) < 500_000


def test_numbers_of_the_text_are_in_the_table():
    """Binary pixels have numbers in both; the others compare with none of the table."""
    quoted = re.findall(r"^log p\(x\) = (.*) nats \(.*\)\.$", TEXT, re.MULTILINE)
    assert len(quoted) > 12
    assert set(quoted) <= {row[2] for row in read_table()}


def test_last_picture_of_a_folder_is_taken(tmp_path):
    folder = tmp_path / "outputs" / "lecture" / "a" / "samples"
    folder.mkdir(parents=True)
    for name in ("epoch_0003.png", "epoch_0010.png", "notes.txt"):
        (folder / name).touch()
    assert find_picture(tmp_path, "a/samples.png").name == "epoch_0010.png"
    assert find_picture(tmp_path, "a/samples/epoch_0003.png").name == "epoch_0003.png"
    with pytest.raises(SystemExit, match=r"a/filters\.png is missing.*lecture\.md"):
        find_picture(tmp_path, "a/filters.png")


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_the_commands_make_the_pictures(tmp_path):
    """The page runs from its first command to its last, shortened, and makes the pictures that it shows."""
    for command in COMMANDS:
        done = run(command, tmp_path, tmp_path / "data")
        assert done.returncode == 0, (command, done.stderr)
        assert "Traceback" not in done.stderr
    made = [path for path in PICTURES if "/curves_" not in path]  # two steps make no curve
    copy_pictures(made, tmp_path, tmp_path / "pictures")
    for path in made:
        assert (tmp_path / "pictures" / path).stat().st_size > 500, path


@pytest.mark.slow
@pytest.mark.parametrize("name", ["energy", "boltzmann"])
def test_number_of_a_command_is_quoted(name, tmp_path):
    (command,) = [each for each in COMMANDS if find_name(each) == name]
    done = run_command("main", *command[1:], cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    (found,) = describe_runs(tmp_path, name, 1.0)
    (title,) = [idea.splitlines()[0] for idea in IDEAS if f"outputs/lecture/{name}\n" in idea]
    (quoted,) = [row[2] for row in read_table() if row[0].startswith(f"[{title}]")]
    value, error = map(float, quoted.split(" ± "))
    found_value, found_error = map(float, NUMBER.search(found)[0].split(" ± "))
    assert found_value == pytest.approx(value, abs=0.1)  # processors round differently
    assert found_error == pytest.approx(error, abs=0.02)
