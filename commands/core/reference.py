"""Write docs/commands.md: every command as it is declared, so that the manual cannot say anything else."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from commands import FEATURES
from commands.core.context import ROLE_NAMES
from commands.core.feature import Command, Shown

MANUAL = Path(__file__).parents[2] / "docs" / "commands.md"

HEAD = """# Commands

This page is written from the commands' own declarations (`make manual`).

One grammar everywhere: the command, then its values. Values may be named (`topic=…`) or stand in order; the last text
takes the rest of the line; a value with spaces in the middle of a line stands in quotes. In a room a line begins with
`!`; in private it needs no sign. What is missing is asked for, with numbered choices; answer with the number, with a
number reaction, or by typing; `stop` ends it. In a room that several bots share, a network's key before the command
names the bot that is meant: `!sanctions digest now`.
"""


def manual() -> str:
    """Return the whole page."""
    return "\n".join(
        [HEAD, *(line for feature in FEATURES for line in _feature(feature.about.msgid, feature.commands))]
    )


def _feature(about: str, commands: list[Command[...]]) -> Iterator[str]:
    yield f"## {about}\n"
    for command in commands:
        yield f"### `{command.usage()}`\n"
        yield f"{command.about.msgid}\n"
        for param in command.params.values():
            if param.about is not command.confirm:
                yield f"* `{param.name}`: {param.about.msgid}"
        if command.params:
            yield ""
        yield f"Example: `{command.example().line()}`\n"
        facts = [f"For: {ROLE_NAMES[command.allow].msgid}"]
        facts.append("the room sees the answer" if command.shown is Shown.ROOM else "the answer is private")
        facts += [f"short: `{command.alias}`"] if command.alias else []
        facts += ["asks before it acts"] if command.confirm else []
        facts += ["leaves an entry in the audit"] if command.audited else []
        yield "; ".join(facts) + ".\n"


def main() -> None:
    """Write the page."""
    MANUAL.write_text(manual(), encoding="utf-8")


if __name__ == "__main__":
    main()
