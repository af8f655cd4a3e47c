import sys

from tests.support import folders
from tests.support.tiny import run_command


def test_report_writes_page_and_table(tmp_path):
    folders.sweep(tmp_path / "outputs")
    done = run_command("report", "outputs", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    whole = (tmp_path / "outputs" / "report.md").read_text()
    assert "| VampPrior | -3.950 ± 0.050 (2 runs) |  |" in whole
    assert whole.startswith(done.stdout.partition("\noutputs/report.html\n")[0])  # what is known at a glance
    assert "| VampPrior | **-3.950 ± 0.050** |" in done.stdout
    assert "difference to the best" not in done.stdout
    assert (tmp_path / "outputs" / "report.html").read_text().startswith("<!doctype html>")


def test_estimator_seeds_pool_or_compare(tmp_path):
    rows = [
        folders.estimate(-value, settings={"num_samples": 5, "seed": seed}, interval=[-value - 0.2, -value + 0.2])
        for seed, value in ((1, 4.0), (2, 5.0))
    ]
    folders.write(tmp_path / "outputs", folders.config(), rows)
    for choice, shown in (
        ("separate", ["| all | -4.000 ± 0.100 |", "| all | -5.000 ± 0.100 |"]),
        ("pool", ["| all | -4.500 ± ", "mean of 2 estimator seeds"]),
        ("compare", ["| all | -4.000 ± 0.100 |", "| 1 | -4.000 ± 0.100 |", "| 2 | -5.000 ± 0.100 |"]),
    ):
        done = run_command("report", "outputs", f"--estimator-seeds={choice}", cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        whole = (tmp_path / "outputs" / "report.md").read_text()
        assert all(each in whole for each in shown)


def test_folder_without_runs_is_refused(tmp_path):
    (tmp_path / "empty").mkdir()
    for arguments, message in (
        (["empty"], "empty: there is no run in it, or below\n"),
        (
            ["none"],
            "there is no run folder none: dgm-report FOLDER [--csv] [--latex] [--figures=pdf|svg] "
            "[--estimator-seeds=separate|pool|compare]\n",
        ),
        (
            ["empty", "x=1"],
            "x=1: dgm-report takes a folder, and --csv, --latex, --figures=pdf|svg and "
            "--estimator-seeds=separate|pool|compare\n",
        ),
    ):
        done = run_command("report", *arguments, cwd=tmp_path)
        assert (done.returncode, done.stderr) == (1, message)


def test_exports_are_written_beside_the_page(tmp_path):
    folders.sweep(tmp_path / "outputs")
    done = run_command("report", "outputs", "--csv", "--latex", "--figures", "svg", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    listed = [line for line in done.stdout.splitlines() if line.startswith("outputs/")]
    names = ["report.html", "report.md", "report.csv", "report.tex"]
    figures = ["curves_valid_elbo_digits", "differences_log_likelihood_digits", "samples"]
    assert listed == [f"outputs/{name}" for name in names] + [f"outputs/figures/{name}.svg" for name in figures]
    assert all((tmp_path / each).stat().st_size for each in listed)


def test_a_file_that_cannot_be_written_is_named(tmp_path):
    folders.sweep(tmp_path / "outputs")
    (tmp_path / "outputs" / "report.csv").mkdir()
    done = run_command("report", "outputs", "--csv", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (1, "outputs/report.csv: cannot be written: Is a directory\n")


def test_it_answers_without_torch(tmp_path):
    import subprocess

    folders.sweep(tmp_path / "outputs")
    code = "import sys\nfrom dgm_run.cli.main import report\ntry: report()\nfinally: assert 'torch' not in sys.modules"
    done = subprocess.run(
        [sys.executable, "-c", code, "outputs", "--csv", "--latex", "--figures=pdf"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
