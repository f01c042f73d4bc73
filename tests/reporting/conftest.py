"""One synthetic sweep for all tests that only read it."""

import pytest

from ndabench.records import RecordStore
from tests.reporting.synthetic import fill


@pytest.fixture(scope="session")
def filled(tmp_path_factory: pytest.TempPathFactory) -> RecordStore:
    store = RecordStore(str(tmp_path_factory.mktemp("reports") / "synthetic"))
    fill(store)
    return store
