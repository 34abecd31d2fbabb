"""What goes wrong on demand: so many times, at an operation of Discord's REST interface."""

from collections import defaultdict, deque
from dataclasses import dataclass

ANY = "*"


@dataclass(frozen=True)
class Fault:
    """One thing that goes wrong with one request.

    Attributes:
        delay: seconds that pass before anything else.
        status: the status that is answered instead of doing what was asked; 0 does it.
        retry_after: seconds of a rate limit.
        everywhere: whether the rate limit holds for the whole application.
        reset: whether the connection breaks instead of an answer.
        executed: whether what was asked is done all the same.
    """

    delay: float = 0.0
    status: int = 0
    retry_after: float = 0.0
    everywhere: bool = False
    reset: bool = False
    executed: bool = True


class Faults:
    """The faults to come. Operations have the names of Discord's document, like `create_message`; `*` is any."""

    def __init__(self) -> None:
        self._coming: dict[str, deque[Fault]] = defaultdict(deque)

    def delay(self, operation: str, seconds: float, *, times: int = 1) -> None:
        """Answer so many seconds later."""
        self._add(operation, Fault(delay=seconds), times)

    def fail(self, operation: str, status: int = 500, *, times: int = 1, executed: bool = False) -> None:
        """Answer with a status of a server that is in trouble."""
        self._add(operation, Fault(status=status, executed=executed), times)

    def rate_limit(self, operation: str, retry_after: float, *, everywhere: bool = False, times: int = 1) -> None:
        """Answer 429; `everywhere` makes it a global one."""
        self._add(operation, Fault(status=429, retry_after=retry_after, everywhere=everywhere, executed=False), times)

    def reset(self, operation: str, *, executed: bool, times: int = 1) -> None:
        """Break the connection, before or after doing what was asked."""
        self._add(operation, Fault(reset=True, executed=executed), times)

    def clear(self) -> None:
        """Let nothing go wrong any more."""
        self._coming.clear()

    def take(self, operation: str) -> Fault | None:
        """The fault that this request meets."""
        for name in (operation, ANY):
            if coming := self._coming.get(name):
                fault = coming.popleft()
                if not coming:
                    del self._coming[name]
                return fault
        return None

    def _add(self, operation: str, fault: Fault, times: int) -> None:
        self._coming[operation].extend([fault] * times)
