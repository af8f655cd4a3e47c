"""The commands of the README and of docs/ run, what they print is what the pages say, and the pages are complete."""

import os
import re
from pathlib import Path

import pytest

import dgm_run
from dgm_run.cli.help_text import GROUP_DESCRIPTIONS
from dgm_run.config.hydra_compose import conf_dir
from dgm_run.config.validate import validate
from tests.support import readme
from tests.support.tiny import run_command

COMMANDS = readme.read_commands()
RUNS = [each for each in COMMANDS if each[0] == "dgm-run" and "--config-dir" not in each]
FUNCTIONS = {"dgm-run": "main", "dgm-eval": "evaluate", "dgm-sample": "sample", "dgm-score": "score",
             "dgm-report": "report"}  # fmt: skip
PAGES_WITH_COMMANDS = [
    name
    for name, text in readme.PAGES.items()
    if readme.read_commands(text) and name not in (*readme.TUTORIALS, "docs/lecture.md")
]
"""Pages whose commands run one by one; those of tutorials and of the lecture follow one another, in their own tests."""
NEEDS_MORE = ("-m", "dataset=mnist", "+experiment=", "mine.", "sweep.")
"""What makes a command too long, or its data too rare, for a short example."""
LONG_PAGES = ("docs/labels.md", "docs/sample_quality.md", "docs/text.md")
"""Pages whose short example takes more than a second."""
SHORT_VAE = ("trainer.max_epochs=1", "trainer.max_steps=2", "estimators.importance_sampling.num_samples=2")
"""Overrides that make any VAE short."""


def test_pages_have_commands_of_all_kinds():
    assert {each[0] for each in COMMANDS} == {*FUNCTIONS, "tensorboard"}
    assert len(RUNS) > 30
    assert len(PAGES_WITH_COMMANDS) > 12


def test_no_command_is_shown_twice():
    found = [" ".join(each) for each in RUNS]
    assert sorted(found) == sorted(set(found))


@pytest.mark.parametrize("arguments", RUNS, ids=" ".join)
def test_a_command_composes(arguments, monkeypatch, tmp_path):
    monkeypatch.setenv("DGM_DATA_DIR", str(tmp_path))
    if "dataset.source.path=people.csv" in arguments:  # the file gives the columns
        monkeypatch.chdir(tmp_path)
        readme.write_own_files(tmp_path)
    if any(each.startswith("model.factory=") for each in arguments):
        monkeypatch.syspath_prepend(str(readme.ROOT / "examples"))
        monkeypatch.syspath_prepend(str(tmp_path))
        readme.write_adapter(tmp_path)
    for job in readme.covering_jobs(arguments[1:]):
        validate(dgm_run.compose(*job))


def anchors(text):
    """Returns the anchors of a page's headings, as a forge makes them."""
    headings = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    return {re.sub(r"[^\w -]", "", each).lower().replace(" ", "-") for each in headings}


@pytest.mark.parametrize("name", readme.PAGES)
def test_links_lead_somewhere(name):
    folder = (readme.ROOT / name).parent
    for target in re.findall(r"\]\(([^)]+)\)", readme.PAGES[name]):
        path, _, anchor = target.partition("#")
        assert (folder / path).exists(), target
        page = (folder / path).resolve().relative_to(readme.ROOT.resolve()).as_posix() if path else name
        assert not anchor or anchor in anchors(readme.PAGES[page]), target


def test_the_index_links_every_page():
    linked = set(re.findall(r"\]\(([\w/]+\.md)\)", readme.PAGES["docs/README.md"]))
    assert linked == {name.removeprefix("docs/") for name in readme.PAGES} - {"README.md"}
    assert "(docs/README.md)" in readme.PAGES["README.md"]


def test_the_file_tree_names_every_folder():
    (tree,) = re.findall(r"^    dgm_run/\n((?:      \S.*\n)+)", readme.PAGES["README.md"], re.MULTILINE)
    folders = {path.name for path in (readme.ROOT / "dgm_run").iterdir() if (path / "__init__.py").exists()}
    assert set(re.findall(r"^      (\w+)/ ", tree, re.MULTILINE)) == folders


@pytest.mark.parametrize("group", GROUP_DESCRIPTIONS)
def test_every_choice_is_explained(group):
    text = " ".join(text for name, text in readme.PAGES.items() if name.startswith("docs/"))
    for path in (conf_dir() / group).glob("*.yaml"):
        assert re.search(rf"`([\w/]+=)?{path.stem}`", text), path.stem


