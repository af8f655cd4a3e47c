import json
import re
import shutil
import subprocess
from html import unescape
from html.parser import HTMLParser

import numpy as np
import pytest

from dgm_run.report import page
from dgm_run.report.groups import group_runs
from dgm_run.report.page import render_page
from dgm_run.report.runs import Run, collect_runs
from dgm_run.report.tables import make_tables
from tests.support import folders

BROWSER = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
needs_browser = pytest.mark.skipif(BROWSER is None, reason="needs Chromium")

FIND_FAULTS = """<script>
const visible = [...document.querySelectorAll('body *')].filter(node => node.getClientRects().length);
const boxes = [];  // rectangles of each line of text, but not where it scrolls
for (const node of visible) for (const child of node.childNodes) {
  if (child.nodeType !== 3 || !child.textContent.trim() || node.closest('header, option, pre')) continue;
  const range = document.createRange();
  range.selectNodeContents(child);
  for (const r of range.getClientRects()) boxes.push({ node, text: child.textContent.trim().slice(0, 60), r });
}
const faults = [];
const shrink = 2;  // line boxes are taller than their letters
boxes.forEach((a, i) => boxes.slice(i + 1).forEach(b => {
  const across = Math.min(a.r.right, b.r.right) - Math.max(a.r.left, b.r.left);
  const down = Math.min(a.r.bottom, b.r.bottom) - Math.max(a.r.top, b.r.top);
  if (a.node !== b.node && across > shrink && down > 2 * shrink) faults.push(`${a.text} | ${b.text}`);
}));
for (const { node, text, r } of boxes) {
  const cell = node.closest('td, th');
  const c = cell && cell.getBoundingClientRect();
  if (c && (r.left < c.left - 1 || r.right > c.right + 1)) faults.push(`outside its cell: ${text}`);
  if (!node.closest('.wide') && (r.right > innerWidth + 1 || r.left < -1)) faults.push(`off the page: ${text}`);
  if (parseFloat(getComputedStyle(node).fontSize) * scaleOf(node) < 9) faults.push(`too small: ${text}`);
}
function scaleOf(node) { const svg = node.closest('svg'); return svg ? svg.getScreenCTM().a : 1; }
const luminance = colour => colour.match(/[\\d.]+/g).slice(0, 3).map(Number).reduce((sum, each) => sum + each, 0) / 3;
const back = luminance(getComputedStyle(document.body).backgroundColor);
const dim = visible.filter(node => node.matches('p, td, th, dd, dt, h1, h2, h3, summary, figcaption, pre'))
  .filter(node => Math.abs(luminance(getComputedStyle(node).color) - back) < 80);
document.title = JSON.stringify({ num: boxes.length, back, width: document.documentElement.scrollWidth,
  faults: [...new Set(faults)].slice(0, 10), dim: dim.length });
</script>"""


def render_folder(folder, others=()):
    runs = collect_runs(folder)
    found = group_runs([run for run in runs if run.results])
    others = [*others, *(run for run in runs if not run.results)]
    return render_page("Runs in <here>", found, list(make_tables(found)), others)


def write_odd_runs(folder):
    """Writes one run beside three of another prior, with long names and long differences."""
    base = np.random.default_rng(0).normal(-4, 1, 300)
    long = {"hidden_dims": [300, 300], "activation": None, "a_setting_with_a_long_name": 0.0001}
    for prior, seeds in (("StandardPriorWithALongName", (0,)), ("VampPrior", (0, 1, 2)), ("Mixture", (0, 1, 2))):
        for seed in seeds:
            values = base + 0.1 * seed + len(prior) / 10
            rows = [
                folders.estimate(values.mean(), interval=[-5.0, -3.0], computing_interval=[-4.6, -4.4]),
                folders.estimate(float(len(prior)), "error", unit="%"),
                folders.estimate(0.5 + seed / 10, "auroc_black", unit=""),
                folders.estimate(3.0, "kl", stderr=None, warning="the posterior is " + "very " * 40 + "odd"),
            ]
            path = folders.write(folder / f"{prior}_{seed}", folders.config(prior, seed, encoder=long), rows, values)
            (path / "run.log").write_text("=== 2026-11-28 04:03:54: training\n" + "epoch 1/500  loss 47.72\n" * 60)
    folders.write(folder / "lost", folders.config("VampPrior", 3))


