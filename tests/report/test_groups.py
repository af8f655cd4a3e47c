from dgm_run.report.groups import differing, groups, is_seed
from dgm_run.report.runs import collect
from tests.report import folders


def test_runs_that_differ_by_their_seeds_are_one_group(tmp_path):
    found = groups(collect(folders.sweep(tmp_path)))
    assert [group.settings for group in found] == [{"prior": "StandardPrior"}, {"prior": "VampPrior"}]
    assert [len(group.runs) for group in found] == [2, 2]
    assert found[1].name == "prior=VampPrior"


def test_what_only_follows_from_a_choice_is_no_difference(tmp_path):
    folders.sweep(tmp_path)
    assert differing(collect(tmp_path)) == ["prior._target_"]  # not prior.num_components, which one of them has
    folders.write(tmp_path / "4", folders.config("VampPrior", prior__num_components=20), [folders.estimate(-3.0)])
    assert differing(collect(tmp_path)) == ["prior._target_", "prior.num_components"]
    names = [group.name for group in groups(collect(tmp_path))]
    assert names == ["prior=StandardPrior", "prior=VampPrior, prior.num_components=10",
                     "prior=VampPrior, prior.num_components=20"]  # fmt: skip


def test_estimators_and_machines_make_no_other_configuration(tmp_path):
    folders.write(tmp_path / "a", folders.config(), [folders.estimate(-3.0)])
    folders.write(tmp_path / "b", folders.config(trainer__threads=7, estimators={}), [folders.estimate(-3.0)])
    (group,) = groups(collect(tmp_path))
    assert group.name == "all"
    assert is_seed("dataset.label_seed")
    assert is_seed("seed")
    assert not is_seed("dataset.seeds")
