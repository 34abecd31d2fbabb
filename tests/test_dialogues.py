"""Every command, path and refusal, as people see them, in every language."""

from pathlib import Path

import pytest

from tests.transcript import FOLDER, play


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.txt")), ids=lambda path: path.stem)
async def test_the_bots_say_what_the_transcript_says(path: Path, tmp_path: Path):
    written = path.read_text("utf-8")  # noqa: ASYNC240 a small file
    assert await play(written, tmp_path) == written