def open_in_browser(file, script, *flags):
    """Returns the object that a script at the end of the page has put into the title."""
    file.write_text(file.read_text().replace("</body>", f"{script}</body>"))
    quiet = ("--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking",
             "--disable-component-update", "--disable-sync", f"--user-data-dir={file}.profile")  # fmt: skip
    command = [BROWSER, *quiet, *flags, "--dump-dom", file.as_uri()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    return json.loads(unescape(re.search(r"<title>(.*?)</title>", done.stdout, re.DOTALL)[1]))


class Names(HTMLParser):
    def __init__(self):
        super().__init__()
        self.tags, self.addresses, self.ids = [], [], []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.addresses += [value for name, value in attrs if name in ("src", "href")]
        self.ids += [value for name, value in attrs if name == "id"]


def test_page_is_self_contained_and_escaped(tmp_path):
    folders.sweep(tmp_path)
    text = render_folder(tmp_path, [Run(tmp_path / "x", "failed", "<script>alert(1)</script>", root=tmp_path)])
    parser = Names()
    parser.feed(text)
    assert parser.tags.count("script") == 1
    pictures = [address for address in parser.addresses if address.startswith("data:image/png;base64,")]
    assert len(pictures) == parser.tags.count("img") == 2 + 4  # of both configurations side by side, and of each run
    targets = {address[1:] for address in parser.addresses if address.startswith("#")}
    assert targets <= set(parser.ids)
    assert len(parser.ids) == len(set(parser.ids))
    files = {address for address in parser.addresses if not address.startswith(("#", "data:"))}
    assert files >= {"0/", "0/results.json", "0/.hydra/config.yaml"}
    assert all((tmp_path / each).exists() for each in files - {"x/"})
    assert "://" not in re.sub(r"data:image[^\"]*", "", text)
    assert "&lt;script&gt;alert(1)" in text
    assert parser.tags.count("polyline") == 4 + 4  # a curve for every run, together and by itself


def test_page_suits_screens_of_any_kind(tmp_path):
    text = render_folder(folders.sweep(tmp_path))
    assert '<meta name="viewport" content="width=device-width, initial-scale=1">' in text
    assert "prefers-color-scheme: dark" in text


def test_pictures_of_many_runs_stay_beside(tmp_path, monkeypatch):
    monkeypatch.setattr(page, "MAX_RUNS_INSIDE", 3)
    folders.sweep(tmp_path)
    (tmp_path / "0").rename(tmp_path / "a b#c")
    text = render_folder(tmp_path)
    assert "data:image" not in text
    assert 'src="a%20b%23c/samples/epoch_0003.png"' in text


def test_warnings_of_an_estimator_are_shown(tmp_path):
    row = folders.estimate(-3.0, warning="the posterior has collapsed")
    folders.write(tmp_path / "a", folders.config(), [row])
    assert "the posterior has collapsed" in render_folder(tmp_path)


def test_other_data_have_a_part_of_their_own(tmp_path):
    other = {"name": "kmnist", "preprocessing": "dynamic", "settings": {}}
    folders.write(tmp_path / "a", folders.config(), [folders.estimate(-3.0), folders.estimate(-9.0, dataset=other)])
    written = render_folder(tmp_path)
    own, apart = written.index("<h2>digits</h2>"), written.index("<h2>kmnist, not trained on</h2>")
    assert own < written.index("-3.000") < apart < written.index("-9.000")


def test_an_interval_is_shown_by_the_pointer(tmp_path):
    folders.write(tmp_path / "a", folders.config(), [folders.estimate(-3.0, interval=[-3.25, -2.5])])
    assert ' title="95%: -3.250 to -2.500">-3.000' in render_folder(tmp_path)


def test_settings_are_shown_as_a_user_writes_them(tmp_path):
    for seed, (warmup, tempered) in enumerate(((None, False), (5, True))):
        node = folders.config(seed=seed, objective={"warmup": warmup, "tempered": tempered})
        folders.write(tmp_path / str(seed), node, [folders.estimate(-3.0 - seed)])
    text = re.sub(r"<style>.*?</style>|<script>.*?</script>", "", render_folder(tmp_path), flags=re.DOTALL)
    assert not re.search(r"\b(None|True|False)\b", text)
    assert "objective.tempered=false, objective.warmup=null" in text
    cost = text.split("<h2>Cost</h2>")[1].split("</table>")[0]
    assert '<td data-by="0" class="number">0</td>' in cost  # the seed


def test_likelihood_stands_first_in_a_data_set(tmp_path):
    for name, data in (("a", "digits"), ("b", "mnist")):
        rows = [folders.estimate(0.5, "auroc_a"), folders.estimate(2.0, "kl"), folders.estimate(-3.0)]
        folder = folders.write(tmp_path / name, folders.config(dataset__name=data), rows)
        results = folder / "results.json"
        results.write_text(results.read_text().replace('"digits"', f'"{data}"'))
    text = render_folder(tmp_path)
    heads = re.findall(r"<h2>(.*?)</h2>", text)
    assert heads[:2] == ["digits", "mnist"]
    mnist = text.split("<h2>mnist</h2>")[1].split("<h2>")[0]
    heads = re.findall(r"<h3>(.*?)</h3>", mnist)
    assert heads[1:] == ["log_likelihood", "valid/elbo over epochs", "samples", "auroc_a", "kl"]
    assert "<summary>Other quantities: auroc_a, kl</summary>" in mnist


@needs_browser
def test_browser_sorts_and_filters(tmp_path):
    script = """<script>
    const section = document.querySelector('section');
    const heads = [...section.querySelectorAll('th')];
    const rows = () => [...section.querySelectorAll('tbody tr')];
    const order = () => rows().map(r => r.cells[0].textContent);
    const seen = [order().join()];
    const value = heads.find(h => h.textContent === 'log_likelihood [1]');
    value.click(); seen.push(order().join()); value.click(); seen.push(order().join());
    const box = document.getElementById('filter');
    const filter = word => { box.value = word; box.dispatchEvent(new Event('input'));
      const all = [...document.querySelectorAll('tbody tr')].filter(r => !r.closest('.run'));
      return all.filter(r => !r.closest('[hidden]')).length; };
    seen.push(filter('vampprior'), filter('nothing like it'), filter(''));
    seen.push(filter('prior=vampprior'), filter('prior=vamp'));
    document.title = JSON.stringify(seen);
    </script>"""
    file = tmp_path / "page.html"
    file.write_text(render_folder(folders.sweep(tmp_path / "runs")))
    seen = open_in_browser(file, script)
    assert seen == ["VampPrior,StandardPrior", "StandardPrior,VampPrior", "VampPrior,StandardPrior", 4, 0, 8, 4, 0]


@needs_browser
@pytest.mark.parametrize(
    ("width", "scheme"),
    [
        (1400, "light"),
        (420, "dark"),
        pytest.param(1400, "dark", marks=pytest.mark.slow),
        pytest.param(420, "light", marks=pytest.mark.slow),
    ],
)
def test_browser_overprints_no_text(tmp_path, width, scheme):
    write_odd_runs(tmp_path / "runs")
    page_file = tmp_path / "page.html"
    page_file.write_text(render_folder(tmp_path / "runs").replace("<details", "<details open"))
    # Chromium's own window is never narrower than 500 pixels, a frame is
    frame = f"""<iframe id=frame width={width} height=3000 src="{page_file.as_uri()}"></iframe><script>
    frame.onload = () => {{ document.title = frame.contentDocument.title; }};</script></body>"""
    page_file.write_text(page_file.read_text().replace("</body>", f"{FIND_FAULTS}</body>"))
    outer = tmp_path / "outer.html"
    outer.write_text("<!doctype html><html><head><title>0</title></head><body></body></html>")
    flags = ("--allow-file-access-from-files", f"--blink-settings=preferredColorScheme={int(scheme == 'light')}")
    seen = open_in_browser(outer, frame.removesuffix("</body>"), *flags)
    assert seen["num"] > 300
    assert seen["faults"] == []
    assert seen["dim"] == 0
    assert seen["width"] <= width
    assert (seen["back"] > 200) == (scheme == "light")


@needs_browser
def test_browser_draws_any_two_quantities(tmp_path):
    write_odd_runs(tmp_path / "runs")
    script = """<script>
    const seen = [document.querySelectorAll('#scatter circle').length];
    const choose = (id, name) => { const box = document.getElementById(id); box.value = name; box.onchange(); };
    choose('scatter-x', 'auroc_black, digits'); choose('scatter-y', 'error, digits');
    const dots = [...document.querySelectorAll('#scatter circle')];
    for (const axis of ['cx', 'cy']) seen.push(new Set(dots.map(dot => dot.getAttribute(axis))).size);
    seen.push([...document.querySelectorAll('#scatter text[text-anchor=middle]')].map(each => each.textContent).join());
    dots[0].onclick(); seen.push(document.getElementById(location.hash.slice(1)).className);
    document.title = JSON.stringify(seen);
    </script>"""
    file = tmp_path / "page.html"
    file.write_text(render_folder(tmp_path / "runs"))
    assert open_in_browser(file, script) == [7, 3, 3, "0.5,0.55,0.6,0.65,0.7,auroc_black, digits", "run"]


def test_row_is_drawn_on_its_column_scale(tmp_path):
    text = render_folder(folders.sweep(tmp_path))
    table = text.split(">log_likelihood</h3>")[1].split("</table>")[0]
    _, best, other = table.split("<tr ")
    assert [row.count("<circle") for row in (best, other)] == [1, 2]  # the best has no difference to itself
    at = [float(re.search(r'circle cx="([\d.]+)"', row)[1]) for row in (best, other)]
    assert at[0] > at[1]
