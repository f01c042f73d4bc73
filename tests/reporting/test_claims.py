"""Claims and controls, from records to the first sentences of the report."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from ndabench.claims import ClaimFamily
from ndabench.config import parse
from ndabench.errors import UserError
from ndabench.records import PLAN_FILE, SWEEP_FILE, RecordStore
from ndabench.reporting.claim_sentences import claim_sentences
from ndabench.reporting.comparison import Compared, Comparison, comparisons
from ndabench.reporting.decisions import Decision, Decisions, decisions
from ndabench.reporting.frames import Group, Setting, load
from ndabench.reporting.headline import headline
from ndabench.reporting.intervals import paired_difference
from ndabench.reporting.page import summary
from ndabench.reporting.power import seeds_for, smallest_detectable
from ndabench.reporting.seeds import seeds_tables
from tests.reporting.synthetic import Trial, finals, record

NOISE = (0.1, -0.2, 0.3, -0.1, 0.05)
SWEEP: dict[str, Any] = {
    "seeds": [0, 1, 2, 3, 4],
    "arms": ["none", "jigsaw", "cutout", "longer", "fakes"],
    "objective": {"metric": "fd_classifier"},
    "claim": {"that": [{"arm": "jigsaw", "is": "lower"}]},
    "controls": {"positive": ["longer"], "negative": ["fakes"]},
}
EFFECTS = {"none": 0.0, "jigsaw": -1.0, "cutout": 1.0, "longer": -2.0, "fakes": 0.0}


def swept(folder: Path, effects: dict[str, float], plan: dict | None = None, **changes: Any) -> RecordStore:
    """Records of five seeds, whose differences from the baseline are an arm's effect and some noise."""
    store, sweep = RecordStore(str(folder)), SWEEP | changes
    store.write_bytes(SWEEP_FILE, yaml.safe_dump(sweep).encode())
    store.write_bytes(PLAN_FILE, yaml.safe_dump(plan or sweep).encode())
    for place, (arm, effect) in enumerate(effects.items()):
        for seed in range(5):
            noise = 0.0 if arm == "none" else np.roll(NOISE, place)[seed]
            value = 10 + 3 * seed + effect + float(noise)
            record(store, Trial(arm, 1.0 if arm == "none" else 0.5, seed), finals(value))
    return store


def decided(store: RecordStore) -> tuple[Decisions, list[str]]:
    frames = load(store)
    compared = comparisons(frames)
    return decisions(frames, compared), claim_sentences(frames, compared)


def test_a_claim_is_shown_where_the_controls_pass(tmp_path: Path) -> None:
    results, sentences = decided(swept(tmp_path, EFFECTS))
    assert all(control.passed for control in results.controls)
    assert [decision.verdict for decision in results.claims] == ["shown"]
    assert sentences[0].startswith(
        "Claim: jigsaw at λ = 0.5 lowers fd_classifier: shown. The difference is −0."
    )
    assert "would be found with 80 % power" in sentences[0]
    assert sentences[2].startswith("Positive control longer at λ = 0.5: passed")
    assert sentences[3].startswith("Negative control fakes at λ = 0.5: passed")
    frames = load(RecordStore(str(tmp_path)))
    assert headline(frames, comparisons(frames))[: len(sentences)] == sentences
    _, said_in_the_terminal = summary(RecordStore(str(tmp_path)))
    assert said_in_the_terminal[-len(sentences) :] == sentences


def test_what_is_said_of_power_is_that_of_the_recorded_differences(tmp_path: Path) -> None:
    """tests/reporting/test_power.py holds by simulation what these functions promise."""
    deviation = float(np.std(NOISE, ddof=1))
    store = swept(tmp_path, EFFECTS)
    _, sentences = decided(store)
    smallest = smallest_detectable(deviation, 5)
    assert smallest is not None
    assert f"a difference of {smallest:.2g} would be found with 80 % power" in sentences[0]
    difference = 1.001 * smallest
    (table,) = seeds_tables(store, difference)
    assert len(table.rows) == 4
    for row in table.rows:
        assert [row[1].sort, row[3].sort] == [5, seeds_for(difference, deviation)] == [5, 5]


@pytest.mark.parametrize(("arm", "effect"), [("fakes", 1.0), ("longer", 0.0), ("longer", 1.0)])
def test_nothing_is_decided_where_a_control_fails(tmp_path: Path, arm: str, effect: float) -> None:
    results, sentences = decided(swept(tmp_path, EFFECTS | {arm: effect}))
    assert [decision.verdict for decision in results.claims] == ["control failed"]
    assert sentences[0].startswith("This setting decides nothing: its ")
    assert f"control {arm} at λ = 0.5" in sentences[0]
    assert "lowers fd_classifier: undecided, a control failed" in sentences[1]


