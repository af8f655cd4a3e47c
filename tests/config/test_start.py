from dgm_run.config.own_code import OwnCode
from dgm_run.config.start import START, Start, read_start, update_data_paths, write_start


def test_a_start_is_read_as_written(tmp_path):
    start = Start(("seed=1", "data_dir='/a b'"), OwnCode("/conf", ("mine",)))
    assert read_start(tmp_path) is None
    write_start(tmp_path, start)
    assert read_start(tmp_path) == start
    (tmp_path / START).write_text("{")
    assert read_start(tmp_path) is None


def test_moved_data_are_kept_only(tmp_path):
    write_start(tmp_path, Start(("seed=1", "dataset.source.path=/old"), OwnCode("/conf")))
    update_data_paths(tmp_path, Start(("trainer.max_epochs=9", "dataset.source.path='/new place'", "data_dir=/d")))
    assert read_start(tmp_path) == Start(
        ("seed=1", "dataset.source.path='/new place'", "data_dir=/d"), OwnCode("/conf")
    )
