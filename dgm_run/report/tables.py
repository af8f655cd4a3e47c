"""Tables of numbers by the same method on the same data."""

import json
import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from dgm_run.recording.estimate_id import describe_method, drop_augmentation, select_data_settings
from dgm_run.report.differences import add_differences
from dgm_run.report.groups import Group, describe_settings
from dgm_run.report.rows import Row
from dgm_run.report.runs import Run

MAIN_QUANTITIES = ("log_likelihood", "elbo", "bits_per_dim", "perplexity", "error")
"""Quantities of the overview, the most important first."""

HIGHER_IS_BETTER = (
    "log_likelihood",
    "elbo",
    "pseudo_likelihood",
    "parzen",
    "precision",
    "recall",
    "density",
    "coverage",
    "modes",
    "high_quality",
    "auroc",
)
"""Quantities for which higher numbers are better. A suffix may follow, as below."""

LOWER_IS_BETTER = (
    *(
        "bits_per_dim",
        "perplexity",
        "error",
        "mse",
        "rmse",
        "kl_from_truth",
        "calibration_error",
        "cfid",
        "frechet",
        "kid",
    ),
    *("mmd", "class_kl", "duplicates"),
)
"""Quantities for which lower numbers are better. A suffix may follow after an underscore, as in `error_knn`."""

NOT_RANKED = ("mmd_p_value",)
"""Quantities that begin like a ranked one, and have no better direction."""


def better_direction(quantity: str) -> Literal["higher", "lower"] | None:
    """Returns the better direction of a quantity; None where it has none."""
    directions: dict[Literal["higher", "lower"], Sequence[str]] = {"higher": HIGHER_IS_BETTER, "lower": LOWER_IS_BETTER}
    for better, names in directions.items():
        has_name = any(quantity == name or quantity.startswith(f"{name}_") for name in names)
        if has_name and quantity not in NOT_RANKED:
            return better
    return None


@dataclass(frozen=True)
class EstimateSpec:
    """Method and data of a number; only numbers of one specification are ranked together.

    Attributes:
        split, quantity, estimator, kind, unit: fields of results.json.
        settings: settings of the estimator, as JSON.
        num_examples: number of test examples.
        dataset, preprocessing: name and preprocessing of the data.
        data: other settings that choose the test examples, as JSON.
        is_other: whether the data are others than those that the runs were trained on.
        distinction: settings in `data` that distinguish it from specifications with the same description.
        run: the run whose estimator seeds are compared; empty where configurations are compared.
    """

    split: str
    quantity: str
    estimator: str
    kind: str
    unit: str
    settings: str
    num_examples: int
    dataset: str
    preprocessing: str
    data: str
    is_other: bool = False
    distinction: str = ""
    run: str = ""

    @property
    def title(self) -> str:
        """Title of the table."""
        return f"{self.quantity} by seed of the estimator" if self.run else self.quantity

    @property
    def data_name(self) -> str:
        """Name of the data; numbers on other data than those of the training stand under a name of their own."""
        return f"{self.dataset}, not trained on" if self.is_other else self.dataset

    @property
    def better(self) -> Literal["higher", "lower"] | None:
        """Better direction of the quantity; None where it has none."""
        return better_direction(self.quantity)

    def describe(self) -> str:
        """Describes method and data in a line, for the head of a table."""
        end = f"; {self.better} is better" if self.better else ""
        if self.run:
            end = f"; evaluations of the run {self.run} under several seeds of the estimator"
        return f"{self.describe_method()}; {self.num_examples} examples of {self.describe_data()}{end}"

    def describe_method(self) -> str:
        """Describes estimator, settings and unit."""
        method = describe_method(self.kind, self.estimator, json.loads(self.settings))
        return f"{method}, {self.unit}" if self.unit else method

    def describe_data(self) -> str:
        """Describes data set, split, path and binarisation."""
        path = json.loads(self.data).get("dataset.source.path")
        more = ", ".join(filter(None, (path, self.distinction)))
        binarisation = f", binarisation {self.preprocessing}" if self.preprocessing else ""
        not_trained = ", not trained on" if self.is_other else ""
        return f"{self.dataset} {self.split}" + (f" ({more})" if more else "") + not_trained + binarisation


