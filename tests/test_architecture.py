"""Imports point one way, and the folders hold what they say."""

import ast
from importlib import import_module
from pathlib import Path

import pytest

import dgm_run

ROOT = Path(dgm_run.__file__).parent
FILES = sorted(path for path in ROOT.rglob("*.py"))

LAYERS = [  # a module imports only from its own layer or from those further down
    {"cli", "__main__"},
    {"runner", "report"},
    {"trainers"},
    {"objectives", "estimators"},
    {"models"},
    {"priors"},
    {"posteriors", "decoders", "samplers"},
    {"encoders", "likelihoods"},
    {"data"},
    {"networks", "distributions"},
    {"distributed"},
    {"recording"},
    {"config"},
    {"rng", "memory", "errors"},
]
DEPTH = {name: depth for depth, names in enumerate(LAYERS) for name in names}


def imports_of(path: Path) -> list[str]:
    """Full names of the project's modules that a file imports, at any depth of its code."""
    found = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("dgm_run"):
            names = [node.module] if node.module != "dgm_run" else [f"dgm_run.{alias.name}" for alias in node.names]
            found += names
        elif isinstance(node, ast.Import):
            found += [alias.name for alias in node.names if alias.name.startswith("dgm_run.")]
    return found


def part(module: str) -> str:
    return module.split(".")[1]


@pytest.mark.parametrize("path", [p for p in FILES if p.name != "__init__.py"], ids=lambda p: str(p.relative_to(ROOT)))
def test_imports_point_from_the_run_down_to_the_data(path):
    own = path.relative_to(ROOT).with_suffix("").parts[0]
    for module in imports_of(path):
        assert DEPTH[part(module)] >= DEPTH[own], f"{path.name} imports {module}, which stands above it"


def test_there_are_no_import_cycles():
    edges = {
        ".".join(("dgm_run", *path.relative_to(ROOT).with_suffix("").parts)): set(imports_of(path))
        for path in FILES
        if path.name != "__init__.py"
    }
    done: set[str] = set()

    def visit(module: str, trail: tuple[str, ...]) -> None:
        assert module not in trail, " -> ".join((*trail, module))
        if module not in done:
            for target in edges.get(module, ()):
                visit(target, (*trail, module))
            done.add(module)

    for module in edges:
        visit(module, ())


def test_only_the_entry_imports_hydra_and_omegaconf():
    allowed = {
        "cli/arguments.py",
        "cli/completion.py",
        "cli/dry_run.py",
        "cli/exit_status.py",
        "cli/job.py",
        "cli/main.py",
        "cli/resume.py",
        "cli/run_commands.py",
        "cli/search.py",
        "cli/search_space.py",
        "config/compose.py",
        "config/hydra_compose.py",
        "config/hydra_errors.py",
        "config/overrides.py",
        "config/schema.py",
        "config/validate.py",
        "runner/assemble.py",
        "runner/evaluate_again.py",
        "runner/run.py",
        "runner/run_folder.py",
        "runner/workers.py",
    }
    for path in FILES:
        text = path.read_text()
        if "import hydra" in text or "from hydra" in text or "omegaconf" in text.split('"""', 2)[-1]:
            assert path.relative_to(ROOT).as_posix() in allowed, path


def test_nothing_is_unpickled_or_evaluated():
    forbidden = ("weights_only=False", "allow_pickle=True", "pickle.load", "torch.load(", "yaml.load(", "eval(")
    for path in FILES:
        code = path.read_text().replace(".eval(", ".")
        assert not [word for word in forbidden if word in code], path


def test_every_module_has_a_test_of_its_name():
    for path in FILES:
        if path.name not in ("__init__.py", "base.py") and path.read_text().count("\n") > 25:
            place = path.relative_to(ROOT)
            assert (Path(__file__).parent / place).with_name(f"test_{place.name}").exists(), place


def test_the_top_of_the_package_is_small():
    entries = [path.name for path in ROOT.iterdir() if path.name != "__pycache__"]
    assert len(entries) <= 25, sorted(entries)


def test_no_module_hides_a_public_function():
    names = {path.stem for path in ROOT.iterdir()}
    assert not names & set(dgm_run.__all__)


def test_inheritance_is_at_most_three_deep():
    def count_ancestors(kind: type) -> int:
        parents = [base for base in kind.__bases__ if base.__module__.startswith("dgm_run")]
        return max((1 + count_ancestors(base) for base in parents), default=0)

    own = {}
    for path in FILES:
        if path.name != "__main__.py":
            name = ".".join(path.relative_to(ROOT.parent).with_suffix("").parts).removesuffix(".__init__")
            kinds = [kind for kind in vars(import_module(name)).values() if isinstance(kind, type)]
            own |= {kind: count_ancestors(kind) for kind in kinds if kind.__module__ == name}
    assert len(own) > 300
    assert [kind.__name__ for kind, depth in own.items() if depth > 3] == []
