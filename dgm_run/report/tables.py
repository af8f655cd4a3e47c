"""Numbers side by side: only those that were found in the same way, on the same data."""

import json
import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from dgm_run.config.compose import DATA_PLACES
from dgm_run.recording.estimate_id import describe_method
from dgm_run.report.differences import add_differences
from dgm_run.report.groups import Group
from dgm_run.report.rows import Row
from dgm_run.report.runs import Run

FIRST = ("log_likelihood", "elbo", "bits_per_dim", "perplexity", "error")
HIGHER = (
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
LOWER = (
    *("bits_per_dim", "perplexity", "error", "mse", "kl_from_truth", "calibration_error", "cfid", "frechet", "kid"),
    *("mmd", "class_kl", "duplicates"),
)
"""Of quantities by these names, and by these with more behind an underscore, one end is the better one."""
NOT_RANKED = ("mmd_p_value",)


def better_direction(quantity: str) -> Literal["higher", "lower"] | None:
    """Which of two numbers of a quantity is the better one, if either is."""
    directions: dict[Literal["higher", "lower"], Sequence[str]] = {"higher": HIGHER, "lower": LOWER}
    for better, names in directions.items():
        named = any(quantity == name or quantity.startswith(f"{name}_") for name in names)
        if named and quantity not in NOT_RANKED:
            return better
    return None


@dataclass(frozen=True)
class EstimateSpec:
    """How a number was found; numbers of two ways are never ranked together.

    Attributes:
        split, quantity, estimator, kind, unit: as in results.json.
        settings: of the estimator, as JSON.
        num_examples: that it was found on.
        dataset, preprocessing: of the data.
        data: what else decides which examples are tested, as JSON.
        apart: what of that tells it from another way in the same words.
        run: whose evaluations under several seeds of the estimator are compared; empty where configurations are.
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
    apart: str = ""
    run: str = ""

    @property
    def title(self) -> str:
        """Of its table."""
        return f"{self.quantity} by seed of the estimator" if self.run else self.quantity

    @property
    def better(self) -> Literal["higher", "lower"] | None:
        """Which of two numbers is the better one, if either is."""
        return better_direction(self.quantity)

    def describe(self) -> str:
        """In a line, for the head of a table."""
        end = f"; {self.better} is better" if self.better else ""
        if self.run:
            end = f"; evaluations of the run {self.run} under several seeds of the estimator"
        return f"{self.describe_method()}; {self.num_examples} examples of {self.describe_data()}{end}"

    def describe_method(self) -> str:
        how = describe_method(self.kind, self.estimator, json.loads(self.settings))
        return how + (f", {self.unit}" if self.unit else "")

    def describe_data(self) -> str:
        path = json.loads(self.data).get("dataset.source.path")
        more = ", ".join(filter(None, (path, self.apart)))
        return f"{self.dataset} {self.split}" + (f" ({more})" if more else "") + f", binarisation {self.preprocessing}"


def versions(runs: Sequence[Run]) -> list[str]:
    """Of the code, each with the number of its runs, where there are several: their numbers may not compare."""
    found = Counter(run.version for run in runs)
    return [f"{count} by {version}" for version, count in found.most_common()] if len(found) > 1 else []


def tables(groups: Sequence[Group]) -> Iterator[tuple[EstimateSpec, list[Row]]]:
    """For every way in which a number was found the groups that have it, the best first."""
    found: dict[EstimateSpec, list[Row]] = {}
    for group in groups:
        of_group: dict[EstimateSpec, list[tuple[Run, Mapping[str, Any]]]] = {}
        for run in group.runs:
            for estimate in run.results["estimates"]:
                of_group.setdefault(spec_of(run, estimate), []).append((run, estimate))
        for way, pairs in of_group.items():
            runs, estimates = zip(*pairs, strict=True)
            row = Row(replace(group, runs=runs), estimates, "", published_of(way, runs))
            found.setdefault(way, []).append(row)
    apart = _apart(list(found))
    for way in sorted(found, key=lambda way: _rank(way, len(found[way]))):
        rows = found[way]
        if way.better:
            rows.sort(key=_greatest_first if way.better == "higher" else _least_first)
            rows = add_differences(rows)
        yield replace(way, apart=apart[way]), rows


def _least_first(row: Row) -> tuple[bool, float]:
    return not math.isfinite(row.mean), row.mean


def _greatest_first(row: Row) -> tuple[bool, float]:
    return not math.isfinite(row.mean), -row.mean


def _apart(ways: Sequence[EstimateSpec]) -> dict[EstimateSpec, str]:
    """What tells each way from others that are described in the same words."""
    same: dict[tuple[str, str], list[EstimateSpec]] = {}
    for way in ways:
        same.setdefault((way.quantity, way.describe()), []).append(way)
    found = {}
    for others in same.values():
        data = [json.loads(way.data) for way in others]
        names = [name for name in dict.fromkeys(name for each in data for name in each)
                 if len({str(each.get(name)) for each in data}) > 1]  # fmt: skip
        for way, each in zip(others, data, strict=True):
            found[way] = ", ".join(f"{name}={each.get(name)}" for name in names)
    return found


def spec_of(run: Run, row: Mapping[str, Any]) -> EstimateSpec:
    """Returns how a row of results.json was found."""
    settings = json.dumps(row["settings"], sort_keys=True)
    split, quantity, estimator, kind = (str(row[name]) for name in ("split", "quantity", "estimator", "kind"))
    data = (str(run.results.get("dataset")), str(run.results.get("preprocessing")), _data(run))
    unit, num_examples = str(row.get("unit", "nats")), int(row.get("num_examples") or 0)
    return EstimateSpec(split, quantity, estimator, kind, unit, settings, num_examples, *data)


def _data(run: Run) -> str:
    """What decides which examples are tested, and is no choice of what is trained on."""
    has_digest = "md5 " in str(run.results.get("preprocessing"))  # which says more than the place does
    places = DATA_PLACES if has_digest else ("dataset.source.data_dir",)
    # densities are in the units of the data, whatever units the model sees
    free = ("dataset.num_labels", "dataset.label_seed", "dataset.num_classes", "dataset.standardize", *places)
    if run.settings.get("dataset.num_levels") is None:
        free += ("dataset.dequantize",)  # of levels alone
    told = {key: value for key, value in run.settings.items() if key.startswith("dataset.") and key not in free}
    # what is off is as what older code does not know of
    told = {key: value for key, value in told.items() if value is not None and value is not False}
    return json.dumps(told, sort_keys=True, default=str)


def _rank(way: EstimateSpec, num_rows: int) -> tuple:
    """What matters first, and what most configurations have."""
    place = FIRST.index(way.quantity) if way.quantity in FIRST else len(FIRST)
    return place, way.dataset, way.quantity, -num_rows, way.estimator, way.settings, way.num_examples, way.data


def published_of(way: EstimateSpec, runs: Sequence[Run]) -> tuple[float, str] | None:
    """The number of a paper for this quantity, and where it stands."""
    told = next((run.published for run in runs if run.published), None)
    return (told.values[way.quantity], told.where) if told and way.quantity in told.values else None
