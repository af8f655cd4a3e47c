"""The files around the package agree with it, and with one another."""

import re
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

import dgm_run

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
TARGETS = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))


def test_all_files_tell_the_same_version():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert citation["version"] == PROJECT["version"] == dgm_run.__version__
    assert citation["license"] == PROJECT["license"] == "MIT"
    assert [each["name"] for each in citation["authors"]] == [each["name"] for each in PROJECT["authors"]]
    headings = re.findall(r"^## (.*)$", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert headings[:2] == ["Unreleased", PROJECT["version"]]


def test_constraints_pin_what_is_asked_for():
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    assert all(re.fullmatch(r"[A-Za-z0-9._-]+==[0-9][0-9a-z.]*", line) for line in lines)  # nor local versions
    pins = {name.lower().replace("_", "-"): version for name, version in (line.split("==") for line in lines)}
    asked = [Requirement(each) for each in (*PROJECT["dependencies"], *PROJECT["optional-dependencies"]["dev"])]
    wrong = [str(each) for each in asked if pins.get(each.name.lower()) not in each.specifier]
    assert not wrong


def test_the_workflow_runs_the_commands_of_ci():
    workflow = yaml.safe_load((ROOT / ".github" / "workflows" / "ci.yml").read_text())
    jobs = workflow["jobs"]
    commands = {name: [step["run"] for step in job["steps"] if "run" in step] for name, job in jobs.items()}
    assert commands == {"test": ["bash .ci/run"], "test-all": ["make test-all"]}
    assert set(re.findall(r"^make ([a-z-]+)$", (ROOT / ".ci" / "run").read_text(), re.MULTILINE)) <= TARGETS
    assert "test-all" in TARGETS
    assert workflow[True]["schedule"]  # YAML reads the key `on` as a boolean
    for job in jobs.values():
        for version in job["strategy"]["matrix"]["python"]:
            assert version in SpecifierSet(PROJECT["requires-python"])
            assert f"Programming Language :: Python :: {version}" in PROJECT["classifiers"]


def test_the_image_is_built_from_files_that_exist():
    kept = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    lines = re.findall(r"^COPY (.*) \S+$", (ROOT / "Dockerfile").read_text(), re.MULTILINE)
    copied = {name for line in lines for name in line.split()}
    assert copied == kept
    assert all((ROOT / name).exists() for name in copied)
    assert {PROJECT["readme"], *PROJECT["license-files"], "pyproject.toml", "constraints.txt"} <= copied


def test_archives_hold_the_licence_and_the_types(tmp_path):
    pytest.importorskip("hatchling")
    build = [sys.executable, "-m", "hatchling", "build", "--target", "sdist", "--target", "wheel"]
    subprocess.run([*build, "--directory", str(tmp_path)], cwd=ROOT, check=True, capture_output=True)
    (wheel,), (sdist,) = tmp_path.glob("*.whl"), tmp_path.glob("*.tar.gz")
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        info = next(name for name in names if name.endswith("/METADATA"))
        metadata = archive.read(info).decode()
    assert {"dgm_run/py.typed", "dgm_run/conf/config.yaml"} <= set(names)
    assert info.replace("METADATA", "licenses/LICENSE") in names
    assert "License-Expression: MIT" in metadata
    assert "Author: the dgm-run contributors" in metadata
    with tarfile.open(sdist) as archive:
        packed = {name.partition("/")[2] for name in archive.getnames()}
    assert {"dgm_run/py.typed", "LICENSE", "CHANGELOG.md", "CITATION.cff", "conf/config.yaml"} <= packed
