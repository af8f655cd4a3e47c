"""The comparison as tidy records, one for each run and quantity, and as CSV."""

import csv
import io
from collections.abc import Mapping, Sequence
from typing import Any

from dgm_run.config.leaves import format_leaf
from dgm_run.report.comparison import Comparison
from dgm_run.report.groups import is_seed
from dgm_run.report.rows import Difference, Row
from dgm_run.report.runs import Run
from dgm_run.report.tables import EstimateSpec


def make_records(comparison: Comparison) -> list[dict[str, Any]]:
    """Returns a record for each run and quantity, all with the same keys; None stands for a value that is not known.

    A number with several estimators or settings has a record for each. The settings by which configurations differ are
    keys with their own names, such as `prior`. `difference` and its interval belong to the configuration of the run.
    """
    groups = comparison.groups
    names = list(dict.fromkeys(name for group in groups for name in group.settings))
    seeds = _find_varying_seeds(comparison.runs)
    records = []
    for spec, rows in comparison.tables:
        for row in rows if not spec.run else ():  # a table by estimator seeds repeats the numbers of others
            compared = _describe_comparison(row)
            for run, estimate in zip(row.group.runs, row.estimates, strict=True):
                settings = {name: _flatten(row.group.settings.get(name)) for name in names}
                run_fields = _describe_run(run, spec) | {key: run.settings.get(key) for key in seeds}
                method = _describe_method(spec, estimate)
                records.append(
                    {"run": run.name, "configuration": row.group.name, **settings, **run_fields, **method, **compared}
                    | _describe_cost(run)
                )
    return records


def render_csv(records: Sequence[Mapping[str, Any]]) -> str:
    """Renders records as CSV with a line of heads; an unknown value is empty."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    if records:
        writer.writerow(records[0])
    writer.writerows([_format_field(value) for value in record.values()] for record in records)
    return buffer.getvalue()


def _format_field(value: Any) -> str:
    return "" if value is None else format_leaf(value)


def _flatten(setting: Any) -> Any:
    """Returns a setting, or the text of a list, by which a data frame can be grouped."""
    return format_leaf(setting) if isinstance(setting, list) else setting


def _find_varying_seeds(runs: Sequence[Run]) -> list[str]:
    """Returns the keys of seeds in which the runs differ, other than the seeds of the run and of its estimators."""
    keys = dict.fromkeys(key for run in runs for key in run.settings if is_seed(key))
    keys = {key: None for key in keys if key != "seed" and not key.startswith("estimators.")}
    return [key for key in keys if len({str(run.settings[key]) for run in runs if key in run.settings}) > 1]


def _describe_run(run: Run, spec: EstimateSpec) -> dict[str, Any]:
    return {
        "seed": run.settings.get("seed"),
        "model": run.choices.get("model") or run.results["model"],
        "dataset": spec.dataset,
        "preprocessing": spec.preprocessing,
        "trained_on": run.results["dataset"],
        "is_other_data": spec.is_other,
    }


def _describe_method(spec: EstimateSpec, estimate: Mapping[str, Any]) -> dict[str, Any]:
    low, high = estimate.get("interval") or (None, None)
    return {
        "split": spec.split,
        "quantity": spec.quantity,
        "value": estimate["value"],
        "stderr": estimate.get("stderr"),
        "interval_low": low,
        "interval_high": high,
        "unit": spec.unit,
        "better": spec.better,
        "kind": spec.kind,
        "estimator": spec.estimator,
        "estimator_settings": spec.settings,
        "num_examples": spec.num_examples,
        "warning": (estimate.get("warning") or "").replace("\n", "; ") or None,
    }


def _describe_comparison(row: Row) -> dict[str, Any]:
    """Returns the difference of the configuration to the best, with its interval, and the published number."""
    mean, low, high, _ = row.difference if isinstance(row.difference, Difference) else (None,) * 4
    published, source = row.published or (None, None)
    return {
        "difference": mean,
        "difference_low": low,
        "difference_high": high,
        "published": published,
        "published_source": source,
    }


def _describe_cost(run: Run) -> dict[str, Any]:
    training = run.results["training"]
    return {
        "parameters": run.results["parameters"],
        "epochs": training["epochs"],
        "training_seconds": training["seconds"],
        "stopped_by": training["stopped_by"],
        "version": run.version,
    }
