"""The manual says what the commands say."""

from commands.core.reference import MANUAL, manual


def test_the_manual_is_what_the_commands_declare():
    assert MANUAL.read_text("utf-8") == manual()
