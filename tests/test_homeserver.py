"""The homeserver of the demo and of the tests."""

import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest

from bots.homeserver import Homeserver, HomeserverError

pytestmark = pytest.mark.synapse


def test_started_again_on_the_same_folder_it_is_the_same_server(tmp_path: Path) -> None:
    first = Homeserver(tmp_path / "hs")
    assert not first.healthy()
    first.start()
    first.start()  # it runs already
    assert first.healthy()
    assert first.register("ann", "one password") == "@ann:localhost"
    assert first.register("ann", "another password") == "@ann:localhost"
    first.override_ratelimit("@ann:localhost")
    first.stop()
    first.stop()
    assert not first.healthy()

    with Homeserver(tmp_path / "hs") as again:
        assert again.url == first.url
        limits = again.admin("GET", "/v1/users/@ann:localhost/override_ratelimit")
        assert limits == {"messages_per_second": 0, "burst_count": 0}
        with pytest.raises(HomeserverError, match="refused"):
            again.override_ratelimit("@nobody:localhost")
    assert not again.healthy()


def test_a_port_that_is_taken_meanwhile_is_exchanged(tmp_path: Path) -> None:
    with Homeserver(tmp_path / "one") as first:
        second = Homeserver(tmp_path / "two", port=first.port)
        with second:
            assert second.healthy()
            assert second.port != first.port


def test_nobody_else_can_read_its_secrets(tmp_path: Path) -> None:
    with Homeserver(tmp_path / "hs") as server:
        assert server.folder.stat().st_mode & 0o077 == 0
        secret = [server.folder / name for name in ("state.json", "homeserver.json", "signing.key")]
        assert all(file.stat().st_mode & 0o077 == 0 for file in secret)


def test_a_server_that_cannot_start_says_why(tmp_path: Path) -> None:
    server = Homeserver(tmp_path / "hs", extra={"server_name": "no server name"})
    with pytest.raises(HomeserverError, match="did not start"):
        server.start()


def test_it_can_be_stopped_while_it_starts(tmp_path: Path) -> None:
    server = Homeserver(tmp_path / "hs")
    with ThreadPoolExecutor() as aside:
        starting = aside.submit(server.start)
        while server._process is None:
            time.sleep(0.01)
        server.stop()
        with pytest.raises(HomeserverError, match="did not start"):
            starting.result(30)
    assert not server.healthy()


def test_it_ends_with_its_parent_however_that_ends(tmp_path: Path) -> None:
    script = (
        "import os, sys; from pathlib import Path; from bots.homeserver import Homeserver\n"
        "server = Homeserver(Path(sys.argv[1])); server.start(); print(server._process.pid, flush=True)\n"
        "os.kill(os.getpid(), 9)"
    )
    root = Path(__file__).parent.parent
    command = [sys.executable, "-c", script, str(tmp_path / "hs")]
    ended = subprocess.run(command, cwd=root, capture_output=True, text=True, timeout=60, check=False)
    child = int(ended.stdout)
    until = time.monotonic() + 10
    while psutil.pid_exists(child) and psutil.Process(child).status() != psutil.STATUS_ZOMBIE:
        assert time.monotonic() < until
        time.sleep(0.05)
