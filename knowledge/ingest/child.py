"""The process in which files are read: what breaks in a parser breaks there.

Parsers of PDF and HTML are large and written in C. The child that runs them has no secrets in its environment, may
write no file, and has bounds on memory and on time; whether it crashes, hangs or answers nonsense, the file is unfit
and the next one gets a new child. It reads one file after another, so that a folder pays for one start, and goes by
itself when nobody has asked it anything for a while.

Both directions carry a length in eight bytes and then that many bytes: down the file's name, a zero byte and its
content; up a reading as JSON, or a sentence.
"""

import os
import resource
import select
import signal
import struct
import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import IO, Final

from pydantic import TypeAdapter, ValidationError

from knowledge.ingest.draft import Reading, Unfit, line

LONGEST: Final = 60
"""Seconds on the wall that reading one file may take."""

LONGEST_WORK: Final = 45
"""Seconds of the processor that reading one file may take."""

MEMORY: Final = 1_500_000_000
"""Bytes of address space of the child."""

IDLE: Final = 60
"""Seconds without a question after which the child goes."""

LARGEST_ANSWER: Final = 200_000_000
"""Bytes."""

_LENGTH: Final = struct.Struct("!Q")
_ANSWER: Final = TypeAdapter(Reading | str)


class Child:
    """A process that reads files, started when it is first needed and again when it is gone.

    Args:
        longest: seconds on the wall that reading one file may take.
        memory: bytes of its address space.
    """

    def __init__(self, longest: float = LONGEST, memory: int = MEMORY) -> None:
        self._longest = longest
        self._memory = memory
        self._process: subprocess.Popen[bytes] | None = None
        self._turn = threading.Lock()
        self._late = False

    def read(self, name: str, data: bytes) -> Reading:
        """Return what a file of that name and content says.

        Raises:
            Unfit: it cannot be read, or the child did not survive it.
        """
        question = os.fsencode(name).replace(b"\0", b"") + b"\0" + data
        shown = line(name)
        with self._turn:
            process, used = self._ready()
            answer = self._asked(process, question)
            if answer is None and used and not self._late:
                # It may have died of the files before this one, or have gone just when this one came.
                answer = self._asked(self._ready()[0], question)
        if answer is None:
            raise Unfit(f"{shown}: reading it takes too long or too much memory, or breaks the reader.")
        try:
            read = _ANSWER.validate_json(answer, strict=True)
        except ValidationError as error:
            raise Unfit(f"{shown}: what the reader makes of it cannot be used.") from error
        if isinstance(read, str):
            raise Unfit(f"{shown}: {read}")
        return read

    def close(self) -> None:
        """End the process, if there is one; the next question starts another."""
        with self._turn:
            if self._process:
                _end(self._process)

    def _ready(self) -> tuple[subprocess.Popen[bytes], bool]:
        """Return a living process, and whether it has been asked before."""
        used = self._process is not None and self._process.poll() is None
        if self._process is None or not used:
            self._process = _started(self._memory)
        return self._process, used

    def _asked(self, process: subprocess.Popen[bytes], question: bytes) -> bytes | None:
        assert process.stdin is not None  # noqa: S101 - it is a pipe
        assert process.stdout is not None  # noqa: S101
        answer = None
        self._late = False
        # A look at the clock between two reads would not end one that waits for ever.
        guard = threading.Timer(self._longest, self._give_up, [process])
        guard.start()
        try:
            _send(process.stdin, question)
            answer = _received(process.stdout, LARGEST_ANSWER)
        except BrokenPipeError:
            pass
        finally:
            guard.cancel()
            if answer is None:
                _end(process)
        self._late = self._late or process.returncode == -signal.SIGXCPU
        return answer

    def _give_up(self, process: subprocess.Popen[bytes]) -> None:
        self._late = True
        process.kill()


def _started(memory: int) -> subprocess.Popen[bytes]:
    return subprocess.Popen(  # noqa: S603 - our own interpreter, our own module
        [sys.executable, "-P", "-m", "knowledge.ingest", str(memory)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={"PYTHONPATH": str(Path(__file__).parents[2]), "LC_ALL": "C.UTF-8"},
        cwd="/",
    )


def _end(process: subprocess.Popen[bytes]) -> None:
    # What has gone by itself keeps its exit code.
    if process.stdin:
        with suppress(BrokenPipeError):
            process.stdin.close()
    if process.stdout:
        process.stdout.close()
    process.kill()
    process.wait()


def _send(pipe: IO[bytes], message: bytes) -> None:
    pipe.write(_LENGTH.pack(len(message)))
    pipe.write(message)
    pipe.flush()


def _received(pipe: IO[bytes], largest: int) -> bytes | None:
    """Return the next message, or None if there is none or it is larger than that."""
    head = pipe.read(_LENGTH.size)
    if len(head) < _LENGTH.size or (length := _LENGTH.unpack(head)[0]) > largest:
        return None
    message = pipe.read(length)
    return message if len(message) == length else None


def serve(memory: int, reading: Callable[[str, bytes], Reading]) -> None:
    """Be the child, in so many bytes: answer questions until there are no more, or none has come for a while.

    Args:
        memory: bytes of address space.
        reading: reads the content of a file of a name; only the child needs the parsers.
    """
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    # Whatever a parser prints would be read as an answer, and may quote the file into a log.
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.dup2(nowhere, sys.stderr.fileno())
    for bound, most in ((resource.RLIMIT_AS, memory), (resource.RLIMIT_FSIZE, 0), (resource.RLIMIT_CORE, 0)):
        resource.setrlimit(bound, (most, most))
    questions = sys.stdin.buffer
    while select.select([questions], [], [], IDLE)[0]:
        question = _received(questions, sys.maxsize)
        if question is None:
            return
        used = resource.getrusage(resource.RUSAGE_SELF)
        work = int(used.ru_utime + used.ru_stime) + LONGEST_WORK
        resource.setrlimit(resource.RLIMIT_CPU, (work, resource.getrlimit(resource.RLIMIT_CPU)[1]))
        name, _, data = question.partition(b"\0")
        _send(answers, _ANSWER.dump_json(_read(reading, os.fsdecode(name), data)))


def _read(reading: Callable[[str, bytes], Reading], name: str, data: bytes) -> Reading | str:
    """Return a reading, or what is wrong with the file. What is out of memory is not caught: a new child is sounder."""
    try:
        return reading(name, data)
    except Unfit as unfit:
        return str(unfit)
    except RecursionError:
        return "it is nested too deeply."
    except MemoryError:
        raise
    except Exception:  # noqa: BLE001 - parsers raise whatever they like
        return "it is damaged; open it in the program that made it and save it again."
