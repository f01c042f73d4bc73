"""The page in a real browser: it loads nothing, breaks nothing, sorts by keyboard, fits a phone and paper."""

import re
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from ndabench.records import RecordStore
from ndabench.reporting import figures, write_report
from ndabench.reporting.page import render, report_spec
from tests.reporting.browser import CHROMIUM, PATIENCE, Page, open_page

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="chromium is not on PATH")


@pytest.fixture(scope="module")
def page(filled: RecordStore, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    path = write_report(filled)
    with open_page(tmp_path_factory.mktemp("profile")) as page:
        page.open(Path(path).as_uri())
        yield page


def test_nothing_is_fetched_and_nothing_fails(page: Page) -> None:
    requested = [event["request"]["url"] for event in page.heard("Network.requestWillBeSent")]
    assert requested
    assert all(url.startswith(("file:", "data:")) for url in requested)
    assert sum(url.startswith("file:") for url in requested) == 1
    assert page.heard("Runtime.exceptionThrown") == []
    assert page.heard("Log.entryAdded") == []


def test_charts_and_pictures_are_drawn(page: Page) -> None:
    plots = "document.querySelectorAll('section > .figures > .plot > svg[role=img]')"
    sizes = page.run(f"Array.from({plots}, s => s.getBoundingClientRect().height)")
    assert len(sizes) == 4
    assert min(sizes) > 150
    assert (
        page.run("getComputedStyle(document.querySelector('#over-lambda [aria-label^=jigsaw]')).fill")
        == "rgb(0, 114, 178)"
    )
    assert page.run("document.querySelector('svg title').textContent").count("±") == 1
    widths = page.run(
        "Array.from(document.images).filter(i => !i.closest('details')).map(i => i.naturalWidth)"
    )
    assert widths == [96] * (2 + 16)  # two of them next to the differences


def test_a_legend_hides_shows_and_singles_out_lines(page: Page) -> None:
    figure = "document.querySelector('#over-training .plot')"
    buttons = f"Array.from({figure}.querySelectorAll('.legend button'))"
    hidden = (
        f"Array.from({figure}.querySelectorAll(':scope > svg [class*=_path_marks]'))"
        ".map(g => g.style.display === 'none')"
    )
    count = page.run(f"{buttons}.length")
    assert count > 2
    assert page.run(hidden) == [False] * count
    page.run(f"{buttons}[1].focus()")
    page.press("Enter", 13, "\r")
    assert page.run(hidden) == [False, True] + [False] * (count - 2)
    assert page.run(f"{buttons}[1].getAttribute('aria-pressed')") == "false"
    marks = f"{figure}.querySelectorAll('.line1_markers_marks, .line1_interval_marks')"
    assert set(page.run(f"Array.from({marks}, g => getComputedStyle(g).display)")) == {"none"}
    page.press("Enter", 13, "\r")
    double = "new MouseEvent('dblclick', {bubbles: true})"
    page.run(f"{buttons}[2].dispatchEvent({double})")
    assert page.run(hidden) == [place != 2 for place in range(count)]
    page.run(f"{buttons}[2].dispatchEvent({double})")
    assert page.run(hidden) == [False] * count


def test_lines_beyond_the_most_are_shown_by_their_legend(
    filled: RecordStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(figures, "MOST_LINES", 1)
    (tmp_path / "few.html").write_text(render(report_spec(filled)), "utf-8")
    figure = "document.querySelector('#over-training .plot')"
    entry = f"{figure}.querySelector('[data-line=\"1\"]')"
    mark = f"getComputedStyle({figure}.querySelector('.line1_path_marks')).display"
    with open_page(tmp_path / "profile") as page:
        page.call("Emulation.setScriptExecutionDisabled", value=True)
        page.open((tmp_path / "few.html").as_uri())
        assert [page.run(mark), page.run(f"{entry}.hidden")] == ["none", True]
        page.call("Emulation.setScriptExecutionDisabled", value=False)
        page.events.clear()
        page.open((tmp_path / "few.html").as_uri())
        assert [page.run(mark), page.run(f"{entry}.hidden")] == ["none", False]
        page.run(f"{entry}.querySelector('button').click()")
        assert page.run(mark) == "inline"


def test_columns_sort_by_keyboard(page: Page) -> None:
    heads = "document.querySelector('#table-1 thead').rows[0].cells"
    means = "Array.from(document.querySelector('#table-1 tbody').rows, r => Number(r.cells[3].dataset.sort))"
    tests = "Array.from(document.querySelector('#table-1 tbody').rows, r => r.cells[5].dataset.sort)"
    before = page.run(means)
    page.run(f"{heads}[3].querySelector('button').focus()")
    page.press("Enter", 13, "\r")
    assert page.run(f"{heads}[3].getAttribute('aria-sort')") == "ascending"
    assert page.run(means) == sorted(before) != before
    page.press("Enter", 13, "\r")
    assert page.run(means) == sorted(before, reverse=True)
    page.run(f"{heads}[5].querySelector('button').focus()")
    for _ in range(2):
        page.press("Enter", 13, "\r")
        assert page.run(tests)[-2:] == ["", ""]
    assert page.run(f"{heads}[3].getAttribute('aria-sort')") is None


KEEP_COPIES = "navigator.clipboard.writeText = (text) => { window.copied = text; return Promise.resolve(); }"


def test_a_table_is_copied_as_it_is_shown(page: Page) -> None:
    page.run(KEEP_COPIES)
    page.run("document.querySelector('#table-1 .tools button').click()")
    first, *rows = page.run("copied").splitlines()
    assert first.startswith("arm,λ,n,mean ± 95 %,difference from none,p,")
    assert len(rows) == page.run("document.querySelector('#table-1 tbody').rows.length")
    assert any(row.startswith("jigsaw,0.25,3,") and ",-" in row for row in rows)
    page.run("document.querySelectorAll('#table-1 .tools button')[1].click()")
    lines = page.run("copied").splitlines()
    assert lines[0] == r"\begin{tabular}{lrrrrrr}"
    assert lines[2].startswith(r"arm & $\lambda$ & n & mean $\pm$ 95 \% &")
    assert all(line.endswith(r" \\") for line in [lines[2], *lines[4:-2]])
    assert lines[-1] == r"\end{tabular}"


def test_rows_are_filtered_by_words_and_only_those_are_copied(page: Page) -> None:
    table = "document.querySelector('#trials table')"
    page.run("document.querySelector('#trials').open = true")
    page.run("document.querySelector('#trials input').value = 'CUTOUT finished'")
    page.run("document.querySelector('#trials input').dispatchEvent(new Event('input'))")
    left = page.run(
        f"Array.from({table}.tBodies[0].rows).filter(r => r.offsetHeight).map(r => r.cells[1].textContent)"
    )
    assert len(left) == 4
    assert all(text.startswith("cutout") for text in left)
    assert page.run("document.querySelector('#trials [role=status]').textContent") == "4 of 18 rows"
    page.run(KEEP_COPIES)
    page.run("document.querySelector('#trials .tools button').click()")
    assert len(page.run("copied").splitlines()) == 1 + 4
    page.run("document.querySelector('#trials input').value = ''")
    page.run("document.querySelector('#trials input').dispatchEvent(new Event('input'))")
    assert page.run(f"Array.from({table}.tBodies[0].rows).every(r => !r.hidden)")


def test_a_figure_zooms_in_on_its_later_half(page: Page) -> None:
    heights = (
        "Array.from(document.querySelector('#over-training .plot').querySelectorAll('svg[role=img]'),"
        " s => s.getBoundingClientRect().height > 100)"
    )
    assert page.run(heights) == [True, False]
    page.run("document.querySelector('#over-training .zoom').click()")
    assert page.run(heights) == [False, True]
    page.run("document.querySelector('#over-training .zoom').click()")
    assert page.run(heights) == [True, False]


def test_the_skip_link_comes_first(page: Page) -> None:
    page.run("document.activeElement.blur(), window.scrollTo(0, 0)")
    page.run("document.body.focus()")
    assert (
        page.run("document.querySelector('a[href], button, [tabindex]').textContent") == "Skip to the results"
    )


def test_light_and_dark_follow_the_reader(page: Page) -> None:
    grounds = []
    for scheme in ("light", "dark"):
        page.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
        grounds.append(page.run("getComputedStyle(document.body).backgroundColor"))
    page.call("Emulation.setEmulatedMedia", features=[])
    assert grounds == ["rgb(255, 255, 255)", "rgb(20, 23, 27)"]


def test_a_phone_scrolls_tables_and_not_the_page(page: Page) -> None:
    page.call("Emulation.setDeviceMetricsOverride", width=390, height=844, deviceScaleFactor=2, mobile=True)
    assert page.run("document.documentElement.scrollWidth") == 390
    table = "document.querySelector('#table-1 .scroll')"
    assert page.run(f"{table}.scrollWidth > {table}.clientWidth")
    assert page.run("document.querySelector('.plot svg').getBoundingClientRect().width") <= 390
    page.call("Emulation.clearDeviceMetricsOverride")


def test_printing_unfolds_what_is_folded(page: Page) -> None:
    folded = "document.querySelectorAll('details:not([open], .more)').length"
    assert page.run(folded) > 3
    page.run("dispatchEvent(new Event('beforeprint'))")
    assert page.run(folded) == 0
    page.run("dispatchEvent(new Event('afterprint'))")
    assert page.run(folded) > 3
    assert len(page.call("Page.printToPDF")["data"]) > 10_000


def test_a_page_of_a_running_sweep_loads_itself_again(
    page: Page, filled: RecordStore, tmp_path: Path
) -> None:
    """Where the reader had scrolled to stays, and what was unfolded, hidden, sorted or filtered."""
    path = tmp_path / "report.html"
    path.write_text(render(replace(report_spec(filled), reload_seconds=1)))
    page.events.clear()
    page.open(path.as_uri())
    page.run("document.querySelector('#first-configuration').open = true")
    page.run("document.querySelector('#over-training [data-line=\"1\"] button').click()")
    page.run("for (const click of [1, 2]) document.querySelectorAll('#table-1 thead button')[3].click()")
    page.run("document.querySelector('#trials input').value = 'jigsaw'")
    page.run("scrollTo({top: 500, behavior: 'instant'}); window.seenBefore = true")
    deadline = time.monotonic() + PATIENCE
    while page.run("document.readyState !== 'complete' || 'seenBefore' in window"):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    unfolded = "Array.from(document.querySelectorAll('details[open]'), d => d.id)"
    assert page.run(unfolded) == ["first-configuration"]
    assert page.run("scrollY") == 500
    assert page.run("document.querySelectorAll('main [aria-pressed=false]:not(.zoom)').length") == 1
    assert (
        page.run("document.querySelector('#table-1 [aria-sort]').getAttribute('aria-sort')") == "descending"
    )
    assert page.run("document.querySelector('#trials [role=status]').textContent") == "6 of 18 rows"
    facts = page.run("document.querySelector('header dl').textContent")
    assert re.search(r"UTC, \d+ s ago", facts), facts
    assert page.heard("Runtime.exceptionThrown") == []
    assert page.heard("Log.entryAdded") == []