def newest(root, pattern):
    return sorted(root.glob(pattern), key=lambda path: path.stat().st_mtime_ns, reverse=True)


def newest_sweep(root):
    """Returns the folder of the newest sweep that has run its jobs."""
    folders = [path.parent for path in newest(root, "outputs/sweeps/**/multirun.yaml")]
    return next(folder for folder in folders if any(folder.glob("*/results.json")))


def run_folders(root):
    found = [path.parent for path in newest(root, "outputs/**/results.json")]
    return [folder for folder in found if "sentence" not in folder.name]  # chains over sentences take minutes


def run(arguments, root, data):
    """Runs one command of a page, shortened, where its reader would."""
    name, *rest = arguments
    if name == "dgm-run":
        rest = [f"sweep.resume={newest_sweep(root)}" if each.startswith("sweep.resume=") else each for each in rest]
        return run_command("main", *rest, *shorten(rest), cwd=root, DGM_DATA_DIR=str(data))
    if "RUN_DIR" not in rest:
        return run_command(FUNCTIONS[name], *rest, cwd=root, DGM_DATA_DIR=str(data))
    for folder in run_folders(root):  # the command is about a run of its kind
        words = [str(folder) if each == "RUN_DIR" else each for each in rest]
        done = run_command(FUNCTIONS[name], *words, *small_estimators(words), cwd=root, DGM_DATA_DIR=str(data))
        if done.returncode == 0:
            return done
    return done


def shorten(arguments):
    """Returns overrides that make a run short; a resumed sweep takes those of its jobs."""
    if any(each.startswith("sweep.resume") for each in arguments):
        return []
    if "--config-dir" in arguments:  # its parts are not in the package
        return SHORT_VAE
    is_search = {"hydra/sweeper=optuna", "+hparams_search=vae"} & set(arguments)
    few_trials = ["hydra.sweeper.n_trials=2"] if is_search else []
    return [*readme.shorten(readme.compose_jobs(arguments), arguments), *few_trials]


def small_estimators(words):
    chosen = re.search(r"estimators=\[(\w+)\]", " ".join(words))
    sizes = {
        "ais_decoder": ("num_temperatures=5", "num_examples=5", "target_gap=null"),
        "out_of_distribution": ("num_examples=20",),
    }
    return [f"estimators.{chosen[1]}.{each}" for each in sizes[chosen[1]]] if chosen else []


def cannot_run(arguments):
    """Returns whether a command never ends, or needs more cores."""
    return arguments[0] == "tensorboard" or ("trainer.devices=4" in arguments and (os.cpu_count() or 1) < 4)


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("page", PAGES_WITH_COMMANDS)
def test_every_command_runs(page, tmp_path):
    data = tmp_path / "data"
    data.mkdir()
    readme.write_data(data)
    readme.write_own_files(tmp_path)
    readme.write_own_prior(tmp_path)
    readme.write_adapter(tmp_path)
    commands = readme.read_commands(readme.PAGES[page])
    if not any(each[0] == "dgm-run" for each in commands):
        commands = [["dgm-run"], *commands]  # a run for the commands that are about one
    failed = []
    for arguments in commands:
        if cannot_run(arguments):
            continue
        done = run(arguments, tmp_path, data)
        if done.returncode != 0 or "Traceback" in done.stderr:
            failed.append((" ".join(arguments), done.stderr[-500:]))
    assert not failed, failed


def short_example(page):
    """Returns the first command of a page that runs in seconds on embedded data; None where there is none."""
    for arguments in readme.read_commands(readme.PAGES[page]):
        is_own = any(name in word for word in arguments for name in ("mine.", "adapter."))
        if arguments in RUNS and not is_own and not any(word.startswith(NEEDS_MORE) for word in arguments[1:]):
            return arguments
    return None


@pytest.mark.parametrize(
    "page",
    [
        pytest.param(page, marks=pytest.mark.slow if page in LONG_PAGES else ())
        for page in filter(short_example, PAGES_WITH_COMMANDS)
    ],
)
def test_an_example_of_the_page_runs(page, tmp_path):
    done = run(short_example(page), tmp_path, tmp_path / "data")
    assert done.returncode == 0, done.stderr


