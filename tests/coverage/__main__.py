"""Prints the table of coverages as Markdown."""

from tests.coverage import all_cases, measure


def main() -> None:
    print("| model | estimator | intervals that hold the truth | of computing alone |\n| --- | --- | --- | --- |")
    for case in all_cases():
        found = (f"{100 * share:.1f}%" if share is not None else "" for share in measure(case))
        print("|", " | ".join((case.model, case.estimator, *found)), "|", flush=True)


if __name__ == "__main__":
    main()
