"""`python -m tests.language`: measures how plainly code and pages are written, and fails where a limit is passed.

A docstring begins with a verb or a noun, a function is a verb phrase, a line assigns one thing, sentences are short.
Measures without a folder are of the package; fixtures, which are named after what they give, are not counted.
`--list MEASURE` prints the places that a measure counts.
"""

import argparse
import ast
import re
import statistics
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[1]
LIMITS = {
    "docstrings that begin with a pronoun or a preposition, %": 2.0,
    "functions named by a participle, %": 1.0,
    "assignments of several values at once, %": 2.0,
    "words of a sentence in docstrings, median": 16.0,
    "characters of a test's name, median": 40.0,
    "lines of the longest file": 400.0,
    "lines of the longest function": 40.0,
    "bytes of README.md": 7000.0,
    "words of a sentence in README.md, median": 16.0,
    "words of a sentence in docs/, median": 16.0,
    "docstrings that begin so in benchmarks, examples, tests, %": 2.0,
    "functions named by a participle in benchmarks, examples, tests, %": 1.0,
    "sentences of more than 25 words in README.md and docs/, %": 3.0,
    "words in README.md and docs/ that are private": 0.0,
}
PACKAGE = ("dgm_run",)
AROUND = ("benchmarks", "examples", "tests")
BAD_BEGINNING = re.compile(
    r"(about|above|after|all|among|and|any|as|at|before|below|between|beyond|both|by|each|either|every|for|from|how|if|in|"
    r"into|it|its|like|most|near|no|none|nothing|of|on|ones?|only|others?|out|over|per|so|some|such|than|that|their|them|"
    r"these|they|this|those|through|to|under|until|up|upon|what|whatever|when|where|whether|which|while|who|whose|why|with|"
    r"within|without)\b",
    re.IGNORECASE,
)
PRIVATE = re.compile(
    r"\b(strange|rivals?|holes?|seen through|told apart|hold(s|ing)? against|held against|way of (a|the) number)\b",
    re.IGNORECASE,
)
"""Words that stood for a term of the field: odd, other runs, missing values, binarised, distinguished, compared."""
NO_PARTICIPLE = re.compile(r"(embed|feed|need|read|seed|speed|proceed|exceed)$")


@cache
def read_trees(folders: tuple[str, ...]) -> list[tuple[Path, ast.Module]]:
    """Returns the path, relative to the root, and the syntax tree of each Python file in these folders."""
    paths = [path for folder in folders for path in sorted((ROOT / folder).rglob("*.py"))]
    return [(path.relative_to(ROOT), ast.parse(path.read_text(encoding="utf-8"))) for path in paths]