def test_an_own_prior_runs_as_shown(tmp_path):
    readme.write_own_prior(tmp_path)
    (arguments,) = [each for each in COMMANDS if "--config-dir" in each]
    done = run_command("main", *arguments[1:], *SHORT_VAE, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert newest(tmp_path, "outputs/**/results.json")


def test_own_logger_and_callback_run_as_shown(tmp_path):
    readme.write_own_classes(tmp_path)
    shown = ["--config-dir", "conf", "logger=[tensorboard,print]", "+callbacks.quit._target_=quit_early.QuitEarly"]
    assert all(each in readme.TEXT for each in shown)
    arguments = [*shown, "+callbacks.quit.target=-1000", *SHORT_VAE, "trainer.max_steps=null", "trainer.max_epochs=9"]
    done = run_command("main", *arguments, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert re.search(r"^step 13: valid/elbo = -\d+\.\d\d$", done.stdout, re.MULTILINE)
    assert "1 epoch in 0:0" in done.stdout
    assert "(stopped by target)" in done.stdout


def test_own_arrays_run_as_shown(tmp_path):
    readme.write_own_files(tmp_path)
    (arguments,) = [each for each in RUNS if "dataset.source.path=mine.npz" in each]
    more = readme.shorten(readme.compose_jobs(arguments[1:]), arguments)
    done = run_command("main", *arguments[1:], *more, "trainer.batch_size=10", cwd=tmp_path)
    assert done.returncode == 0, done.stderr


def test_python_examples_run_as_shown(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    blocks = [each for name in ("README.md", "docs/python.md") for each in readme.read_code(readme.PAGES[name])]
    blocks = [each for each in blocks if "import dgm_run\n" in each]
    assert len(blocks) == 2
    for code in blocks:  # the first one trains the run of the second
        code = code.replace('"trainer.max_epochs=20"', '"trainer.max_epochs=1", "trainer.max_steps=2"')
        names = {}
        exec(compile(code, "README.md", "exec"), names)  # the project's own text
        assert names["x"].shape == (64, 1, 8, 8)
    assert (tmp_path / "outputs" / "mine" / "results.json").exists()


def quoted_table():
    """The estimates that docs/likelihoods.md quotes of `make run`: quantity to value, error and interval."""
    text = readme.PAGES["docs/likelihoods.md"]
    rows = re.findall(r"    test/(\w+) +(-?[\d.]+) +([\d.]+) +(-?[\d.]+) to (-?[\d.]+) +nats", text)
    return {name: tuple(map(float, numbers)) for name, *numbers in rows}


@pytest.mark.slow
def test_the_numbers_of_make_run_are_quoted(tmp_path):
    makefile = (Path(readme.__file__).parents[2] / "Makefile").read_text()
    overrides = re.search(r"^run:.*\n\t\$\(BIN\)/dgm-run (.*)$", makefile, re.MULTILINE)[1].split()
    found = dgm_run.run(dgm_run.compose(*overrides), tmp_path / "run")
    rows = {row["quantity"]: row for row in found["estimates"]}
    assert set(quoted_table()) == {"log_likelihood", "elbo"}
    for name, (value, error, low, high) in quoted_table().items():
        assert rows[name]["value"] == pytest.approx(value, abs=0.1)  # processors round differently
        assert rows[name]["stderr"] == pytest.approx(error, abs=0.02)
        assert rows[name]["interval"] == pytest.approx([low, high], abs=0.15)


@pytest.mark.slow
def test_black_images_are_likelier_as_quoted(tmp_path):
    if "DGM_DATA_DIR" not in os.environ:
        pytest.skip("needs MNIST")
    quoted = re.search(r"auroc_black: likelier than data \(([\d.]+) against ([\d.]+) nats\)", readme.TEXT)
    (arguments,) = [
        each for each in RUNS if "dataset=mnist" in each and "estimators=[exact,out_of_distribution]" in each
    ]
    found = dgm_run.run(dgm_run.compose(*arguments[1:]), tmp_path / "run")
    told = next(row for row in found["estimates"] if row["quantity"] == "auroc_black" and row["warning"])
    for quote, name in zip(quoted.groups(), ("mean", "mean_of_data"), strict=True):
        assert told["diagnostics"][name] == pytest.approx(float(quote), abs=0.2)
