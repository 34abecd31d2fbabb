"""The program in a terminal: it answers, ends with its input, and stops when told without waiting for a key."""

import os
import signal
import subprocess
import sys
import time

import pytest


@pytest.fixture
def console(tmp_path):
    (tmp_path / "settings.toml").write_text(
        f'[hub]\nstate = "{tmp_path}"\n'
        f'database = "sqlite:///{tmp_path}/hub.db"\nkeys = "sqlite:///{tmp_path}/keys.db"\n'
        '[networks.uj]\nname = "UJ"\n'
    )
    environment = {**os.environ, "IMPACTHUB_SECRETS__MASTER_KEY": "ab" * 32}
    environment.pop("IMPACTHUB_SECRETS_FILE", None)
    process = subprocess.Popen(
        [sys.executable, "-m", "bots", "console", "--settings", str(tmp_path / "settings.toml")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=environment,
    )
    yield process
    process.kill()
    process.wait()


def test_lines_are_answered_until_the_input_ends(console):
    told, _ = console.communicate("help me\nterm universal jurisdiction\n", timeout=60)
    assert "Show what the Hub keeps as your settings." in told
    assert "універсальна юрисдикція" in told
    assert console.returncode == 0


@pytest.mark.parametrize("sign", [signal.SIGTERM, signal.SIGINT])
def test_it_stops_at_once_when_told_while_nobody_types(console, sign):
    console.stdin.write("me\n")
    console.stdin.flush()
    assert "Handle" in console.stdout.readline()
    started = time.monotonic()
    console.send_signal(sign)
    assert console.wait(20) == 0
    assert time.monotonic() - started < 10
