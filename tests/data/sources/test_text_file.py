import pytest

from dgm_run.data.sources.text_file import TextFile
from dgm_run.data.text import TextDataset
from dgm_run.errors import DataError


def source(path, **settings):
    sizes = {"shape": (41,), "num_valid": 1, "num_test": 1, "split_seed": None}
    kinds = {"units": "sentences", "tokens": "words", "unique": False}
    return TextFile(**{"path": str(path)} | sizes | kinds | settings)


def test_paragraphs_are_cut_into_sentences(tmp_path):
    (tmp_path / "a.txt").write_text("One two.\nThree? Four\nfive.\n\nsix\n\n\nSeven Eight!")
    splits = source(tmp_path / "a.txt")()
    assert splits.train == [["one", "two", "."], ["three", "?"], ["four", "five", "."]]
    assert splits.valid == [["six"]]
    assert splits.test == [["seven", "eight", "!"]]


def test_lines_of_split_tokens_taken_as_they(tmp_path):
    (tmp_path / "a.txt").write_text("The <unk> , N\n\nB c\nD\n")
    splits = source(tmp_path / "a.txt", units="lines", tokens="spaces")()
    assert [*splits.train, *splits.valid, *splits.test] == [["The", "<unk>", ",", "N"], ["B", "c"], ["D"]]


def test_a_file_that_is_no_text_is_refused_in_a_line(tmp_path):
    with pytest.raises(DataError, match="no such file; set dataset.source.path to a file of plain text"):
        source(tmp_path / "none.txt")()
    (tmp_path / "b.txt").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(DataError, match="cannot be read as text in UTF-8"):
        source(tmp_path / "b.txt")()
    (tmp_path / "c.txt").write_text("\n \n")
    with pytest.raises(DataError, match="it holds no word"):
        source(tmp_path / "c.txt")()


def test_each_sentence_is_taken_once_where_asked(tmp_path):
    (tmp_path / "a.txt").write_text("One.\n\nTwo.\n\nOne.\n\nThree.\n\nTwo.")
    whole, unique = (source(tmp_path / "a.txt", unique=each)() for each in (False, True))
    assert whole.train == [["one", "."], ["two", "."], ["one", "."]]
    assert (unique.train, unique.valid, unique.test) == ([["one", "."]], [["two", "."]], [["three", "."]])
    assert unique.notes == ("text: 5 sentences, left out: 2 repeated",)
    assert whole.notes == ()


def test_windows_text_has_no_marks(tmp_path):
    (tmp_path / "a.txt").write_bytes("\ufeffOne\r\n\r\ntwo three\r\n\ufefffour\r\n".encode())
    for tokens, first in (("words", "one"), ("spaces", "One")):
        splits = source(tmp_path / "a.txt", units="lines", tokens=tokens)()
        assert (splits.train, splits.valid, splits.test) == ([[first]], [["two", "three"]], [["four"]])
        assert splits.notes == ("text: 4 sentences, left out: 1 empty",)


def test_a_line_ends_at_line_feeds_alone(tmp_path):
    (tmp_path / "a.txt").write_text("a\x85b c\u2028d\n\x0ce\x1cf\ng\rh", encoding="utf-8")
    splits = source(tmp_path / "a.txt", units="lines", tokens="spaces")()
    assert [*splits.train, *splits.valid, *splits.test] == [["a", "b", "c", "d"], ["e", "f"], ["g"], ["h"]]


def test_paragraphs_end_at_blank_lines(tmp_path):
    (tmp_path / "a.txt").write_text("one\n \t\ntwo\nthree\u2029four", encoding="utf-8")
    splits = source(tmp_path / "a.txt")()
    assert [*splits.train, *splits.valid, *splits.test] == [["one"], ["two", "three"], ["four"]]


def test_composed_letters_equal_decomposed(tmp_path):
    (tmp_path / "a.txt").write_text("Cafe\u0301\nCaf\u00e9\na\nb", encoding="utf-8")
    for tokens in ("words", "spaces"):
        splits = source(tmp_path / "a.txt", units="lines", tokens=tokens, unique=True)()
        assert len(splits.train) == 1
        assert splits.notes == ("text: 4 sentences, left out: 1 repeated",)


def test_evaluation_sets_have_exact_sizes(tmp_path):
    lines = [" ".join(["word"] * (1 + i % 6)) for i in range(60)]
    (tmp_path / "a.txt").write_text("\n".join(lines))
    settings = {"shape": (5,), "num_valid": 7, "num_test": 9, "split_seed": 0}
    text = TextDataset(source(tmp_path / "a.txt", units="lines", **settings), "mine", (5,), 100)
    data = text.load()
    assert [len(split) for split in (data.train, data.valid, data.test)] == [24, 7, 9]
    assert text.notes[0] == "text: 60 sentences, left out: 20 longer than 4 words"
