"""Checkpoints in the key layouts of other projects load whole, or are refused with what does not fit."""

import json
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
import torchvision
from torch import Tensor, nn

from ndabench.errors import UserError
from ndabench.external.checkpoints import match, require_whole
from ndabench.external.encoders import open_encoder
from ndabench.measure import encoder
from ndabench.models.resnet import ResNet
from ndabench.models.resnet2d3d import ResNet2d3d
from ndabench.models.weight_files import read_state
from ndabench.records import RecordStore
from tests.command_lines import CommandLine

CPU = torch.device("cpu")
GENERATOR = torch.Generator().manual_seed(0)
STAGES = ("layer1", "layer2", "layer3", "layer4")


@pytest.fixture(scope="module")
def published() -> dict[str, Tensor]:
    """torchvision's ResNet-18 of width 64 with its classifier."""
    torch.manual_seed(0)
    return dict(torchvision.models.resnet18().state_dict())


def _backbone(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor for name, tensor in state.items() if not name.startswith("fc.")}


def _under(prefix: str, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {prefix + name: tensor for name, tensor in state.items()}


def _numbered(state: Mapping[str, Tensor], first: int) -> dict[str, Tensor]:
    numbers = {"conv1": "0", "bn1": "1"} | {stage: str(first + at) for at, stage in enumerate(STAGES)}
    parts = {name: name.partition(".") for name in _backbone(state)}
    return {f"{numbers[head]}.{rest}": state[name] for name, (head, _, rest) in parts.items()}


def _lightlys_own(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name.replace("downsample", "shortcut"): one for name, one in _numbered(state, 2).items()}


def _moco(state: Mapping[str, Tensor]) -> dict[str, Any]:
    head = {"fc.0.weight": torch.zeros(512, 512), "fc.0.bias": torch.zeros(512)}
    query = _under("module.encoder_q.", _backbone(state) | head)
    momentum = _under("module.encoder_k.", {name: one + 1 for name, one in _backbone(state).items()} | head)
    queue = {"module.queue": torch.zeros(128, 16), "module.queue_ptr": torch.zeros(1)}
    return {
        "epoch": 3,
        "arch": "resnet18",
        "state_dict": momentum | query | queue,
        "optimizer": {"state": {}},
    }


LAYOUTS = {
    "torchvision": lambda state: state,
    "timm": lambda state: {"epoch": 1, "model": state},
    "solo-learn": lambda state: {
        "state_dict": _under("backbone.", _backbone(state)) | {"classifier.weight": torch.zeros(10, 512)},
        "hyper_parameters": {"method": "mocov2plus"},
    },
    "solo-learn, momentum": lambda state: {
        "state_dict": _under("momentum_backbone.", {name: one + 1 for name, one in _backbone(state).items()})
        | _under("backbone.", _backbone(state))
    },
    "lightly": lambda state: {"state_dict": _under("backbone.", _numbered(state, 4))},
    "lightly's own ResNet": lambda state: {
        "state_dict": _under("resnet_moco.backbone.", _lightlys_own(state))
    },
    "MoCo": _moco,
    "data parallel": lambda state: {"state_dict": _under("module.", state)},
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_layout_loads_whole(layout: str, published: dict[str, Tensor], tmp_path: Path) -> None:
    path = tmp_path / "checkpoint.pth"
    torch.save(LAYOUTS[layout](published), path)
    state = read_state(path)
    found = match(
        state, ResNet(depth=18, width=64, stem="imagenet", image_channels=3, generator=GENERATOR).state_dict()
    )
    require_whole(found, path, "resnet18", partly=False)
    assert not found.missing
    assert all(torch.equal(one, published[name]) for name, one in found.state.items())


def test_dpc_lacks_the_moments_and_loads_if_told(tmp_path: Path) -> None:
    """The released training keeps no running moments."""
    body = ResNet2d3d(depth=18, width=8, stem="imagenet", image_channels=3, generator=GENERATOR)
    own = {
        name: one for name, one in body.state_dict().items() if "running" not in name and "num_" not in name
    }
    agg = {"module.agg.cell_list.0.reset_gate.weight": torch.zeros(4, 4, 1, 1)}
    path = tmp_path / "dpc.pth.tar"
    torch.save({"epoch": 1, "net": "resnet18", "state_dict": _under("module.backbone.", own) | agg}, path)
    state = read_state(path)
    found = match(state, body.state_dict())
    assert (found.prefix, len(found.state)) == ("module.backbone.", len(own))
    with pytest.raises(UserError, match="lacks the running moments of all batch norms"):
        require_whole(found, path, "resnet2d3d", partly=False)
    require_whole(found, path, "resnet2d3d", partly=True)


def test_a_part_is_refused_with_the_name_of_what_is_missing(published: dict[str, Tensor]) -> None:
    state = {name: one for name, one in published.items() if name != "layer3.0.conv1.weight"}
    wanted = ResNet(depth=18, width=64, stem="imagenet", image_channels=3, generator=GENERATOR).state_dict()
    with pytest.raises(UserError, match=r"only 99 of 100 weights .* 1 missing \(layer3.0.conv1.weight\)"):
        require_whole(match(state, wanted), Path("x"), "resnet18", partly=False)
    with pytest.raises(UserError, match="no weight fits"):
        require_whole(match(published, wanted, "teacher."), Path("x"), "resnet18", partly=False)


def test_code_in_a_checkpoint_is_not_run(tmp_path: Path) -> None:
    torch.save({"model": nn.Linear(1, 1)}, tmp_path / "whole.pt")
    with pytest.raises(UserError, match="without running code"):
        read_state(tmp_path / "whole.pt")


def _opened(
    path: Path, state: Mapping[str, Any], encoder: str, normalise: str, shape: tuple[int, ...]
) -> Any:
    torch.save(state, path)
    return open_encoder(path, shape, CPU, encoder=encoder, normalise=normalise, prefix=None, partly=False)


def test_torchvisions_network_of_clips_loads_whole_and_sees_what_it_was_trained_on(tmp_path: Path) -> None:
    torch.manual_seed(0)
    theirs = torchvision.models.video.r3d_18().eval()
    shape = (3, 4, 16, 16)
    found = _opened(tmp_path / "r3d.pth", theirs.state_dict(), "r3d_18", "kinetics", shape)
    assert (found.match.missing, found.match.surplus) == ((), ("fc.weight", "fc.bias"))
    clips = torch.rand(2, *shape)
    channels = (1, 3, 1, 1, 1)
    mean = torch.tensor([0.43216, 0.394666, 0.37645]).view(channels)
    deviation = torch.tensor([0.22803, 0.22145, 0.216989]).view(channels)
    theirs.fc = nn.Identity()
    with torch.no_grad():
        expected = theirs((clips - mean) / deviation)
        torch.testing.assert_close(found.network(clips * 2 - 1), expected, rtol=1e-4, atol=1e-5)
    with pytest.raises(UserError, match="--encoder: is needed for clips"):
        open_encoder(
            tmp_path / "r3d.pth", shape, CPU, encoder=None, normalise="kinetics", prefix=None, partly=False
        )


def test_pytorchvideos_network_of_clips_loads_whole(tmp_path: Path) -> None:
    with warnings.catch_warnings():  # it asks torchvision for what is deprecated
        warnings.simplefilter("ignore")
        from pytorchvideo.models.resnet import create_resnet

    theirs = create_resnet(
        model_depth=50, stem_dim_out=8, stem_conv_kernel_size=(1, 7, 7), head_pool_kernel_size=(4, 2, 2)
    )
    encoder = "{name: slow, depth: 50, width: 8}"
    state = {"model_state": theirs.state_dict()}
    found = _opened(tmp_path / "slow.pyth", state, encoder, "pytorchvideo", (3, 4, 32, 32))
    assert not found.match.missing
    assert {name.split(".")[1] for name in found.match.surplus} == {"5"}, "the classifier"


@pytest.mark.slow
def test_a_transformer_of_clips_loads_whole(tmp_path: Path) -> None:
    torch.manual_seed(0)
    state = torchvision.models.video.mvit_v2_s().state_dict()
    found = _opened(tmp_path / "m.pth", state, "torchvision:mvit_v2_s", "pytorchvideo", (3, 16, 224, 224))
    assert (found.match.missing, found.network.dimension) == ((), 768)


@pytest.mark.slow
def test_an_encoder_of_clips_is_measured(command_line: CommandLine) -> None:
    body = ResNet2d3d(depth=18, width=4, stem="cifar", image_channels=3, generator=GENERATOR)
    path, out = command_line.folder / "dpc.pth", str(command_line.out)
    torch.save({"state_dict": _under("module.backbone.", body.state_dict())}, path)
    data = "{name: moving_digits, frame_size: 16, video_frames: 20, clips_per_group: 1}"
    named = ("--encoder", "{name: resnet2d3d, width: 4, stem: cifar}", "--normalise", "half", "--data", data)
    assert "--frames: is needed" in command_line.error(encoder, str(path), *named, "--out", out)
    frames = ("--frames", "8", "--stride", "2", "--evaluate", "{name: video_knn, windows: ten}")
    assert command_line(encoder, str(path), *named, *frames, "--out", out)[0] == 0
    store = RecordStore(out)
    (row,) = store.read_trials().to_pylist()
    assert (row["task"], row["arm"]) == ("video_contrastive", "dpc")
    (metric,) = store.read_metrics(name="video_knn").to_pylist()
    assert json.loads(metric["protocol_json"])["windows"] == "10, spread evenly"


@pytest.mark.slow
def test_an_encoder_is_recognised_and_measured(command_line: CommandLine) -> None:
    torch.manual_seed(0)
    small = ResNet(depth=18, width=4, stem="cifar", image_channels=1, generator=GENERATOR)
    path, out = command_line.folder / "small.pth", str(command_line.out)
    torch.save({"state_dict": _under("module.encoder_q.", small.state_dict())}, path)
    data = ("--data", "{name: digits, image_size: 16}", "--evaluate", "knn", "--out", out)
    assert "--normalise: is needed" in command_line.error(encoder, str(path), *data)
    assert command_line(encoder, str(path), *data, "--normalise", "half")[0] == 0
    store = RecordStore(out)
    (row,) = store.read_trials().to_pylist()
    assert (row["task"], row["arm"]) == ("image_contrastive", "small")
    assert {one["metric"] for one in store.read_metrics().to_pylist()} == {"knn"}
