"""What a folder would upload, against the archive that Ray makes of it."""

import os
from pathlib import Path
from zipfile import ZipFile

import pytest

from ndabench import doctor as doctors
from ndabench.orchestration import working_folder
from ndabench.orchestration.ray_private import packaging, ray_constants
from ndabench.orchestration.working_folder import upload_of


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    files: dict[str, int | bytes] = {
        ".git/objects": 900,
        ".gitignore": b"*.pt\n/reports/*\n!/reports/README.md\n",
        ".rayignore": b"/data/\n",
        "data/cifar.bin": 5000,
        "sub/data/kept.bin": 300,
        "sub/.gitignore": b"inner.txt\n",
        "sub/inner.txt": 700,
        "sub/deep/inner.txt": 700,
        "sub/weights.pt": 700,
        "sub/__pycache__/a.pyc": 700,
        "reports/README.md": 40,
        "reports/a/report.html": 4000,
        "inner.txt": 20,
    }
    for name, content in files.items():
        path = tmp_path / "project" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else b"x" * content)
    return tmp_path / "project"


def test_the_size_is_that_of_rays_archive(folder: Path, tmp_path: Path) -> None:
    packed = tmp_path / "packed.zip"
    excludes = ray_constants.get_runtime_env_default_excludes()
    packaging.create_package(str(folder), packed, include_gitignore=True, excludes=excludes)
    with ZipFile(packed) as archive:
        expected = {one.filename: one.file_size for one in archive.infolist() if not one.is_dir()}
    upload = upload_of(folder)
    assert upload.size == sum(expected.values())
    assert upload.whole
    assert next(iter(upload.parts.items())) == ("sub/", 300 + len("inner.txt\n"))
    assert set(expected) >= {"sub/data/kept.bin", "reports/README.md", "inner.txt"}


def test_counting_ends_in_time_and_passes_over_what_it_cannot_read(folder: Path) -> None:
    assert not upload_of(folder, most_seconds=0).whole
    (folder / "loop").symlink_to(folder / "nowhere")
    os.mkfifo(folder / "pipe")
    assert upload_of(folder).whole
    assert upload_of(folder / "missing").size == 0


def test_doctor_names_the_largest_parts_of_too_much(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (sound,) = doctors._upload(folder)
    assert (sound.verdict, sound.remedy) == ("ok", "")
    monkeypatch.setattr(working_folder, "UPLOAD_LIMIT", 300)
    (found,) = doctors._upload(folder)
    assert found.verdict == "caution"
    assert "the largest parts: sub/ 0.0 MiB, " in found.found
    assert found.remedy.endswith("what the sweep does not need, for example /sub/ /reports/ /.gitignore")
    (folder / "red\x1b[31m").write_bytes(b"x" * 9000)
    (found,) = doctors._upload(folder)
    assert found.found.isprintable()
    (folder / ".gitignore").write_bytes(b"\xff\xfe")
    (unknown,) = doctors._upload(folder)
    assert "its size is unknown" in unknown.found
