"""`ndabench init`: a file for one's own folder, which the sweep reader takes."""

from pathlib import Path

import pytest
from PIL import Image

from ndabench.errors import UserError
from ndabench.init import init
from ndabench.planning.sweep_file import read_sweep


def pictures(folder: Path, count: int = 3) -> None:
    folder.mkdir(parents=True)
    for number in range(count):
        Image.new("RGB", (40, 32), (number, 0, 0)).save(folder / f"{number}.png")


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path / "my pictures"


def test_a_flat_folder_is_one_class(own: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pictures(own)
    for name in ("a.cr2", "b.CR2", "notes"):
        (own / name).touch()
    init(own)
    config = read_sweep(Path("my_pictures.yaml"), [])
    assert (config.name, config.task.name) == ("my_pictures", "gan")
    assert [arm.name for arm in config.arms] == ["none", "jigsaw", "cutout"]
    assert config.data.title == "image_folder:my pictures"
    assert capsys.readouterr().out.splitlines() == [
        "my_pictures.yaml: 3 images; 9 trials",
        "files that are not read: 2 .cr2, 1 without ending",
        "next: ndabench preview my_pictures.yaml",
    ]


def test_a_split_without_classes(own: Path) -> None:
    for split in ("train", "test"):
        pictures(own / split)
    init(own)
    config = read_sweep(Path("my_pictures.yaml"), [])
    assert (config.task.name, config.data.title) == ("gan", "image_folder:my pictures")


@pytest.mark.parametrize("task", ["gan", "contrastive"])
def test_class_folders(own: Path, tmp_path: Path, task: str) -> None:
    for name in ("cats", "dogs"):
        pictures(own / name)
    out = tmp_path / "new" / "mine.yaml"
    init(own, task, "rotate, shift", 24, 5, out)
    config = read_sweep(out, [])
    assert [arm.name for arm in config.arms][:3] == ["none", "rotate", "shift"]
    assert len(config.seeds) == 5
    assert config.data.model_dump()["image_size"] == 24
    assert "6 images in 2 classes" in out.read_text().splitlines()[0]


@pytest.mark.parametrize("splits", [("train", "test"), (".",)])
def test_videos(own: Path, splits: tuple[str, ...]) -> None:
    for split in splits:
        for name in ("run", "jump"):
            (own / split / name).mkdir(parents=True)
            (own / split / name / "1.mp4").touch()
    init(own)
    config = read_sweep(Path("my_pictures.yaml"), [])
    assert (config.task.name, config.data.name) == ("video_contrastive", "video_folder")


@pytest.mark.parametrize(
    ("prepare", "options", "message"),
    [
        (None, {}, "no such folder"),
        ([], {}, "holds neither images nor videos"),
        (["a.png"], {"task": "contrastive"}, "--task: contrastive needs at least two classes"),
        (["a.png"], {"task": "gna"}, "--task: unknown task 'gna'; did you mean 'gan'"),
        (["a.png"], {"negatives": "jigsw"}, "did you mean 'jigsaw'"),
        (["a.png"], {"out": Path("taken.yaml")}, "--out: taken.yaml exists"),
        (["a.mp4"], {}, "has no class folders; videos belong in"),
        (["a.HEIC", "b.heic"], {}, "its 2 pictures end in .heic, which cannot be read; convert them"),
    ],
)
def test_mistakes_leave_nothing(own: Path, prepare: list[str] | None, options: dict, message: str) -> None:
    Path("taken.yaml").touch()
    for name in prepare or []:
        own.mkdir(exist_ok=True)
        if name.endswith("png"):
            Image.new("L", (9, 9)).save(own / name)
        else:
            (own / name).touch()
    if prepare == []:
        own.mkdir()
    with pytest.raises(UserError) as raised:
        init(own, **options)
    assert message in str(raised.value)
    assert list(Path().glob("*.yaml")) == [Path("taken.yaml")]


def test_without_a_terminal_a_folder_must_be_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin.isatty", lambda: False, raising=False)
    with pytest.raises(UserError, match="init: name a folder"):
        init()
