import torch

from dgm_run.distributions.vocabulary import END, PAD, START, UNKNOWN, Vocabulary, count_tokens, trim_padding

SENTENCES = [["b", "a", "b"], ["a", "b", "c"], ["d"]]


def test_frequent_words_have_numbers():
    vocabulary = Vocabulary.from_sentences(SENTENCES, 7)
    assert vocabulary.words == ["<pad>", "<s>", "</s>", "<unk>", "b", "a", "c"]
    assert vocabulary.encode([["a", "d", "b"], []], 5).tolist() == [
        [5, UNKNOWN, 4, END, PAD],
        [END, PAD, PAD, PAD, PAD],
    ]
    assert len(vocabulary) == 7


def test_words_come_back_up_to_the_end():
    vocabulary = Vocabulary.from_sentences(SENTENCES, 7)
    rows = torch.tensor([[5, UNKNOWN, 4, END, 6], [4, 4, 4, 4, 4], [END, 4, 4, 4, 4], [9, END, 0, 0, 0]]).float()
    assert vocabulary.decode(rows) == ["a <unk> b", "b b b b b", "", "<unk>"]


def test_literal_special_words_are_kept():
    vocabulary = Vocabulary.from_sentences([["<unk>", "x", "<unk>"]], 10)
    assert vocabulary.encode([["<unk>", "x"]], 3).tolist() == [[UNKNOWN, 4, END]]


def test_count_tokens_omits_padding():
    assert count_tokens(torch.tensor([[4, 5, END, PAD], [END, PAD, PAD, PAD]])).tolist() == [3, 1]
    assert START not in (PAD, END)


def test_it_is_written_and_read(tmp_path):
    vocabulary = Vocabulary.from_sentences([["é", "a\u2028b", "a\x85b", "\u200b", "\ufeff", "a\x1cb", "c"]], 10)
    vocabulary.write(tmp_path / "words.txt")
    assert Vocabulary.read(tmp_path / "words.txt").words == vocabulary.words


def test_literal_special_words_are_unknown():
    vocabulary = Vocabulary(["a", "b"])
    assert vocabulary.encode([["<s>", "a", "<pad>", "b", "</s>"]], 7).tolist() == [
        [UNKNOWN, 4, UNKNOWN, 5, UNKNOWN, END, PAD]
    ]


def test_padding_columns_are_removed():
    tokens = torch.tensor([[4, END, PAD, PAD], [4, 5, END, PAD]])
    assert torch.equal(trim_padding(tokens), tokens[:, :3])
