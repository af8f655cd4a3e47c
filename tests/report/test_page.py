import re
import shutil
import subprocess
from html.parser import HTMLParser

import pytest

from dgm_run.report.groups import group_runs
from dgm_run.report.page import render_page
from dgm_run.report.runs import Run, collect_runs
from dgm_run.report.tables import make_tables
from tests.support import folders

BROWSER = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


def render_folder(folder, others=()):
    found = group_runs(collect_runs(folders.sweep(folder)))
    return render_page("Runs in <here>", found, list(make_tables(found)), others)


class Names(HTMLParser):
    def __init__(self):
        super().__init__()
        self.tags, self.addresses = [], []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.addresses += [value for name, value in attrs if name in ("src", "href")]


def test_page_is_self_contained_and_escaped(tmp_path):
    text = render_folder(tmp_path, [Run(tmp_path / "x", "failed", "<script>alert(1)</script>")])
    parser = Names()
    parser.feed(text)
    assert parser.tags.count("script") == 1
    elsewhere = [address for address in parser.addresses if not address.startswith("#")]
    assert all(address.startswith("data:image/png;base64,") for address in elsewhere)
    assert len(elsewhere) == 2  # samples of both configurations, side by side
    assert all(f"id={address[1:]}>" in text for address in parser.addresses if address.startswith("#"))
    assert "://" not in re.sub(r"data:image[^\"]*", "", text)
    assert "&lt;script&gt;alert(1)" in text
    assert parser.tags.count("polyline") == 4  # a curve for every run


def test_warnings_of_an_estimator_are_shown(tmp_path):
    row = folders.estimate(-3.0, warning="the posterior has collapsed")
    folders.write(tmp_path / "a", folders.config(), [row])
    found = group_runs(collect_runs(tmp_path))
    assert "the posterior has collapsed" in render_page("x", found, list(make_tables(found)), [])


def test_an_interval_is_shown_by_the_pointer(tmp_path):
    folders.write(tmp_path / "a", folders.config(), [folders.estimate(-3.0, interval=[-3.25, -2.5])])
    found = group_runs(collect_runs(tmp_path))
    assert ' title="95%: -3.250 to -2.500">-3.000' in render_page("x", found, list(make_tables(found)), [])


@pytest.mark.skipif(BROWSER is None, reason="needs Chromium")
def test_browser_sorts_and_filters(tmp_path):
    script = """<script>
    const heads = [...document.querySelectorAll('section')[0].querySelectorAll('th')];
    const rows = () => [...document.querySelectorAll('section')[0].querySelectorAll('tbody tr')];
    const order = () => rows().map(r => r.cells[0].textContent);
    const seen = [order().join()];
    const value = heads.find(h => h.textContent === 'log_likelihood [1]');
    value.click(); seen.push(order().join()); value.click(); seen.push(order().join());
    const box = document.getElementById('filter');
    const filter = word => { box.value = word; box.dispatchEvent(new Event('input'));
      const all = [...document.querySelectorAll('tbody tr')];
      return all.filter(r => !r.hidden && !r.closest('section').hidden).length; };
    seen.push(filter('vampprior'), filter('nothing like it'), filter(''));
    seen.push(filter('prior=vampprior'), filter('prior=vamp'));
    document.title = JSON.stringify(seen);
    </script>"""
    file = tmp_path / "page.html"
    file.write_text(render_folder(tmp_path / "runs").replace("</body>", f"{script}</body>"))
    flags = ("--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking",
             "--disable-component-update", "--disable-sync", f"--user-data-dir={tmp_path / 'profile'}")  # fmt: skip
    done = subprocess.run([BROWSER, *flags, "--dump-dom", file.as_uri()], capture_output=True, text=True, timeout=120)
    assert '["VampPrior,StandardPrior","StandardPrior,VampPrior","VampPrior,StandardPrior",4,0,8,4,0]' in done.stdout


def test_row_is_drawn_on_its_column_scale(tmp_path):
    text = render_folder(tmp_path)
    table = text.split(">log_likelihood</h2>")[1].split("</table>")[0]
    _, best, other = table.split("<tr ")
    assert [row.count("<circle") for row in (best, other)] == [1, 2]  # the best has no difference to itself
    at = [float(re.search(r'circle cx="([\d.]+)"', row)[1]) for row in (best, other)]
    assert at[0] > at[1]
