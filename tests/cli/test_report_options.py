import pytest

from dgm_run.cli.report_options import ReportOptions, parse_report_options
from dgm_run.errors import ConfigError


@pytest.mark.parametrize(
    ("arguments", "options"),
    [
        ([], ("separate", False, False, None)),
        (["--estimator-seeds=pool"], ("pool", False, False, None)),
        (["--estimator-seeds", "compare", "--csv"], ("compare", True, False, None)),
        (["--figures=svg", "--latex"], ("separate", False, True, "svg")),
        (["--csv", "--latex", "--figures", "pdf"], ("separate", True, True, "pdf")),
    ],
)
def test_options_stand_in_any_form(arguments, options):
    assert parse_report_options(arguments) == ReportOptions(*options)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--estimator-seeds=mean"], "--estimator-seeds=mean: write separate, pool or compare"),
        (["--estimator-seeds"], "--estimator-seeds=: write separate, pool or compare"),
        (["--figures=png"], "--figures=png: write pdf or svg"),
        (["--figures"], "--figures=: write pdf or svg"),
        (["--csv=x"], "--csv=x: dgm-report takes a folder, and --csv, --latex, --figures=pdf|svg and "),
        (["x"], "x: dgm-report takes a folder, and --csv, --latex, --figures=pdf|svg and --estimator-seeds=sep"),
    ],
)
def test_other_arguments_are_refused(arguments, message):
    with pytest.raises(ConfigError) as told:
        parse_report_options(arguments)
    assert str(told.value).startswith(message)
