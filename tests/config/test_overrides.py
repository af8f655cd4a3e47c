import random
import shlex
import subprocess
from pathlib import Path

from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import OmegaConf

from dgm_run.config.commands import join_for_shell
from dgm_run.config.overrides import (
    is_network_file,
    read_folder,
    read_value,
    set_data_paths,
    split_flags,
    write_override,
)
from tests.support.tiny import NAMES

HARD = "ab/'\"\\ ,=[]{}()$#~-:*?!&|;<>`%@\u00fc\t1"


def nasty_texts():
    draw = random.Random(0)
    yield from (*NAMES, "", "null", "true", "007", "1e3", "2024_11", "${x}", "a\\${x}", "\\\\${b}", "a\nb", "~", "[1]")
    yield from ("".join(draw.choices(HARD, k=draw.randint(1, 8))) for _ in range(300))


def test_quoted_values_read_back_as_written():
    parser = OverridesParser.create()
    for text in nasty_texts():
        written = write_override("key", text)
        value = parser.parse_override(written).value()
        assert isinstance(value, str), written
        assert OmegaConf.create({"key": value})["key"] == text, written
        assert read_value(written) == text
        assert shlex.split(join_for_shell("dgm-run", written)) == ["dgm-run", written]


def test_bash_reads_commands_as_written(tmp_path):
    words = [write_override("key", text) for text in nasty_texts()]
    script = f"printf '%s\\0' {join_for_shell(*words)}"
    found = subprocess.run(["bash", "-c", script], capture_output=True, check=True, cwd=tmp_path).stdout
    assert found.decode().split("\0")[:-1] == words


def test_plain_values_stay_unquoted():
    assert write_override("trainer.resume", Path("/a/b-1_2.c")) == "trainer.resume=/a/b-1_2.c"


def test_unreadable_values_are_none():
    assert read_value("x='") is None
    assert read_value("x=${nowhere}") is None
    assert read_folder("x=a,b") is None
    assert read_folder("x=") is None
    assert read_folder("x=007") == Path("007").absolute()  # as it is written, not as a number


def test_overrides_come_in_one_piece():
    assert split_flags(["a=1", "-m", "~prior", "--cfg", "job", "b=2"]) == (
        ["a=1", "~prior", "b=2"],
        ["-m", "--cfg", "job"],
    )
    assert split_flags(["--info", "defaults", "a=1"]) == (["a=1"], ["--info", "defaults"])
    assert split_flags(["a=1", "--info"]) == (["a=1"], ["--info"])


def test_stored_paths_take_the_place_of_relative_ones():
    stored = set_data_paths(["+dataset.source.path=x", "seed=1"], {"dataset.source.path": "/a b/x"})
    assert stored == ["seed=1", "+dataset.source.path='/a b/x'"]


def test_files_of_networks_belong_to_estimators():
    assert is_network_file("estimators.sample_quality.features", "a/mine.ONNX")
    for key, value in (("estimators.a.features", "pca"), ("dataset.name", "mine.pt"), ("estimators.a.seed", 3)):
        assert not is_network_file(key, value)