def docstrings(tree: ast.AST) -> Iterator[tuple[int, str]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            text = ast.get_docstring(node)
            if text:
                yield node.body[0].lineno, text


def functions(tree: ast.AST) -> Iterator[ast.FunctionDef]:
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def begins_badly(text: str) -> bool:
    return bool(BAD_BEGINNING.match(text))


def is_participle(name: str) -> bool:
    word = name.strip("_").partition("_")[0]
    return "_" not in name.strip("_") and word.endswith("ed") and not NO_PARTICIPLE.match(word)


def is_fixture(function: ast.FunctionDef) -> bool:
    return any("fixture" in ast.unparse(each) for each in function.decorator_list)


def is_packed(node: ast.AST) -> bool:
    return (
        isinstance(node, ast.Assign)
        and isinstance(node.targets[0], ast.Tuple)
        and isinstance(node.value, ast.Tuple)
        and len(node.targets[0].elts) == len(node.value.elts)
    )


def body_lines(node: ast.FunctionDef) -> int:
    first = node.body[1] if ast.get_docstring(node) and len(node.body) > 1 else node.body[0]
    return node.end_lineno - first.lineno + 1


def sentences(text: str) -> list[str]:
    prose = re.split(r"\n\s*(?:Args|Attributes|Raises|Returns|Yields|Sources?)\b", text)[0]
    found = re.split(r"(?<=[.!?])\s+|:\s*\n|\n\s*\n", prose)
    return [each for each in found if len(each.split()) > 2]


def prose_of(markdown: str) -> str:
    """Returns the text of a page without headings, code, tables, pictures; each item of a list is a paragraph."""
    text = re.sub(r"^```.*?^```$", "", markdown, flags=re.MULTILINE | re.DOTALL)
    text = re.sub(r"^(#|\||!|    ).*$", "", text, flags=re.MULTILINE)
    text = re.sub(r"^(- |\d+\. )", "\n", text, flags=re.MULTILINE)
    return re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", text)


def measure_docstrings(folders: tuple[str, ...]) -> tuple[float, list[str]]:
    """Returns the percentage of docstrings that begin with a pronoun or a preposition, and their places."""
    found = [(where, line, doc) for where, tree in read_trees(folders) for line, doc in docstrings(tree)]
    bad = [f"{where}:{line}: {doc.splitlines()[0]}" for where, line, doc in found if begins_badly(doc)]
    return 100 * len(bad) / len(found), bad


def measure_functions(folders: tuple[str, ...]) -> tuple[float, list[str]]:
    """Returns the percentage of functions that are named by a participle, and their places."""
    found = [(where, each) for where, tree in read_trees(folders) for each in functions(tree) if not is_fixture(each)]
    bad = [f"{where}:{each.lineno}: {each.name}" for where, each in found if is_participle(each.name)]
    return 100 * len(bad) / len(found), bad


def measure_pages(paths: list[Path]) -> tuple[float, list[str]]:
    """Returns the median number of words in a sentence of these pages, and the sentences over 25 words."""
    found = [(path, each) for path in paths for each in sentences(prose_of(path.read_text(encoding="utf-8")))]
    long = [f"{path.relative_to(ROOT)}: {len(each.split())} words: {each[:60]!r}" for path, each in found
            if len(each.split()) > 25]  # fmt: skip
    return statistics.median(len(each.split()) for _, each in found), long


def find_private_words(paths: list[Path]) -> list[str]:
    """Returns the places of words that stand for a term of the field."""
    lines = [
        (path, number, line)
        for path in paths
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
    ]
    found = [(path, number, match[0]) for path, number, line in lines for match in PRIVATE.finditer(line)]
    return [f"{path.relative_to(ROOT)}:{number}: {word}" for path, number, word in found]


def count_sentences(paths: list[Path]) -> int:
    return sum(len(sentences(prose_of(path.read_text(encoding="utf-8")))) for path in paths)


def measure() -> tuple[dict[str, float], dict[str, list[str]]]:
    """Returns the value of each measure, and the places that it counts."""
    places: dict[str, list[str]] = {name: [] for name in LIMITS}
    names = list(LIMITS)
    num_assignments = 0
    words: list[int] = []
    longest_file = longest_function = 0
    for path in sorted((ROOT / "dgm_run").rglob("*.py")):
        text = path.read_text(encoding="utf-8")
        tree, where = ast.parse(text), path.relative_to(ROOT)
        longest_file = max(longest_file, text.count("\n"))
        if text.count("\n") > LIMITS[names[5]]:
            places[names[5]].append(f"{where}: {text.count(chr(10))}")
        for line, doc in docstrings(tree):
            lengths = [len(each.split()) for each in sentences(doc)]
            words += lengths
            if lengths and max(lengths) > 25:
                places[names[3]].append(f"{where}:{line}: {max(lengths)} words")
        for function in functions(tree):
            longest_function = max(longest_function, body_lines(function))
            if body_lines(function) > LIMITS[names[6]]:
                places[names[6]].append(f"{where}:{function.lineno}: {function.name}, {body_lines(function)}")
        for node in ast.walk(tree):
            num_assignments += isinstance(node, ast.Assign)
            if is_packed(node):
                places[names[2]].append(f"{where}:{node.lineno}")
    tests = []
    for path in sorted((ROOT / "tests").rglob("test_*.py")):
        for function in functions(ast.parse(path.read_text(encoding="utf-8"))):
            if function.name.startswith("test_"):
                tests.append(len(function.name))
                if len(function.name) > LIMITS[names[4]]:
                    places[names[4]].append(f"{path.relative_to(ROOT)}:{function.lineno}: {function.name}")
    values = {}
    for name, take, folders in (
        (names[0], measure_docstrings, PACKAGE),
        (names[1], measure_functions, PACKAGE),
        (names[10], measure_docstrings, AROUND),
        (names[11], measure_functions, AROUND),
    ):
        values[name], places[name] = take(folders)
    readme_words, places[names[8]] = measure_pages([ROOT / "README.md"])
    made = ROOT / "docs" / "reference"  # by `make docs`
    pages = [path for path in sorted((ROOT / "docs").rglob("*.md")) if made not in path.parents]
    docs_words, places[names[9]] = measure_pages(pages)
    all_pages = [ROOT / "README.md", *pages]
    places[names[12]] = places[names[8]] + places[names[9]]
    places[names[13]] = find_private_words(all_pages)
    values |= {
        names[2]: 100 * len(places[names[2]]) / num_assignments,
        names[3]: statistics.median(words),
        names[4]: statistics.median(tests),
        names[5]: longest_file,
        names[6]: longest_function,
        names[7]: (ROOT / "README.md").stat().st_size,
        names[8]: readme_words,
        names[9]: docs_words,
        names[12]: 100 * len(places[names[12]]) / count_sentences(all_pages),
        names[13]: len(places[names[13]]),
    }
    return values, places


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.language", description=__doc__)
    parser.add_argument("--list", metavar="MEASURE", help="words of a measure's name: prints the places that it counts")
    args = parser.parse_args()
    values, places = measure()
    if args.list:
        for name, found in places.items():
            if args.list in name:
                print("\n".join(found))
        return
    for name in LIMITS:
        value = values[name]
        mark = "ok" if value <= LIMITS[name] else "TOO MUCH"
        print(f"{value:7.1f}  at most {LIMITS[name]:5.1f}  {mark:8}  {name}")
    sys.exit(any(value > LIMITS[name] for name, value in values.items()))


if __name__ == "__main__":
    main()
