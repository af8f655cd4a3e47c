"""Options of `dgm-report`."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple, get_args

from dgm_run.errors import ConfigError

if TYPE_CHECKING:
    from dgm_run.report.estimator_seeds import EstimatorSeeds
    from dgm_run.report.write import FigureFormat

OPTIONS = "--csv, --latex, --figures=pdf|svg and --estimator-seeds=separate|pool|compare"


class ReportOptions(NamedTuple):
    """Options of `dgm-report`, which are the arguments of `report.write.report`."""

    estimator_seeds: "EstimatorSeeds"
    csv: bool
    latex: bool
    figures: "FigureFormat | None"


def parse_report_options(arguments: Sequence[str]) -> ReportOptions:
    """Parses the options of `dgm-report`. The value of an option stands behind `=`, or is the next word.

    Raises:
        ConfigError: an argument is no option, or an option has another value.
    """
    from dgm_run.report.estimator_seeds import EstimatorSeeds  # imports NumPy
    from dgm_run.report.write import FigureFormat

    choices = {"--estimator-seeds": get_args(EstimatorSeeds), "--figures": get_args(FigureFormat)}
    chosen: dict[str, str] = {}
    words = iter(arguments)
    for word in words:
        option, equals, value = word.partition("=")
        if word in ("--csv", "--latex"):
            chosen[word] = word
        elif option in choices:
            chosen[option] = value if equals else next(words, "")
            _check_choice(option, chosen[option], choices[option])
        else:
            raise ConfigError(f"{word}: dgm-report takes a folder, and {OPTIONS}")
    seeds = chosen.get("--estimator-seeds", choices["--estimator-seeds"][0])
    return ReportOptions(seeds, "--csv" in chosen, "--latex" in chosen, chosen.get("--figures"))  # type: ignore[arg-type]


def _check_choice(option: str, value: str, choices: Sequence[str]) -> None:
    if value not in choices:
        raise ConfigError(f"{option}={value}: write {', '.join(choices[:-1])} or {choices[-1]}")
