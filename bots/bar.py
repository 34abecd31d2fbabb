"""How far something long has come, for whoever looks on."""

from typing import TextIO


class Bar:
    """A progress bar on a terminal; nothing where nobody looks."""

    def __init__(self, total: int, out: TextIO) -> None:
        self._total, self._out, self._so_far = total, out, 0
        self._shown = out.isatty()

    def step(self) -> None:
        """One more is done."""
        self._so_far += 1
        if self._shown:
            full = 30 * self._so_far // max(self._total, 1)
            self._out.write(f"\r[{'█' * full}{' ' * (30 - full)}] {self._so_far}/{self._total}")
            self._out.flush()

    def done(self) -> None:
        """Leave the bar as it is, and go on in the next line."""
        if self._shown:
            self._out.write("\n")
