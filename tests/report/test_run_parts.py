import os
import re

from PIL import Image

from dgm_run.report.pictures import PictureStore
from dgm_run.report.run_parts import find_changes, render_run
from dgm_run.report.runs import collect_runs
from tests.support import folders


def render(folder, name, best=None):
    runs = {run.name: run for run in collect_runs(folder)}
    return render_run(runs[name], "prior=A", runs.get(best), PictureStore(folder, are_inside=False))


def facts_of(text):
    return dict(re.findall(r"<dt>(.*?)</dt><dd>(.*?)</dd>", text))


def test_facts_of_a_run_are_shown(tmp_path):
    path = folders.write(tmp_path / "a", folders.config(seed=0), [folders.estimate(-3.0)])
    (path / "events.out.tfevents.1795838634.a.host.2442.0").write_text("")
    (path / "run.log").write_text("=== 2026-11-28 04:03:54: training\n" + "".join(f"line {i}\n" for i in range(60)))
    results = path / "results.json"
    environment = '"environment": {"dgm_run": "0.1.0", "threads": 2, "commit": "abc<", "device": null}'
    results.write_text(results.read_text().replace('"environment": {"dgm_run": "0.1.0"}', environment))
    text = render(tmp_path, "a")
    assert facts_of(text) == {
        **{"seed": "0", "started": "2026-11-28 04:03:54", "host": "a.host", "threads": "2", "dgm_run": "0.1.0"},
        **{"commit": "abc&lt;", "epochs": "3", "seconds": "1.5", "stopped by": "max_epochs", "parameters": "1,234"},
    }
    assert "last 40 of 61 lines" in text
    assert "line 59" in text
    assert "line 10\n" not in text
    assert "prior._target_=dgm_run.priors.StandardPrior\n" in text
    assert "trainer.resume=null" in text


def test_difference_to_the_best_run_is_shown(tmp_path):
    folders.write(tmp_path / "a", folders.config("A", objective={"beta": 1}), [folders.estimate(-3.0)])
    folders.write(tmp_path / "b", folders.config("B", objective={"beta": 1.0, "warmup": None}), [])
    text = render(tmp_path, "a", best="b").split("Difference to the best run")[1].split("</table>")[0]
    rows = [re.findall(r"<td[^>]*>(.*?)</td>", row) for row in text.split("<tr ")[1:]]
    assert rows == [
        ["prior._target_", "dgm_run.priors.A", "dgm_run.priors.B"],
        ["objective.warmup", "", "null"],
    ]
    assert "This is the best run" in render(tmp_path, "b", best="b")
    assert find_changes({"a": 1, "b": [1, 2]}, {"a": 1.0, "b": [1.0, 2]}) == []


def test_all_curves_are_drawn_by_value(tmp_path):
    path = folders.write(tmp_path / "a", folders.config(), [folders.estimate(-3.0)])
    lines = "".join(
        f'{{"step": {i}, "epoch": {i}, "name": "{name}", "value": {i / 7}}}\n'
        for name in ("train/elbo", "valid/elbo", "train/kl") for i in range(1, 2000)
    )  # fmt: skip
    (path / "metrics.jsonl").write_text(lines + '{"step": 1, "epoch": 1, "name": "test/elbo", "value": 1}\n')
    text = render(tmp_path, "a").split("<summary>Curves</summary>")[1]
    assert re.findall(r"<figcaption>(.*?)</figcaption>", text)[:2] == ["elbo", "kl"]
    assert re.findall(r"<title>(.*?)</title>", text) == ["train", "valid", "train"]
    assert max(len(points.split()) for points in re.findall(r'points="(.*?)"', text)) <= 101


def test_pictures_are_shown_over_the_epochs(tmp_path):
    path = folders.write(tmp_path / "a", folders.config(), [folders.estimate(-3.0)])
    (path / "filters").mkdir()
    for epoch in range(1, 14):
        Image.new("RGB", (4, 4)).save(path / "filters" / f"epoch_{epoch:04}.png")
    text = render(tmp_path, "a").split("<summary>Pictures</summary>")[1]
    assert re.findall(r"<h4>(.*?)</h4>", text) == ["filters", "samples"]
    assert re.findall(r"a/filters/epoch_(\d+)", text) == ["0001", "0004", "0007", "0010", "0013"]


def test_drawn_pictures_are_shown_by_seed(tmp_path):
    path = folders.write(tmp_path / "a", folders.config(), [folders.estimate(-3.0)])
    assert "dgm-sample" not in render(tmp_path, "a")
    for name in ("seed_0/samples", "seed_0/traversals", "label_3_seed_0/samples_drawn"):
        file = path / "drawn" / f"{name}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (4, 4)).save(file)
    (path / "drawn" / "seed_0" / "empty.png").write_bytes(b"")
    text = render(tmp_path, "a").split("<summary>Drawn by dgm-sample</summary>")[1].split("<summary>")[0]
    assert re.findall(r"<h4>(.*?)</h4>", text) == ["label_3_seed_0", "seed_0"]
    shown = ["label_3_seed_0/samples_drawn", "seed_0/samples", "seed_0/traversals"]
    assert re.findall(r'src="a/drawn/(.*?)\.png', text) == shown


def test_runs_without_results_have_their_part(tmp_path):
    path = folders.write(tmp_path / "a b", folders.config())
    (path / "error.txt").write_text("the loss is <not> finite")
    text = render(tmp_path, "a b")
    assert facts_of(text)["message"] == "the loss is &lt;not&gt; finite"
    assert 'href="a%20b/error.txt"' in text


def test_names_of_any_bytes_are_addresses(tmp_path):
    name = os.fsdecode(b'a\xff&"')
    folders.write(tmp_path / name, folders.config(), [folders.estimate(-3.0)])
    text = render(tmp_path, name)
    assert 'href="a%FF%26%22/results.json"' in text
    assert 'src="a%FF%26%22/samples/epoch_0003.png"' in text
