import numpy as np

from dgm_run.report.groups import group_runs
from dgm_run.report.markdown import render_document
from dgm_run.report.overview import make_overviews
from dgm_run.report.page import render_page
from dgm_run.report.runs import collect_runs
from dgm_run.report.tables import make_tables
from tests.support import folders


def overview(folder):
    (found,) = make_overviews(list(make_tables(group_runs(collect_runs(folder)))))
    return found


def column(found, head):
    return [cell.shown for cell in found.cells[head]]


def test_configurations_are_rows_best_first(tmp_path):
    found = overview(folders.sweep(tmp_path))
    assert found.data == "digits test, binarisation dynamic"
    assert list(found.cells) == ["prior", "log_likelihood [1]", "parameters", "epochs", "minutes", "runs"]
    assert column(found, "prior") == ["VampPrior", "StandardPrior"]
    assert column(found, "log_likelihood [1]") == ["-3.950 ± 0.050", "-4.950 ± 0.050"]
    assert [cell.is_best for cell in found.cells["log_likelihood [1]"]] == [True, False]
    assert [column(found, head) for head in ("parameters", "epochs", "minutes", "runs")] == [
        ["1,234"] * 2, ["3"] * 2, ["0.0"] * 2, ["2"] * 2
    ]  # fmt: skip


def test_insignificant_differences_are_bold(tmp_path):
    base = np.array([-5.0, -3.0, -4.0, -8.0])
    for i, (prior, gain) in enumerate((("A", 0.0), ("B", [1.0, -1.2, 0.9, -1.1]), ("C", -2.0 + 0.1 * base))):
        values = base + gain
        folders.write(tmp_path / str(i), folders.config(prior), [folders.estimate(values.mean())], values)
    found = overview(tmp_path)
    assert column(found, "prior") == ["A", "B", "C"]
    assert [cell.is_best for cell in found.cells["log_likelihood [1]"]] == [True, True, False]


def test_equal_numbers_without_spread_are_bold(tmp_path):
    for prior, value in (("A", 1.0), ("B", 1.0), ("C", 0.5)):
        for seed in (0, 1):
            rows = [folders.estimate(-value, stderr=None, kind="exact")]
            folders.write(tmp_path / f"{prior}{seed}", folders.config(prior, seed), rows)
    found = overview(tmp_path)
    assert [cell.is_best for cell in found.cells["log_likelihood [1]"]] == [True, False, False]
    assert column(found, "prior")[0] == "C"
    for path in tmp_path.glob("C*/results.json"):
        path.write_text(path.read_text().replace("-0.5", "-1.5"))
    assert [cell.is_best for cell in overview(tmp_path).cells["log_likelihood [1]"]] == [True, True, False]


def test_each_method_has_its_column(tmp_path):
    few, many = folders.estimate(-9.0), folders.estimate(-3.0, settings={"num_samples": 50})
    error = folders.estimate(4.5, "error", unit="%")
    folders.write(tmp_path / "a", folders.config("A"), [few, error, folders.estimate(2.0, "mse_missing_half", unit="")])
    folders.write(tmp_path / "b", folders.config("B"), [many])
    found = overview(tmp_path)
    heads = [head for head in found.cells if head.endswith("]")]
    assert heads == ["log_likelihood [1]", "log_likelihood [2]", "error [3]"]
    ways = [found.specs[head].describe_method() for head in heads]
    assert {way.partition("(")[2] for way in ways[:2]} == {"num_samples=5), nats", "num_samples=50), nats"}
    assert {column(found, "prior")[0], column(found, "prior")[1]} == {"A", "B"}
    for head in heads[:2]:
        assert sorted(column(found, head))[0] == ""  # no number of the one is held against the other
        assert sum(cell.is_best for cell in found.cells[head]) == 1


def test_data_sets_have_tables_with_notes(tmp_path):
    warned = folders.estimate(-3.0, warning="the posterior has collapsed")
    folders.write(tmp_path / "a", folders.config("A"), [warned])
    folders.write(tmp_path / "b", folders.config("B"), [folders.estimate(-4.0)])
    other = folders.config("A", dataset__name="mnist")
    folder = folders.write(tmp_path / "c", other, [folders.estimate(-80.0)])
    results = folder / "results.json"
    results.write_text(results.read_text().replace('"digits"', '"mnist"'))
    first, second = make_overviews(list(make_tables(group_runs(collect_runs(tmp_path)))))
    assert (first.data.split()[0], second.data.split()[0]) == ("digits", "mnist")
    assert column(first, "note") == ["collapsed", ""]
    assert "note" not in second.cells


def test_overview_stands_first(tmp_path):
    found = group_runs(collect_runs(folders.sweep(tmp_path)))
    text, html = (
        render_document(found, list(make_tables(found)), []),
        render_page("x", found, list(make_tables(found)), []),
    )
    assert "## digits test, binarisation dynamic" in text.split("## log_likelihood")[0]
    assert "| VampPrior | **-3.950 ± 0.050** | 1,234 | 3 | 0.0 | 2 |" in text
    assert "- log_likelihood [1]: estimate by importance_sampling (num_samples=5), nats; 4 examples\n" in text
    assert '<td data-by="-3.95" class="number best">-3.950' in html.split(">log_likelihood</h3>")[0]


def test_number_of_fewer_runs_states_them(tmp_path):
    for i in range(3):
        folders.write(tmp_path / str(i), folders.config(seed=i), [folders.estimate(-3.0 - i)])
    error = folders.estimate(4.5, "error", unit="%")
    folders.write(tmp_path / "3", folders.config(seed=3), [folders.estimate(-3.0), error])
    found = overview(tmp_path)
    assert column(found, "runs") == ["4"]
    assert column(found, "log_likelihood [1]") == ["-3.750 ± 0.479"]
    assert column(found, "error [2]") == ["4.500 ± 0.100 (1 run)"]


def test_implied_settings_are_in_the_legend(tmp_path):
    for i, (model, optimizer) in enumerate((("vae.VAE", "Adam"), ("vae.VAE", "Adam"), ("rbm.RBM", "SGD"))):
        node = folders.config("A", model___target_=f"dgm_run.models.{model}", seed=0)
        node |= {"optimizer": {"_target_": f"torch.optim.{optimizer}"}, "objective": {"num_steps": i}}
        folders.write(tmp_path / str(i), node, [folders.estimate(-3.0 - i)])
    found = overview(tmp_path)
    assert [head for head in found.cells if "[" not in head][:2] == ["model", "objective.num_steps"]
    assert "optimizer" not in found.cells
    assert found.legend[1:] == ["VAE: optimizer=adam", "RBM: optimizer=sgd"]
    assert found.names[0] == "model=VAE, objective.num_steps=0"


def test_bits_need_no_nats_or_a_paper(tmp_path):
    bits, nats = folders.estimate(0.5, "bits_per_dim", unit="bits"), folders.estimate(-3.0)
    for name, rows, published, heads in (
        ("both", [nats, bits], None, ["log_likelihood [1]"]),
        ("bound", [nats | {"kind": "exact"}, bits | {"kind": "upper_bound"}], None, ["log_likelihood [1]"]),
        ("alone", [bits], None, ["bits_per_dim [1]"]),
        ("named", [nats, bits], {"values": {"bits_per_dim": 0.4}}, ["log_likelihood [1]", "bits_per_dim [2]"]),
    ):
        folders.write(tmp_path / name, folders.config(), rows, published=published)
        assert list(overview(tmp_path / name).specs) == heads
