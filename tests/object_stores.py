"""A local S3 server in a separate process, which can stop and come back with all that it holds.

`python object_stores.py` is that process: it prints its port, then obeys the lines `start` and `stop`.
"""

import subprocess
import sys
import uuid
from http.client import HTTPConnection
from pathlib import Path
from types import TracebackType


class ObjectStore:
    """The server, from `with` on; `stop` refuses all connections until `start`."""

    def __init__(self, folder: Path) -> None:
        self._log = folder / "server.log"

    def __enter__(self) -> "ObjectStore":
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, __file__],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )
        self._port, self._up = int(self._answer()), True
        connection = HTTPConnection("127.0.0.1", self._port)
        connection.request("PUT", "/bucket")
        assert connection.getresponse().status == 200
        connection.close()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.kill()
        self._process.communicate()

    @property
    def environment(self) -> dict[str, str]:
        """How processes find the server."""
        return {
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{self._port}",
            "AWS_ACCESS_KEY_ID": "key",
            "AWS_SECRET_ACCESS_KEY": "secret",
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_EC2_METADATA_DISABLED": "true",
        }

    def folder(self) -> str:
        """The URI of an empty folder."""
        return f"s3://bucket/{uuid.uuid4().hex}/out"

    def stop(self) -> None:
        if self._up:
            self._say("stop")

    def start(self) -> None:
        if not self._up:
            self._say("start")

    def _say(self, word: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(f"{word}\n")
        self._process.stdin.flush()
        assert self._answer() == word
        self._up = word == "start"

    def _answer(self) -> str:
        assert self._process.stdout is not None
        answer = self._process.stdout.readline().strip()
        assert answer, self._log.read_text()
        return answer


def serve() -> None:
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    _, port = server.get_host_and_port()
    print(port, flush=True)
    for word in sys.stdin:
        if word.strip() == "stop":
            server.stop()
        else:
            server = ThreadedMotoServer("127.0.0.1", port, verbose=False)
            server.start()
        print(word.strip(), flush=True)


if __name__ == "__main__":
    serve()
