"""The server of reports: what it answers, and to whom."""

import http.client
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from ndabench.errors import UserError
from ndabench.records import RecordStore, write_status
from ndabench.reporting.serving import Server, Sweeps
from ndabench.serve import serve
from tests.reporting.synthetic import Trial, finals, record
from tests.reporting.test_report_watch import OVER, RUNNING

Answer = tuple[int, str]


class Visitor:
    """Asks a server that runs in a thread."""

    def __init__(self, server: Server) -> None:
        self.port = int(server.server_address[1])

    def get(self, path: str, host: str | None = None, method: str = "GET") -> Answer:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        connection.request(method, path, headers={"Host": host} if host else {})
        answer = connection.getresponse()
        text = answer.read().decode()
        connection.close()
        return answer.status, text


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two sweeps, one of them with a hostile name, and something else."""
    for name in ("first", "<b>second"):
        store = RecordStore(str(tmp_path / name))
        record(store, Trial("none", 1.0, 0), finals(3.0))
        write_status(store, replace(OVER, sweep=name))
    (tmp_path / "other").mkdir()
    (tmp_path / "secret.txt").write_text("secret")
    return tmp_path


@pytest.fixture
def visitor(folder: Path) -> Iterator[Visitor]:
    with Server(Sweeps(str(folder), every=0.01), "127.0.0.1", 0) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield Visitor(server)
        server.shutdown()
        thread.join()


def test_the_index_leads_to_each_report(visitor: Visitor) -> None:
    status, text = visitor.get("/")
    assert status == 200
    assert '<a href="/first/">first</a>' in text
    assert '<a href="/%3Cb%3Esecond/">&lt;b&gt;second</a>' in text
    assert "/other/" not in text
    assert "data-reload" in text
    status, text = visitor.get("/first/")
    assert status == 200
    assert "<h1>synthetic</h1>" in text
    assert visitor.get("/%3Cb%3Esecond/")[0] == 200


def test_a_report_leads_to_a_page_for_each_trial(visitor: Visitor) -> None:
    trial_id = Trial("none", 1.0, 0).trial_id
    assert f'<a href="/first/trials/{trial_id}/">{trial_id}</a>' in visitor.get("/first/")[1]
    assert f'<a href="/%3Cb%3Esecond/trials/{trial_id}/">' in visitor.get("/%3Cb%3Esecond/")[1]
    status, text = visitor.get(f"/first/trials/{trial_id}/")
    assert status == 200
    assert "<h1>none, seed 0</h1>" in text
    assert '<a href="/first/">synthetic</a>' in text
    for path in ("/first/trials/other/", "/first/trials/", "/first/other/", f"/other/trials/{trial_id}/"):
        assert visitor.get(path)[0] == 404
    assert visitor.get(f"/first/trials/{trial_id}/../../secret.txt")[0] == 404


def test_a_report_is_that_of_now_and_reloads_while_its_sweep_runs(visitor: Visitor, folder: Path) -> None:
    store = RecordStore(str(folder / "first"))
    assert "data-reload" not in visitor.get("/first/")[1]
    record(store, Trial("jigsaw", 0.5, 0), finals(2.0))
    write_status(store, RUNNING)
    for _ in range(1000):
        if "jigsaw" in (text := visitor.get("/first/")[1]):
            break
    assert "jigsaw" in text
    assert 'data-reload="0.01"' in text
    assert "1 of 3" in visitor.get("/")[1]


def test_a_sweep_that_begins_later_appears(visitor: Visitor, folder: Path) -> None:
    assert visitor.get("/third/")[0] == 404
    record(RecordStore(str(folder / "third")), Trial("none", 1.0, 0), finals(3.0))
    assert "/third/" in visitor.get("/")[1]
    assert visitor.get("/third/")[0] == 200


@pytest.mark.parametrize(
    "path",
    ["/secret.txt", "/../secret.txt", "/first/../secret.txt", "/first/status.json", "/other/", "/%2e%2e/"],
)
def test_nothing_else_is_served(visitor: Visitor, path: str) -> None:
    status, text = visitor.get(path)
    assert status == 404
    assert text != "secret"


def test_it_answers_to_its_own_name_only(visitor: Visitor) -> None:
    """Else a page elsewhere, whose name leads to 127.0.0.1, could read the reports of whoever opens it."""
    for host in ("evil.example", f"evil.example:{visitor.port}", "127.0.0.1.evil.example"):
        assert visitor.get("/first/", host)[0] == 403
    for host in (f"localhost:{visitor.port}", f"127.0.0.1:{visitor.port}", "[::1]:80"):
        assert visitor.get("/first/", host)[0] == 200


def test_a_head_has_no_body_and_other_methods_are_refused(visitor: Visitor) -> None:
    assert visitor.get("/first/", method="HEAD") == (200, "")
    assert visitor.get("/first/", method="POST")[0] == 501


def test_damaged_records_are_one_line(visitor: Visitor, folder: Path) -> None:
    assert visitor.get("/first/")[0] == 200
    for file in (folder / "first" / "trials").iterdir():
        file.write_bytes(b"no parquet")
    status, text = visitor.get("/first/")
    for _ in range(1000):
        if "Left out" in text or status != 200:
            break
        status, text = visitor.get("/first/")
    assert "no parquet" not in text
    assert "Left out" in text or status == 503


def test_the_folder_of_one_sweep_is_enough(folder: Path) -> None:
    assert list(Sweeps(str(folder / "first"), 10).all()) == ["first"]


def test_wrong_use_is_one_line(folder: Path, visitor: Visitor) -> None:
    with pytest.raises(UserError, match="no such folder; give the one that your sweeps write to"):
        serve(str(folder / "nowhere"))
    with pytest.raises(UserError, match=rf"127.0.0.1:{visitor.port}: .*in use.*; give another --port"):
        serve(str(folder), port=visitor.port)