def test_a_claim_waits_for_all_planned_seeds_and_for_the_controls(tmp_path: Path) -> None:
    more = SWEEP | {"seeds": [*range(6)]}
    results, sentences = decided(swept(tmp_path / "seeds", EFFECTS, more, **more))
    assert [decision.verdict for decision in results.claims] == ["control missing"]
    assert "undecided until the controls are measured" in sentences[0]
    results, sentences = decided(swept(tmp_path / "alone", EFFECTS, **more | {"controls": None}))
    assert [decision.verdict for decision in results.claims] == ["pair missing"]
    assert "undecided, 1 of 6 planned pairs missing" in sentences[0]


def test_a_claim_named_or_seeds_added_after_the_start_are_exploratory(tmp_path: Path) -> None:
    without = {key: value for key, value in SWEEP.items() if key != "claim"}
    _, sentences = decided(swept(tmp_path / "claim", EFFECTS, without))
    assert sentences[0].startswith("Claim (exploratory, the claim changed after the start): jigsaw")
    _, sentences = decided(swept(tmp_path / "seeds", EFFECTS, SWEEP | {"seeds": [0, 1, 2]}))
    assert sentences[0].startswith("Claim (exploratory, the seeds changed after the start): jigsaw")
    (tmp_path / "seeds" / PLAN_FILE).unlink()
    _, sentences = decided(RecordStore(str(tmp_path / "seeds")))
    assert "plan.yaml is missing" in sentences[0]


def test_every_kind_of_claim_is_decided_in_one_family(tmp_path: Path) -> None:
    claims = [
        {"arm": "jigsaw", "is": "higher"},
        {"arm": "jigsaw", "is": "no_worse", "margin": 0.5},
        {"arm": "cutout", "is": "no_worse", "margin": 0.5},
        {"arm": "cutout", "is": "equivalent", "margin": 2.0},
        {"arm": "jigsaw", "is": "equivalent", "margin": 1.0},
    ]
    results, _ = decided(swept(tmp_path, EFFECTS, claim={"that": claims}, controls=None))
    verdicts = [decision.verdict for decision in results.claims]
    assert verdicts == ["opposite", "shown", "not shown", "shown", "not shown"]
    for decision in results.claims:
        assert decision.difference is not None
        low, high = decision.difference.summary.low, decision.difference.summary.high
        assert low is not None
        assert high is not None
        if decision.claim.is_ == "equivalent":
            margin = decision.claim.margin or 0.0
            assert (-margin < low and high < margin) == (decision.verdict == "shown"), "interval and p agree"


def test_seeds_for_a_difference(tmp_path: Path) -> None:
    (table,) = seeds_tables(swept(tmp_path, EFFECTS), 0.2)
    assert table.rows[0][0].text == "jigsaw at λ = 0.5"
    seeds, cautious = (int(cell.text) for cell in table.rows[0][3:])
    assert 2 < seeds < cautious
    with pytest.raises(UserError, match="above 0"):
        seeds_tables(RecordStore(str(tmp_path)), 0.0)


def test_of_families_of_false_claims_at_most_a_twentieth_shows_one(tmp_path: Path) -> None:
    """2,000 sweeps of five seeds: four claims, each just false, about arms that share a baseline. The
    intervals of all four hold at once in about as many."""
    claims = [
        {"arm": "a", "is": "lower"},
        {"arm": "b", "is": "higher"},
        {"arm": "c", "is": "no_worse", "margin": 1.5},
        {"arm": "d", "is": "equivalent", "margin": 1.5},
    ]
    truth = {"a": 0.0, "b": 0.0, "c": 1.5, "d": -1.5}
    family = parse(ClaimFamily, {"that": claims}, "claim")
    frames = replace(
        load(RecordStore(str(tmp_path))), claim=family, objectives=("fd",), seeds=(0, 1, 2, 3, 4)
    )
    generator, sweeps, wrong, missed = np.random.default_rng(3), 2000, 0, 0
    for _ in range(sweeps):
        baseline = generator.normal(size=5)
        rows = []
        for arm, effect in truth.items():
            one = paired_difference(list(generator.normal(effect, 1, size=5) - baseline))
            rows.append(Compared(Setting(arm, 0.5, arm, "", ()), {}, one.summary, True, {}, difference=one))
        group = Group("gan", "digits", "d1e5")
        comparison = Comparison(group, "fd", "fd", "test", "", "lower", "{}", rows, [], False, "")
        results = decisions(frames, [comparison]).claims
        wrong += any(decision.verdict in ("shown", "opposite") for decision in results)
        missed += not all(map(covers, results, truth.values()))
    bound = 0.05 + 3 * np.sqrt(0.05 * 0.95 / sweeps)
    assert 0.01 < wrong / sweeps <= bound
    assert missed / sweeps <= 0.10 + bound - 0.05, "claims with a margin err on one side alone"


def covers(decision: Decision, true: float) -> bool:
    assert decision.difference is not None
    summary = decision.difference.summary
    assert summary.half_width is not None
    return abs(summary.mean - true) <= summary.half_width
