"""How a rule says no."""


class Line(str):
    """A command line that a refusal hints at: it is shown as people type it where they are."""

    __slots__ = ()


class Refused(Exception):  # noqa: N818 - a refusal is an answer, not an error
    """A rule said no, in one sentence that a person will read.

    Args:
        msgid: the sentence in English, constant, with ``{placeholders}``; it is the key of its translations.
        values: what the placeholders stand for. ``count`` also chooses between singular and plural forms.

    ``str()`` gives the bare sentence: the values may name people and cases, and exceptions end in logs.
    """

    def __init__(self, msgid: str, /, **values: object) -> None:
        super().__init__(msgid)
        self.msgid = msgid
        self.values = values
