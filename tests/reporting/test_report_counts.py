"""Histograms of numbers of objects: read from JSON, computed, drawn."""

import json

from ndabench.reporting.counts import draw_counts, read_counts, vega_lite

COUNTED = {
    "wanted": [3],
    "real": {"3": 50, "unclear": 0},
    "generated": {"2": 10, "3": 60, "12": 5, "unclear": 25},
    "trained": {"3": 100},
}


def test_every_number_that_occurs_has_its_bars_in_order() -> None:
    counted = read_counts(json.dumps(COUNTED).encode())
    assert counted is not None
    specification = vega_lite(counted)
    assert specification["encoding"]["x"]["sort"] == [*"012345", "12", "unclear"]
    bars = {(bar["images"], bar["number"]): bar["share"] for bar in specification["data"]["values"]}
    assert len(bars) == 3 * 8
    assert bars["generated, exact counter", "unclear"] == 0.25
    assert bars["real, exact counter", "3"] == bars["generated, trained counter", "3"] == 1
    assert bars["generated, trained counter", "12"] == 0
    svg, width, height = draw_counts(counted)
    assert width > 100
    assert height > 100
    assert "real images hold 3 objects" in svg.decode()


def test_without_a_trained_counter_there_are_two_kinds_of_bars() -> None:
    counted = read_counts(json.dumps({**COUNTED, "trained": None, "wanted": [1, 2]}).encode())
    assert counted is not None
    assert {bar["images"] for bar in vega_lite(counted)["data"]["values"]} == {
        "real, exact counter",
        "generated, exact counter",
    }
    assert vega_lite(counted)["title"]["text"] == "real images hold 1 or 2 objects"


def test_other_files_hold_no_counts() -> None:
    for data in (b"", b"{}", b"[1]", b'{"wanted": [], "real": {}, "generated": {}}', b"\xff"):
        assert read_counts(data) is None
