"""Anomaly scores as the report draws them."""

import json

import pytest

from ndabench.reporting.anomaly import draw_scores, read_scores, vega_lite

SET = {
    "name": "noise",
    "title": "noise <b>",
    "num_inside": 200,
    "num_outliers": 92,
    "rates": {
        "auroc": [0.9, 0.88, 0.921],
        "aupr_in": [0.8, 0.7, 0.9],
        "aupr_out": [0.7, 0.6, 0.8],
        "fpr95": [0.3, 0.2, 0.4],
    },
    "histogram": {"edges": [-1.0, 0.0, 1.0], "inside": [0.25, 0.75], "outliers": [1.0, 0.0]},
    "roc": {"false_positive_rate": [0.0, 0.5, 1.0], "true_positive_rate": [0.0, 0.9, 1.0]},
}


def test_every_set_is_a_row_with_its_rates_and_intervals() -> None:
    scores = read_scores(json.dumps({"sets": [SET, {**SET, "title": "shapes"}]}).encode())
    assert scores is not None
    rows = vega_lite(scores)["vconcat"]
    assert [row["title"]["text"] for row in rows] == [
        "noise <b> (92 images, against 200)",
        "shapes (92 images, against 200)",
    ]
    assert rows[0]["title"]["subtitle"] == [
        "AUROC 90.0 % [88.0, 92.1] · AUPR-in 80.0 % [70.0, 90.0]",
        "AUPR-out 70.0 % [60.0, 80.0] · FPR@95TPR 30.0 % [20.0, 40.0]",
    ]
    bars = rows[0]["hconcat"][0]["data"]["values"]
    assert [(bar["low"], bar["high"], bar["share"]) for bar in bars] == [
        (-1, 0, 0.25),
        (0, 1, 0.75),
        (-1, 0, 1),
        (0, 1, 0),
    ]
    svg, width, height = draw_scores(scores)
    assert b"<b>" not in svg
    assert b"FPR@95TPR 30.0 %" in svg
    assert width > 500
    assert height > 500


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{",
        b"[]",
        b'{"sets": []}',
        b'{"sets": [{"name": "x"}]}',
        json.dumps({"sets": [{**SET, "roc": 3}]}).encode(),
    ],
)
def test_other_files_are_left_alone(data: bytes) -> None:
    assert read_scores(data) is None
