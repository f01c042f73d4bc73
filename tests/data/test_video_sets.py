"""The official lists are read as they are meant; validation is cut from training, in whole groups."""

import shutil
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import torch

from ndabench.config import parse
from ndabench.data.registry import VideoDataConfig, load_data, of_modality
from ndabench.data.videos import scanning
from ndabench.data.videos.clips import ClipData
from ndabench.data.videos.facts import VideoFacts
from ndabench.data.videos.groups import held_out_groups
from ndabench.data.videos.source import Video
from ndabench.errors import UserError
from tests.video_files import write_ucf101, write_video


def load(**keys: Any) -> ClipData:
    keys = {"cache": "none", **keys}  # else the splits hold frames, not files
    return load_data(parse(VideoDataConfig, keys, "data"), device=torch.device("cpu"))


def names_of(split: Any) -> list[str]:
    return [video.path.name for video, _ in split._decoding.videos]


def counted_scans(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The files that are scanned from now on."""
    scanned: list[Path] = []
    scan = scanning.scan

    def counted(path: Path) -> VideoFacts:
        scanned.append(path)
        return scan(path)

    monkeypatch.setattr(scanning, "scan", counted)
    return scanned


def test_every_registered_class_bears_its_name() -> None:
    for name, entry in of_modality("videos").items():
        assert entry.config.model_fields["name"].default == name


@pytest.fixture
def ucf(tmp_path: Path) -> Path:
    write_ucf101(tmp_path / "ucf", ("HandstandPushups", "Any name"))
    return tmp_path / "ucf"


def test_ucf101_labels_and_groups(ucf: Path) -> None:
    """Test videos get their class from their folder, whatever their file's name says (HandStand…)."""
    for file in (ucf / "UCF-101/HandstandPushups").iterdir():
        file.rename(file.with_name(file.name.replace("Handstand", "HandStand")))
    for file in (ucf / "ucfTrainTestlist").glob("t*"):
        file.write_text(file.read_text().replace("v_Handstand", "v_HandStand"))
    data = load(name="ucf101", path=ucf)
    assert data.class_names == ("HandstandPushups", "Any name")
    assert names_of(data.test) == [
        f"v_{name}_g01_c{clip:02d}.avi" for name in ("HandStandPushups", "Any name") for clip in (1, 2)
    ]
    assert data.test.labels.tolist() == [0, 0, 1, 1]
    assert list(data.test.num_frames) == [11, 12, 19, 20]
    train, held = names_of(data.train), names_of(data.validation)
    assert len(train) + len(held) == 12
    assert {name[2:-8] for name in train}.isdisjoint(name[2:-8] for name in held)
    assert sorted(data.validation.labels.tolist()) == [0, 0, 1, 1]
    assert data.frame_shape == (3, 128, 128)


def test_the_cut_is_by_seed_and_the_hash_knows_it(ucf: Path, tmp_path: Path) -> None:
    first = load(name="ucf101", path=ucf)
    others = [load(name="ucf101", path=ucf, split_seed=seed) for seed in range(1, 6)]
    assert {tuple(names_of(data.validation)) for data in others} != {tuple(names_of(first.validation))}
    assert load(name="ucf101", path=ucf, frame_size=64).content_hash != first.content_hash
    shutil.copytree(ucf, tmp_path / "moved/ucf")
    assert load(name="ucf101", path=tmp_path / "moved/ucf").content_hash == first.content_hash


def test_a_set_is_scanned_once_and_again_when_it_changes(ucf: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scanned = counted_scans(monkeypatch)
    load(name="ucf101", path=ucf)
    assert len(scanned) == 16
    load(name="ucf101", path=ucf, split_seed=3, frame_size=32)
    assert len(scanned) == 16
    write_video(ucf / "UCF-101/Any name/v_Any name_g01_c01.avi", num_frames=33)
    assert load(name="ucf101", path=ucf).test.num_frames[2] == 33
    assert len(scanned) == 32


def test_processes_that_start_together_scan_once(ucf: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scanned = counted_scans(monkeypatch)
    paths = sorted((ucf / "UCF-101").rglob("*.avi"))
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda _: scanning.scan_once(paths), range(4)))
    assert len(scanned) == 16
    assert all(facts == found[0] for facts in found)


HMDB = {
    "brush_hair": {
        "April_09_brush_hair_u_nm_np1_ba_goo_0.avi": 1,
        "April_09_brush_hair_u_nm_np1_ba_goo_1.avi": 1,
        "#20_Rhythm_brush_hair_f_cm_np2_le_med_0.avi": 1,
        "Blonde_being_brushed_brush_hair_f_nm_np2_ri_med_0.avi": 2,
        "Unused_brush_hair_f_nm_np2_ri_med_0.avi": 0,
    },
    "ride_bike": {
        "April_09_ride_bike_f_cm_np1_fr_bad_0.avi": 1,
        "Lady_on_a_Bike_ride_bike_f_nm_np1_ri_goo_0.avi": 1,
        "Other_ride_bike_f_nm_np1_ri_goo_7.avi": 1,
        "Yes_ride_bike_f_nm_np1_ri_goo_7.avi": 2,
    },
}


@pytest.fixture
def hmdb(tmp_path: Path) -> Path:
    root = tmp_path / "hmdb"
    lists = root / "testTrainMulti_7030_splits"
    lists.mkdir(parents=True)
    for name, marks in HMDB.items():
        for number, video in enumerate(marks):
            write_video(root / "hmdb51_org" / name / video, num_frames=4 + number)
        text = "".join(f"{video} {mark} \n" for video, mark in marks.items())  # official lines end so
        (lists / f"{name}_test_split1.txt").write_text(text)
    return root


@pytest.mark.parametrize("seed", range(6))
def test_hmdb51(hmdb: Path, seed: int) -> None:
    """A source video is never parted, not even between classes."""
    junk = hmdb / "testTrainMulti_7030_splits" / "._brush_hair_test_split1.txt"
    junk.write_bytes(b"\x00\x05\x16\x07")  # what macOS leaves next to a file that it has copied
    data = load(name="hmdb51", path=hmdb, split_seed=seed)
    assert data.class_names == ("brush_hair", "ride_bike")
    assert data.test.labels.tolist() == [0, 1]
    assert list(data.test.num_frames) == [7, 7]
    train, held = names_of(data.train), names_of(data.validation)
    assert sorted([*train, *held]) == sorted(v for marks in HMDB.values() for v, m in marks.items() if m == 1)
    assert held
    sides = [sum(name.startswith("April_09") for name in side) for side in (train, held)]
    assert sides in ([3, 0], [0, 3])
    assert set(data.train.labels.tolist()) == {0, 1}


def test_hmdb51_lists_that_contradict(hmdb: Path) -> None:
    def error() -> str:
        with pytest.raises(UserError) as caught:
            load(name="hmdb51", path=hmdb)
        return str(caught.value)

    file = hmdb / "testTrainMulti_7030_splits/ride_bike_test_split1.txt"
    text = file.read_text()
    file.write_text(text.replace("goo_0.avi 1", "goo_0.avi 3"))
    assert "ride_bike_test_split1.txt:2: must be '<video> 0', '… 1' or '… 2', but is 'Lady" in error()
    file.write_text(f"{text}April_09_ride_bike_f_cm_np1_fr_bad_0.avi 2\n")
    assert "bad_0.avi is in the training list and in the test list" in error()
    file.write_text(f"{text}absent.avi 1\n")
    assert "ride_bike/absent.avi, which does not exist" in error()
    shutil.rmtree(file.parent)
    assert "has no file <class>_test_split1.txt" in error()


def test_video_folder_with_and_without_validation(tmp_path: Path) -> None:
    root = tmp_path / "kinetics"
    for folder in ("train", "val"):
        for name in ("abseiling", "zumba"):
            for source in ("AAAAAAAAAA1", "B-_BBBBBBB2", "CCCCCCCCCC3"):
                for second in (10, 20):
                    write_video(
                        root / folder / name / f"{source}_{second:06d}_{second + 10:06d}.mp4", num_frames=3
                    )
    data = load(name="video_folder", path=root, test_folder="val")
    assert data.class_names == ("abseiling", "zumba")
    assert len(data.test) == 12
    held = names_of(data.validation)
    assert {name[:11] for name in held}.isdisjoint(name[:11] for name in names_of(data.train))
    shutil.copytree(root / "val", root / "test")
    own = load(name="video_folder", path=root)
    assert (len(own.train), len(own.validation), len(own.test)) == (12, 12, 12)
    (root / "test/zumba").rename(root / "test/zumbaa")
    with pytest.raises(
        UserError, match="'zumbaa' is not among the 2 of the train folder; did you mean 'zumba'"
    ):
        load(name="video_folder", path=root)
    with pytest.raises(UserError, match="kinetics: has a folder train but no folder eval"):
        load(name="video_folder", path=root, test_folder="eval")


def test_a_pool_of_class_folders_is_cut_by_source(tmp_path: Path) -> None:
    for name in ("run", "jump"):
        for number in range(10):
            write_video(tmp_path / f"own/{name}/{number}.mp4", num_frames=3)
    data = load(name="video_folder", path=tmp_path / "own")
    assert data.class_names == ("jump", "run")
    sizes = [split.labels.bincount().tolist() for split in (data.train, data.validation, data.test)]
    assert sizes == [[7, 7], [1, 1], [2, 2]]
    other = load(name="video_folder", path=tmp_path / "own", split_seed=1)
    assert names_of(other.test) == names_of(data.test)
    assert names_of(other.validation) != names_of(data.validation)
    shutil.rmtree(tmp_path / "own/run")
    for file in list((tmp_path / "own/jump").iterdir())[1:]:
        file.unlink()
    with pytest.raises(UserError, match="videos for test cannot be held out of 1 training videos"):
        load(name="video_folder", path=tmp_path / "own")


def videos(groups: Sequence[tuple[int, str]]) -> list[Video]:
    return [Video(Path(str(number)), label, group) for number, (label, group) in enumerate(groups)]


@pytest.mark.parametrize("seed", range(5))
def test_held_out_groups_are_whole_and_near_their_share(seed: int) -> None:
    """As in UCF-101's first split: 18 training groups of 4 to 7 clips a class; a tenth is held out."""
    listed = videos(
        [(label, f"{label} {g}") for label in range(4) for g in range(8, 26) for _ in range(4 + g % 4)]
    )
    kept, held = held_out_groups(listed, 0.1, seed=seed, class_names="abcd")
    assert sorted([*kept, *held]) == list(range(len(listed)))
    assert {listed[i].group for i in kept}.isdisjoint(listed[i].group for i in held)
    for label in range(4):
        counts = [sum(listed[i].label == label for i in side) for side in (kept, held)]
        assert abs(counts[1] - 0.1 * sum(counts)) <= 3.5  # half of the largest group
    assert held_out_groups(listed, 0.1, seed=seed, class_names="abcd") == (kept, held)


def test_a_class_with_one_group_keeps_it() -> None:
    listed = videos([(0, "a"), (0, "a"), (1, "b"), (1, "c")])
    kept, held = held_out_groups(listed, 0.5, seed=0, class_names="xy")
    assert [listed[i].label for i in held] == [1]
    assert len(kept) == 3
    with pytest.raises(UserError, match="2 training videos in 1 groups and 1 classes; every class needs"):
        held_out_groups(listed[:2], 0.5, seed=0, class_names="x")
