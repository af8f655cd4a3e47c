"""Penn Treebank for language models: 42,068 / 3,370 / 3,761 sentences of 10,000 words, numbers as N.

Sources: M. Marcus et al., Building a large annotated corpus of English, 1993; T. Mikolov et al., Recurrent neural
network based language model, 2010 (this version, https://www.fit.vutbr.cz/~imikolov/rnnlm/simple-examples.tgz).
"""

from pathlib import Path

from dgm_run.data.sources.text_file import read_text
from dgm_run.data.text import Sentence, TextSplits
from dgm_run.errors import DataError

ADDRESS = "https://www.fit.vutbr.cz/~imikolov/rnnlm/simple-examples.tgz"


class PTB:
    """Penn Treebank, from three files.

    Args:
        data_dir: folder that holds `ptb/ptb.{train,valid,test}.txt`.
    """

    def __init__(self, data_dir: str):
        self.data_dir = data_dir

    def __call__(self) -> TextSplits:
        folder = Path(self.data_dir).expanduser().resolve() / "ptb"
        files = [folder / f"ptb.{name}.txt" for name in ("train", "valid", "test")]
        missing = [file.name for file in files if not file.is_file()]
        if missing:
            raise DataError(
                f"dataset: {', '.join(missing)} not found in {folder}: take them from the folder data of "
                f"{ADDRESS}, or use dataset=pydoc, which needs no file"
            )
        train, valid, test = (_read_sentences(file) for file in files)
        return TextSplits(train, valid, test)


def _read_sentences(file: Path) -> list[Sentence]:
    return [line.split() for line in read_text(file, "").split("\n") if line.split()]
