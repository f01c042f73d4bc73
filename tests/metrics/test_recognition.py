"""What measures of action recognition have in common."""

import json
from dataclasses import replace
from typing import Any, cast

import pytest
import torch
from pydantic import TypeAdapter

from ndabench.config import parse
from ndabench.data.registry import VideoDataConfig
from ndabench.data.videos.clips import ClipData, ClipSplit
from ndabench.data.videos.moving_digits import MovingDigitsConfig
from ndabench.distributed import Workers
from ndabench.errors import UserError
from ndabench.metrics.clip_encoders import subject as subjects
from ndabench.metrics.clip_encoders.config import (
    ClipEncoderEvaluation,
    ClipLinearProbeConfig,
    DpcFinetuneConfig,
    RetrievalConfig,
    VideoKnnConfig,
)
from ndabench.metrics.evaluating import prepare
from ndabench.metrics.registry import EvaluationConfig, evaluations_of
from ndabench.metrics.subjects import Preparation
from tests.metrics.recognising import CPU, SAMPLING, digits, evaluate, values
from tests.metrics.toy_encoder import assert_untouched, snapshot
from tests.metrics.toy_features import ToyFeatures

CHEAP: list[ClipEncoderEvaluation] = [
    DpcFinetuneConfig(num_epochs=1, batch_size=32),
    ClipLinearProbeConfig(penalties=(1e-2, 1.0), max_iterations=50),
    VideoKnnConfig(),
    RetrievalConfig(),
]


def test_before_the_test_nothing_looks_at_the_test_videos(clips: ClipData) -> None:
    class Forbidden:
        __len__ = None

        def __getattr__(self, name: str) -> Any:
            pytest.fail("the test videos were looked at")

    without = replace(clips, test=cast(ClipSplit, Forbidden()))
    evaluated, whole = evaluate(without, CHEAP, test=False), evaluate(clips, CHEAP)
    assert all(name.startswith("val_") or name.endswith("_penalty") for name in evaluated.measurements)
    assert values(evaluated).items() <= values(whole).items()
    assert evaluated.artifacts == {}


def test_the_features_module_is_left_as_it_was(clips: ClipData) -> None:
    features = ToyFeatures()
    before = snapshot(features)
    state = torch.get_rng_state()
    first = evaluate(clips, CHEAP, features=features)
    assert_untouched(features, before)
    assert torch.equal(torch.get_rng_state(), state)
    assert values(evaluate(clips, CHEAP, features=features)) == values(first)


def test_names_and_protocols(clips: ClipData) -> None:
    evaluated, wider = evaluate(clips, CHEAP), evaluate(clips, CHEAP, features=ToyFeatures(20))
    named = {name for evaluation in CHEAP for name in evaluation.metrics}
    measured = {name for name in evaluated.measurements if not name.endswith("_penalty")}
    assert measured == named | {f"val_{name}" for name in named}
    for name in measured:
        one = evaluated.measurements[name]
        split = "validation" if name.startswith("val_") else "test"
        protocol = json.loads(json.dumps(one.protocol))
        assert protocol == json.loads(json.dumps(wider.measurements[name].protocol))
        assert (one.better, one.unit, protocol["split"]) == ("higher", "%", split)
        assert one.seconds > 0
        assert protocol["num_evaluated"] == len(getattr(clips, split))
        assert (protocol["data"], protocol["data_hash"]) == (clips.name, clips.content_hash)
        both = split == "test" and not name.startswith("dpc_finetune")
        assert protocol["fitted_on"] == ("train+validation" if both else "train")
        assert (protocol["clip_frames"], protocol["frame_stride"], protocol["clip_size"]) == (6, 2, [16, 16])


def test_files_show_the_confusion_of_the_test_videos(clips: ClipData) -> None:
    files = evaluate(clips, CHEAP).artifacts
    shown = ["confusion_dpc_finetune.json", "confusion_linear_probe.json"]
    assert sorted(files) == [*shown, "linear_probe.safetensors"]
    for name in ("dpc_finetune", "linear_probe"):
        content = json.loads(files[f"confusion_{name}.json"])
        assert content["class_names"] == list(clips.class_names)
        assert [sum(row) for row in content["counts"]] == clips.test.labels.bincount().tolist()
    assert evaluate(clips, CHEAP[1:], workers=SecondOfOne()).artifacts == {}


class SecondOfOne(Workers):
    """A worker that is not the main one, and has nobody to exchange anything with."""

    is_main = False


def test_evaluations_of_one_data_set_share_features_and_others_have_their_own(
    clips: ClipData, monkeypatch: pytest.MonkeyPatch
) -> None:
    extracted, extract = [], subjects.window_values

    def counted(network: Any, split: Any, *rest: Any) -> Any:
        extracted.append(len(split))
        return extract(network, split, *rest)

    monkeypatch.setattr(subjects, "window_values", counted)
    own = len(clips.train), len(clips.validation), len(clips.test)
    evaluate(clips, [*CHEAP[-1:], *CHEAP[:-1]])
    assert sorted(extracted) == sorted(own)
    extracted.clear()
    evaluated = evaluate(clips, [RetrievalConfig(data=digits(split=2, split_seed=1))], test=False)
    assert len(extracted) == 2
    protocol = evaluated.measurements["val_retrieval_r1"].protocol
    assert protocol["data"] == "moving_digits split 2"
    extracted.clear()
    evaluate(clips, [])
    assert extracted == []


@pytest.mark.parametrize("name", evaluations_of("clip_encoder"))
def test_every_entry_of_the_registry_reads_and_round_trips(name: str) -> None:
    keys = {"name": name, "every": 50, "data": {"name": "moving_digits", "split": 2}}
    evaluation = parse(EvaluationConfig, keys, "evaluate")
    assert isinstance(evaluation, evaluations_of("clip_encoder")[name].config)
    assert isinstance(evaluation, ClipEncoderEvaluation)
    assert isinstance(evaluation.data, MovingDigitsConfig)
    assert (evaluation.every, evaluation.better, evaluation.data.split) == (50, "higher", 2)
    assert all(metric.startswith(name) for metric in evaluation.metrics)
    dumped = TypeAdapter(EvaluationConfig).dump_python(evaluation, mode="json")
    assert parse(EvaluationConfig, json.loads(json.dumps(dumped)), "evaluate") == evaluation


def test_what_cannot_be_measured_is_refused_before_training(clips: ClipData) -> None:
    with pytest.raises(UserError, match="retrieval: moving_digits split 1 has no labels"):
        prepare([RetrievalConfig()], Preparation(replace(clips, class_names=("all",)), CPU))
    missing = parse(VideoDataConfig, {"name": "ucf101", "path": "/nowhere/ucf101"}, "data")
    with pytest.raises(UserError, match="ucf101"):
        prepare([RetrievalConfig(data=missing)], Preparation(clips, CPU))
    larger = replace(SAMPLING, size=32)
    with pytest.raises(UserError, match=r"frames are 16×16, but the encoder looks at 32×32; set .* least 32"):
        prepare([RetrievalConfig()], Preparation(clips, CPU, sampling=larger))
