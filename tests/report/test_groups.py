import os

from dgm_run.report.groups import find_differing_keys, group_runs, is_seed, name_groups, split_repeated
from dgm_run.report.runs import collect_runs
from tests.support import folders


def test_groups_are_named_by_their_differences(tmp_path):
    for name, (prior, beta) in {"a": ("A", 1), "b": ("B", 1), "c": ("B", 2)}.items():
        folders.write(tmp_path / name, folders.config(prior, objective={"beta": beta}), [folders.estimate(-3.0)])
    groups = group_runs(collect_runs(tmp_path))
    assert name_groups(groups[:2]) == ["prior=A", "prior=B"]
    assert name_groups(groups[1:]) == ["objective.beta=1", "objective.beta=2"]
    assert name_groups(groups[:1]) == [groups[0].name] == ["objective.beta=1, prior=A"]


def test_seeds_form_one_group(tmp_path):
    found = group_runs(collect_runs(folders.sweep(tmp_path)))
    assert [group.settings for group in found] == [{"prior": "StandardPrior"}, {"prior": "VampPrior"}]
    assert [len(group.runs) for group in found] == [2, 2]
    assert found[1].name == "prior=VampPrior"


def test_implied_settings_are_no_difference(tmp_path):
    folders.sweep(tmp_path)
    assert find_differing_keys(collect_runs(tmp_path)) == [
        "prior._target_"
    ]  # not prior.num_components, which one of them has
    folders.write(tmp_path / "4", folders.config("VampPrior", prior__num_components=20), [folders.estimate(-3.0)])
    assert find_differing_keys(collect_runs(tmp_path)) == ["prior._target_", "prior.num_components"]
    names = [group.name for group in group_runs(collect_runs(tmp_path))]
    assert names == ["prior=StandardPrior", "prior=VampPrior, prior.num_components=10",
                     "prior=VampPrior, prior.num_components=20"]  # fmt: skip


def test_estimators_and_machines_are_neutral(tmp_path):
    folders.write(tmp_path / "a", folders.config(), [folders.estimate(-3.0)])
    folders.write(tmp_path / "b", folders.config(trainer__threads=7, estimators={}), [folders.estimate(-3.0)])
    settings = {"energy": {"seed": 1, "repeats": 5}}
    folders.write(tmp_path / "c", folders.config(estimators=settings), [folders.estimate(-3.0)])
    runs = collect_runs(tmp_path)
    (group,) = group_runs(runs)
    assert group.name == "all"
    assert len(split_repeated(runs)[1]) == 2
    assert is_seed("dataset.label_seed")
    assert is_seed("seed")
    assert not is_seed("dataset.seeds")


def objective(folder, seed=0, value=-3.0, **settings):
    return folders.write(folder, folders.config(seed=seed, objective=settings), [folders.estimate(value)])


def test_equal_forms_of_settings_are_one(tmp_path):
    objective(tmp_path / "a", 0, beta=1.0, warmup=None, tempered=False)
    objective(tmp_path / "b", 1, beta=1, tempered=False)
    objective(tmp_path / "c", 2, beta=1)  # by older code
    (group,) = group_runs(collect_runs(tmp_path))
    assert len(group.runs) == 3


def test_setting_of_some_is_a_difference(tmp_path):
    objective(tmp_path / "a", 0, beta=1)
    objective(tmp_path / "b", 1, beta=1, free_bits=3)
    assert [group.settings for group in group_runs(collect_runs(tmp_path))] == [{}, {"objective.free_bits": 3}]


def test_part_for_none_is_a_difference(tmp_path):
    missing = {"_target_": "dgm_run.data.corruptions.MissingAtRandom", "share": 0.5}
    for name, corrupt in (("a", None), ("b", missing)):
        node = folders.config()
        node["dataset"]["corrupt"] = corrupt
        folders.write(tmp_path / name, node, [folders.estimate(-3.0)])
    found = {group.runs[0].path.name: group.settings["dataset.corrupt"] for group in group_runs(collect_runs(tmp_path))}
    assert found == {"a": "none", "b": "missing_at_random"}


