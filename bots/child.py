"""A Python module as a child process that never outlives us, and that is started again when it falls."""

from __future__ import annotations

import asyncio
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import Sequence
from pathlib import Path

import structlog

log = structlog.get_logger()

KEEPER = """
import os, runpy, signal, sys, threading
def ends_with_parent():
    while os.read(0, 64):
        pass
    os.kill(os.getpid(), signal.SIGTERM)
threading.Thread(target=ends_with_parent, daemon=True).start()
sys.argv[0:2] = [sys.argv[1]]
runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
"""
"""Runs a module that ends with us: `python -c KEEPER module …`, its standard input a pipe whose writing end is ours.

When we end, even by SIGKILL, the child reads EOF there and stops in its usual way. (A parent-death signal would come
when the starting *thread* ends, and on Linux only.)
"""


class ChildError(Exception):
    """A child process did not start; the sentence says where to look."""


class Child:
    """Our own program in another process. It says `ready` on its standard output; its log goes to a file."""

    def __init__(self, module: str, args: Sequence[str], *, log: Path) -> None:
        self._command = [sys.executable, "-c", KEEPER, module, *args]
        self._log = log
        self._process: Process | None = None

    async def start(self) -> None:
        """Start it and wait until it is ready.

        Raises:
            ChildError: it ended before; its log says why.
        """
        with self._log.open("ab") as out:
            self._process = await asyncio.create_subprocess_exec(
                *self._command, stdin=PIPE, stdout=PIPE, stderr=out, start_new_session=True
            )
        output = self._process.stdout
        if output is None or await output.readline() != b"ready\n":
            raise ChildError(f"the bots did not start; {self._log} says why")

    async def mind(self) -> None:
        """Start it again whenever it ends, until cancelled."""
        while self._process is not None:
            status = await self._process.wait()
            log.warning("the bots have ended and are started again", status=status)
            await asyncio.sleep(1)
            try:
                await self.start()
            except ChildError as error:
                log.warning(str(error))

    async def stop(self) -> None:
        """Stop it in order; end it if that takes too long."""
        if self._process is None or self._process.returncode is not None:
            return
        self._process.terminate()
        try:
            await asyncio.wait_for(self._process.wait(), 20)
        except TimeoutError:
            self._process.kill()
            await self._process.wait()
