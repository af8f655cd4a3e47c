import base64
import re

from PIL import Image

from dgm_run.report.groups import group_runs
from dgm_run.report.pictures import PictureStore, collect_last_pictures
from dgm_run.report.runs import collect_runs
from tests.support import folders


def write_picture(file, size):
    file.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size).save(file)
    return file


def test_last_pictures_of_first_runs_are_compared(tmp_path):
    folders.sweep(tmp_path)
    write_picture(tmp_path / "2" / "samples" / "epoch_0010.png", (5, 7))
    found = collect_last_pictures(group_runs(collect_runs(tmp_path)), "samples")
    assert [(name, file.relative_to(tmp_path).as_posix()) for _, name, file in found] == [
        ("prior=StandardPrior", "0/samples/epoch_0003.png"), ("prior=VampPrior", "2/samples/epoch_0010.png")
    ]  # fmt: skip
    assert collect_last_pictures(group_runs(collect_runs(tmp_path)), "reconstructions") == []


def test_a_picture_is_inside_the_page(tmp_path):
    file = write_picture(tmp_path / "run" / "a.png", (5, 7))
    text = PictureStore(tmp_path, are_inside=True).render(file)
    assert base64.b64decode(re.search(r"base64,([^\"]*)", text)[1]) == file.read_bytes()


def test_a_picture_beside_the_page_is_linked(tmp_path):
    file = write_picture(tmp_path / "run 1%" / "a.png", (5, 7))
    assert 'src="run%201%25/a.png"' in PictureStore(tmp_path, are_inside=False).render(file)


def test_small_pictures_are_enlarged_by_a_whole_factor(tmp_path):
    shown = [
        PictureStore(tmp_path, are_inside=True).render(write_picture(tmp_path / f"{size[0]}.png", size))
        for size in ((64, 32), (100, 10), (500, 20))
    ]
    sizes = [re.search(r"width=(\d+) height=(\d+)", text).groups() for text in shown]
    assert sizes == [("256", "128"), ("300", "30"), ("500", "20")]


def test_damaged_pictures_are_no_error(tmp_path):
    (tmp_path / "a.png").write_bytes(b"no picture")
    store = PictureStore(tmp_path, are_inside=True)
    assert "<img" in store.render(tmp_path / "a.png")
    assert "No such file" in store.render(tmp_path / "b.png")