def describe_versions(runs: Sequence[Run]) -> list[str]:
    """Returns the versions of the code with their numbers of runs; nothing if all runs have the same version."""
    counts = Counter(run.version for run in runs)
    return [f"{count} by {version}" for version, count in counts.most_common()] if len(counts) > 1 else []


def make_tables(groups: Sequence[Group]) -> Iterator[tuple[EstimateSpec, list[Row]]]:
    """Yields a table for each specification, with a row for each group that has the number, the best first."""
    rows_by_spec: dict[EstimateSpec, list[Row]] = {}
    for group in groups:
        pairs_by_spec: dict[EstimateSpec, list[tuple[Run, Mapping[str, Any]]]] = {}
        for run in group.runs:
            for estimate in run.results["estimates"]:
                pairs_by_spec.setdefault(make_spec(run, estimate), []).append((run, estimate))
        for spec, pairs in pairs_by_spec.items():
            runs, estimates = zip(*pairs, strict=True)
            row = Row(replace(group, runs=runs), estimates, "", find_published(spec, runs))
            rows_by_spec.setdefault(spec, []).append(row)
    distinctions = _distinguish(list(rows_by_spec))
    for spec in sorted(rows_by_spec, key=lambda spec: _rank(spec, len(rows_by_spec[spec]))):
        rows = rows_by_spec[spec]
        if spec.better:
            rows.sort(key=_greatest_first if spec.better == "higher" else _least_first)
            rows = add_differences(rows)
        yield replace(spec, distinction=distinctions[spec]), rows


def _least_first(row: Row) -> tuple[bool, float]:
    return not math.isfinite(row.mean), row.mean


def _greatest_first(row: Row) -> tuple[bool, float]:
    return not math.isfinite(row.mean), -row.mean


def _distinguish(specs: Sequence[EstimateSpec]) -> dict[EstimateSpec, str]:
    """Returns the data settings that distinguish each specification from others with the same description."""
    same: dict[tuple[str, str], list[EstimateSpec]] = {}
    for spec in specs:
        same.setdefault((spec.quantity, spec.describe()), []).append(spec)
    distinctions = {}
    for others in same.values():
        data = [json.loads(spec.data) for spec in others]
        all_names = dict.fromkeys(name for each in data for name in each)
        names = [name for name in all_names if len({str(each.get(name)) for each in data}) > 1]
        for spec, each in zip(others, data, strict=True):
            distinctions[spec] = describe_settings({name: each.get(name) for name in names})
    return distinctions


def make_spec(run: Run, row: Mapping[str, Any]) -> EstimateSpec:
    """Returns the specification of a row of results.json."""
    settings = json.dumps(row["settings"], sort_keys=True)
    split, quantity, estimator, kind = (str(row[name]) for name in ("split", "quantity", "estimator", "kind"))
    other = row.get("dataset")
    name = str(other["name"] if other else run.results.get("dataset"))
    preprocessing = drop_augmentation(str((other or run.results).get("preprocessing")))
    data_settings = other["settings"] if other else select_data_settings(run.settings, preprocessing)
    data = (name, preprocessing, json.dumps(data_settings, sort_keys=True, default=str), bool(other))
    unit = str(row.get("unit", "nats"))
    num_examples = int(row.get("num_examples") or 0)
    return EstimateSpec(split, quantity, estimator, kind, unit, settings, num_examples, *data)


def _rank(spec: EstimateSpec, num_rows: int) -> tuple:
    """Returns a key that sorts main quantities first, then by the number of configurations."""
    is_main = spec.quantity in MAIN_QUANTITIES
    rank = MAIN_QUANTITIES.index(spec.quantity) if is_main else len(MAIN_QUANTITIES)
    data = (spec.is_other, spec.dataset)
    return rank, *data, spec.quantity, -num_rows, spec.estimator, spec.settings, spec.num_examples, spec.data


def find_published(spec: EstimateSpec, runs: Sequence[Run]) -> tuple[float, str] | None:
    """Returns the published number for this quantity and its source; None where there is none, as on other data."""
    published = next((run.published_numbers for run in runs if run.published_numbers), None)
    if published and not spec.is_other and spec.quantity in published.values:
        return published.values[spec.quantity], published.where
    return None
