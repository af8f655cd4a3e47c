import pytest

from dgm_run.data.text_file import TextFile
from dgm_run.errors import DataError


def source(path, **settings):
    sizes = {"num_valid": 1, "num_test": 1, "split_seed": None}
    kinds = {"units": "sentences", "tokens": "words", "unique": False}
    return TextFile(**{"path": str(path)} | sizes | kinds | settings)


def test_paragraphs_are_cut_into_sentences(tmp_path):
    (tmp_path / "a.txt").write_text("One two.\nThree? Four\nfive.\n\nsix\n\n\nSeven Eight!")
    splits = source(tmp_path / "a.txt")()
    assert splits.train == [["one", "two", "."], ["three", "?"], ["four", "five", "."]]
    assert splits.valid == [["six"]]
    assert splits.test == [["seven", "eight", "!"]]


def test_lines_of_split_tokens_are_taken_as_they_are(tmp_path):
    (tmp_path / "a.txt").write_text("The <unk> , N\n\nB c\nD\n")
    splits = source(tmp_path / "a.txt", units="lines", tokens="spaces")()
    assert [*splits.train, *splits.valid, *splits.test] == [["The", "<unk>", ",", "N"], ["B", "c"], ["D"]]


def test_what_is_no_text_is_told_in_a_line(tmp_path):
    with pytest.raises(DataError, match="no such file; set dataset.source.path to a file of plain text"):
        source(tmp_path / "none.txt")()
    (tmp_path / "b.txt").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(DataError, match="cannot be read as text in UTF-8"):
        source(tmp_path / "b.txt")()
    (tmp_path / "c.txt").write_text("\n \n")
    with pytest.raises(DataError, match="there is no word in it"):
        source(tmp_path / "c.txt")()


def test_each_sentence_is_taken_once_where_asked(tmp_path):
    (tmp_path / "a.txt").write_text("One.\n\nTwo.\n\nOne.\n\nThree.\n\nTwo.")
    whole, unique = (source(tmp_path / "a.txt", unique=each)() for each in (False, True))
    assert whole.train == [["one", "."], ["two", "."], ["one", "."]]
    assert (unique.train, unique.valid, unique.test) == ([["one", "."]], [["two", "."]], [["three", "."]])
    assert unique.about.startswith("text md5 ")
