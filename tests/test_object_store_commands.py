"""The commands with results on an object store: trained, found done, reported; a wrong place is one line."""

from command_lines import CommandLine
from object_stores import ObjectStore

from ndabench.records import RecordStore
from ndabench.report import report
from ndabench.train import train


def test_training_and_reporting(command_line: CommandLine, object_store: ObjectStore) -> None:
    out, file = object_store.folder(), command_line.file()
    assert command_line(train, file, "--out", out)[0] == 0
    store = RecordStore(out)
    assert store.read_trials()["status"].to_pylist() == ["finished"]
    code, stderr = command_line(train, file, "--out", out, "--resume")
    assert (code, stderr) == (2, f"error: {out}: none seed 0 is finished already; choose another --out\n")
    assert command_line(train, file, "--arm", "jigsaw", "--out", out, "--resume") == (0, "")
    assert command_line(report, out) == (0, "")
    assert b"<html" in (store.read_bytes("report.html") or b"")
    assert store.read_bytes("sweep.yaml")


def test_a_place_that_was_never_there_is_not_waited_for(
    command_line: CommandLine, object_store: ObjectStore
) -> None:
    line = command_line.error(train, command_line.file(), "--out", "s3://no-such-bucket/out")
    assert "s3://no-such-bucket/out/sweep.yaml: cannot be written (NO_SUCH_BUCKET: The specified" in line
    object_store.stop()
    line = command_line.error(report, object_store.folder())
    assert "cannot be read (NETWORK_CONNECTION: " in line