def test_same_name_in_other_parts_differs(tmp_path):
    for i, steps in enumerate((1, 5)):
        objective(tmp_path / f"rbm{i}", num_steps=steps)
    for i, steps in enumerate((2, 3)):
        node = folders.config(seed=i, posterior={"num_steps": steps})
        folders.write(tmp_path / f"vae{i}", node, [folders.estimate(-3.0)])
    assert len(group_runs(collect_runs(tmp_path))) == 4


def test_failed_runs_join_their_group(tmp_path):
    for seed in (0, 1):
        objective(tmp_path / f"a{seed}", seed, beta=1)
        objective(tmp_path / f"b{seed}", seed, beta=2)
    lost = folders.write(tmp_path / "lost", folders.config(seed=2, objective={"beta": 2}))
    elsewhere = folders.write(tmp_path / "elsewhere", folders.config(seed=2, objective={"beta": 3}))
    (elsewhere / "error.txt").write_text("not finite")
    runs = collect_runs(tmp_path)
    found = group_runs([run for run in runs if run.results], [run for run in runs if not run.results])
    assert [group.settings for group in found] == [{"objective.beta": 1}, {"objective.beta": 2}]
    assert [[run.path for run in group.lost] for group in found] == [[], [lost]]


def test_repeated_sizes_appear_once(tmp_path):
    for name, size in (("a", 2), ("b", 5)):
        node = folders.config(model__latent_dim=size, prior__latent_dim=size)
        folders.write(tmp_path / name, node, [folders.estimate(-3.0)])
    assert find_differing_keys(collect_runs(tmp_path)) == ["model.latent_dim"]


def test_repeated_run_is_no_other_seed(tmp_path):
    for name, seed, value in (("a", 0, -3.0), ("again", 0, -3.0), ("b", 1, -4.0)):
        path = folders.write(tmp_path / name, folders.config(seed=seed), [folders.estimate(value)])
        os.utime(path / "results.json", (1, 2 if name == "again" else 1))
    kept, repeated = split_repeated(collect_runs(tmp_path))
    assert [run.path.name for run in kept] == ["again", "b"]
    assert [(run.path.name, run.state) for run in repeated] == [("a", "repeated")]
    assert repeated[0].message == "the same configuration and seeds as again, which is newer"


def test_published_numbers_are_neutral(tmp_path):
    for name, value in (("a", -1.0), ("b", -2.0)):
        node = folders.config(seed=int(-value), published={"values": {"elbo": value}})
        folders.write(tmp_path / name, node, [folders.estimate(-3.0)])
    assert len(group_runs(collect_runs(tmp_path))) == 1


def test_settings_implied_by_data_are_apart(tmp_path):
    for name, shape, binarize in (("digits", 8, "fixed"), ("mnist", 28, "fixed"), ("mnist", 28, "dynamic")):
        node = folders.config(dataset={"name": name, "shape": [1, shape, shape], "binarize": binarize})
        folders.write(tmp_path / f"{name}_{binarize}", node, [folders.estimate(-3.0)])
    found = {group.runs[0].path.name: group for group in group_runs(collect_runs(tmp_path))}
    assert found["digits_fixed"].name == "dataset.binarize=fixed, dataset.name=digits"
    assert found["mnist_dynamic"].settings == {"dataset.name": "mnist", "dataset.binarize": "dynamic"}
    assert found["mnist_fixed"].implied == {"dataset.shape": [1, 28, 28]}


def test_columns_of_a_table_are_counted(tmp_path):
    real = {"name": "a", "kind": "real", "dtype": "double", "values": []}
    binary = {**real, "name": "b", "kind": "binary"}
    for name, columns in (("a", [real, real, binary]), ("b", [real, binary])):
        folders.write(tmp_path / name, folders.config(dataset__columns=columns), [folders.estimate(-3.0)])
    found = [group.settings for group in group_runs(collect_runs(tmp_path))]
    assert found == [{"dataset.columns": "2 real + 1 binary"}, {"dataset.columns": "1 real + 1 binary"}]
