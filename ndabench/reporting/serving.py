"""A local web server for the reports of the sweeps in a folder: an index, and each report as of now.

It only reads. A report is made when somebody asks for it and its records have changed. The server answers
requests for its own name alone: no web page can read the reports through another name that leads here.
"""

import threading
import time
from dataclasses import dataclass, field, replace
from datetime import datetime, timezone
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote, urlsplit

from ndabench.errors import UserError
from ndabench.records import RecordStore
from ndabench.reporting.formatting import count, duration
from ndabench.reporting.page import render, report_spec, status_of, written_now
from ndabench.reporting.specs import Cell, Column, Fact, ReportSpec, Section, TableSpec, TextSpec
from ndabench.reporting.trial_page import trial_spec
from ndabench.reporting.watch import SHARE

LOOPBACK = ("127.0.0.1", "localhost", "::1")


@dataclass
class ServedSweep:
    """The report of one sweep, kept until its records change."""

    name: str
    store: RecordStore
    every: float
    """Seconds after which an open page of a running sweep loads itself again."""
    page: bytes = b""
    seen: str = ""
    next_look: float = 0.0
    lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def link(self) -> str:
        """The address of the report."""
        return f"/{quote(self.name)}/"

    def trial(self, trial_id: str) -> bytes | None:
        """The page of a trial as of now; None where there is none."""
        with self.lock:
            spec = trial_spec(self.store, trial_id, self.link)
            return None if spec is None else render(spec).encode()

    def report(self) -> bytes:
        """The page as of now, or of a moment ago; `UserError` where the records cannot be read."""
        with self.lock:
            began = time.monotonic()
            if self.page and began < self.next_look:
                return self.page
            status = status_of(self.store)
            over = status is not None and status.exit_code is not None
            stamp = f"{self.store.fingerprint()} {over}"
            if stamp != self.seen or not self.page:
                spec = report_spec(self.store, trial_links=f"{self.link}trials/")
                spec = replace(spec, reload_seconds=None if over else self.every)
                self.page, self.seen = render(spec).encode(), stamp
            now = time.monotonic()
            self.next_look = now + max(self.every / 2, (now - began) * (1 / SHARE - 1))
            return self.page


class Sweeps:
    """The sweeps in a folder: the folder itself, or those right below it. New ones appear by themselves."""

    def __init__(self, folder: str, every: float) -> None:
        self.folder, self.every = folder, every
        self._known: dict[str, ServedSweep] = {}
        self._lock = threading.Lock()

    def all(self) -> dict[str, ServedSweep]:
        """By name, in alphabetic order."""
        root = Path(self.folder)
        if "://" in self.folder or _is_sweep(root):
            found = {root.name or "sweep": self.folder}
        else:
            children = sorted(root.iterdir()) if root.is_dir() else []
            found = {child.name: str(child) for child in children if _is_sweep(child)}
        with self._lock:
            for name, folder in found.items():
                if name not in self._known:
                    store = RecordStore(folder).without_retry()
                    self._known[name] = ServedSweep(name, store, self.every)
            return {name: self._known[name] for name in found}

    def index(self) -> ReportSpec:
        """A page with a row for each sweep."""
        rows = [_row(name, served.store) for name, served in self.all().items()]
        names = ("sweep", "state", "trials ended", "running", "left", "last written")
        columns = [Column(name, numeric=name in ("trials ended", "running", "left")) for name in names]
        table = TableSpec("sweeps", "Sweeps", columns, rows)
        nothing = TextSpec(["No sweep has begun here yet; this page looks again by itself."])
        return ReportSpec(
            title=self.folder,
            facts=[Fact("sweeps", str(len(rows))), written_now()],
            headline=[],
            sections=[Section("sweeps-section", "Sweeps", [table if rows else nothing])],
            reload_seconds=self.every,
        )


def _is_sweep(folder: Path) -> bool:
    return (folder / "trials").is_dir() or (folder / "status.json").is_file()


def _row(name: str, store: RecordStore) -> list[Cell]:
    link = Cell(name, name, link=f"/{quote(name)}/")
    status = status_of(store)
    if status is None:
        return [link, Cell("unknown"), *[Cell("—")] * 4]
    lost = {kind: status.trials[kind] for kind in ("diverged", "failed") if status.trials.get(kind)}
    silent = status.is_silent()
    state = "silent: its driver writes nothing" if silent else status.state
    trouble = "".join(f", {number} {kind}" for kind, number in lost.items())
    age = (datetime.now(timezone.utc) - status.updated).total_seconds()
    return [
        link,
        Cell(state + trouble, state, note=status.message, mark="bad" if lost or silent else ""),
        Cell(f"{status.ended} of {status.trials.get('total', 0)}", status.ended),
        Cell(str(status.trials.get("running", 0)), status.trials.get("running", 0)),
        Cell(duration(status.seconds_left), status.seconds_left),
        Cell(f"{duration(max(age, 0))} ago", age),
    ]


class Server(ThreadingHTTPServer):
    """Serves the `sweeps` at `address`; `UserError` where that is not possible."""

    daemon_threads = True

    def __init__(self, sweeps: Sweeps, host: str, port: int) -> None:
        self.sweeps, self.host = sweeps, host
        try:
            super().__init__((host, port), Handler)
        except (OSError, OverflowError) as error:
            raise UserError(
                f"serve: {host}:{port}: {error}; give another --port (0: any that is free)"
            ) from None

    @property
    def url(self) -> str:
        return f"http://{self.host}:{self.server_address[1]}/"

    def is_own_name(self, host: str | None) -> bool:
        """Whether a request's Host header names this server: a foreign page's request has another name."""
        name = (urlsplit(f"//{host}").hostname or "") if host else ""
        return self.host not in LOOPBACK or name in LOOPBACK


class Handler(BaseHTTPRequestHandler):
    """Answers `/` with the index, `/NAME/` with a sweep's report, `/NAME/trials/ID/` with a trial's page."""

    server: Server
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        if not self.server.is_own_name(self.headers.get("Host")):
            self._answer(403, b"This server answers to localhost only.\n", "text/plain")
            return
        name, *rest = (unquote(part) for part in urlsplit(self.path).path.strip("/").split("/"))
        try:
            if not name:
                self._answer(200, render(self.server.sweeps.index()).encode())
            elif (served := self.server.sweeps.all().get(name)) is None:
                self._answer(404, f"No sweep {name!r} here.\n".encode(), "text/plain")
            elif not rest:
                self._answer(200, served.report())
            elif rest[0] == "trials" and len(rest) == 2 and (page := served.trial(rest[1])) is not None:
                self._answer(200, page)
            else:
                self._answer(404, f"No such trial in {name!r}.\n".encode(), "text/plain")
        except UserError as error:
            self._answer(503, f"{error}\n".encode(), "text/plain")

    def do_HEAD(self) -> None:
        self.do_GET()

    def _answer(self, code: int, body: bytes, kind: str = "text/html") -> None:
        self.send_response(code)
        self.send_header("Content-Type", f"{kind}; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Cache-Control", "no-store")
        self.send_header("X-Content-Type-Options", "nosniff")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Quiet: an open page asks every few seconds."""


def serving(sweeps: Sweeps) -> str:
    """`3 sweeps`, for the line at the start."""
    return count(len(sweeps.all()), "sweep")
