"""`python -m tests.coverage [WORD ...]` prints the coverages in Markdown: all lines, or those with one of the words."""

import sys

from tests.coverage import all_cases, measure


def main() -> None:
    words = sys.argv[1:]
    print("| model | estimator | intervals that hold the truth | of computing alone |\n| --- | --- | --- | --- |")
    for case in all_cases():
        if words and not any(word in f"{case.model} {case.estimator}" for word in words):
            continue
        found = (f"{100 * share:.1f}%" if share is not None else "" for share in measure(case))
        print("|", " | ".join((case.model, case.estimator, *found)), "|", flush=True)


if __name__ == "__main__":
    main()
