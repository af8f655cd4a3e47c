import pytest

from dgm_run.data.sources.ptb import PTB
from dgm_run.errors import DataError


def test_three_files_read_as_they_split(tmp_path):
    (tmp_path / "ptb").mkdir()
    for name, text in (("train", " a <unk> N \n b \n"), ("valid", " c d \n"), ("test", " e \n\n")):
        (tmp_path / "ptb" / f"ptb.{name}.txt").write_text(text)
    splits = PTB(str(tmp_path))()
    assert splits.train == [["a", "<unk>", "N"], ["b"]]
    assert (splits.valid, splits.test) == ([["c", "d"]], [["e"]])


def test_missing_files_are_named_with_where_to_get_them(tmp_path):
    (tmp_path / "ptb").mkdir()
    (tmp_path / "ptb" / "ptb.train.txt").write_text("a\n")
    with pytest.raises(
        DataError, match=r"ptb.valid.txt, ptb.test.txt not found in .*simple-examples.tgz, or use dataset=pydoc"
    ):
        PTB(str(tmp_path))()
