"""Tables that are embedded in scikit-learn. No download.

Sources: W. Wolberg et al., Breast Cancer Wisconsin (Diagnostic), UCI 1993, https://archive.ics.uci.edu/dataset/17,
CC BY 4.0; S. Aeberhard, M. Forina, Wine, UCI 1992, https://archive.ics.uci.edu/dataset/109, CC BY 4.0; B. Efron et al.,
Least angle regression, 2004, https://www4.stat.ncsu.edu/~boos/var.select/diabetes.html, which states no licence.
"""

from dataclasses import dataclass
from typing import Literal

from dgm_run.data.guess_columns import RawColumn
from dgm_run.data.table import TableSource

TARGETS = {"breast_cancer": "diagnosis", "wine": "cultivar", "diabetes": "progression"}
"""Name of the last column of each table, the target of classification or regression."""


@dataclass(frozen=True, kw_only=True)
class ScikitLearnTable(TableSource):
    """Table of scikit-learn in its own units, with the target as the last column.

    Args:
        table: breast_cancer | wine | diabetes.
        columns, label_column, kinds, label, use, one_hot, num_valid, num_test, split_seed: arguments of
            `TableSource`.
    """

    table: Literal["breast_cancer", "wine", "diabetes"]

    def read(self) -> list[RawColumn]:
        from sklearn import datasets  # takes a second

        more = {"scaled": False} if self.table == "diabetes" else {}
        found = getattr(datasets, f"load_{self.table}")(**more)
        table = [
            RawColumn(str(name), "double", x.tolist())
            for name, x in zip(found.feature_names, found.data.T, strict=True)
        ]
        if self.table == "diabetes":
            return [*table, RawColumn(TARGETS[self.table], "double", found.target.tolist())]
        classes = [str(found.target_names[code]) for code in found.target]
        return [*table, RawColumn(TARGETS[self.table], "string", classes)]
