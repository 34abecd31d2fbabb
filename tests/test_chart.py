"""Drawings are PNGs of one width, whatever is written in them, and carry nothing but what is seen."""

import io
import struct
import time
import warnings
from datetime import date, timedelta
from zoneinfo import ZoneInfo

import pytest

from commands.core.chart import BAR, FAINT, MOST_POINTS, draw
from commands.core.reply import Bars, Event, Timeline
from commands.core.strings import Catalogues
from commands.core.text import Voice, plain

CATALOGUES = Catalogues.load()
FIRST = date(2026, 3, 1)


def voice(language: str = "en") -> Voice:
    return Voice(CATALOGUES.speak(language), ZoneInfo("Europe/Kyiv"))


def events(count: int, label: str = "hearing", every: int = 7) -> tuple[Event, ...]:
    return tuple(
        Event(FIRST + timedelta(days=every * number), plain(label), done=number % 3 != 0) for number in range(count)
    )


def drawn(*points: Event, title: str = "The history of C-07K3", language: str = "en") -> bytes:
    return draw(Timeline(plain(title), points), voice(language))


def chunks(png: bytes) -> list[str]:
    """The kinds of chunk that a PNG is made of."""
    assert png.startswith(b"\x89PNG\r\n\x1a\n")
    found, at = [], 8
    while at < len(png):
        (length,) = struct.unpack(">I", png[at : at + 4])
        found.append(png[at + 4 : at + 8].decode())
        at += 12 + length
    assert found[-1] == "IEND"
    return found


def size(png: bytes) -> tuple[int, int]:
    width, height = struct.unpack(">II", png[16:24])
    return width, height


def dots(png: bytes, colour: str) -> int:
    """Count the pixels of a colour."""
    from matplotlib.colors import to_rgb
    from matplotlib.image import imread

    wanted = to_rgb(colour)
    return int((abs(imread(io.BytesIO(png))[..., :3] - wanted) < 0.01).all(axis=2).sum())


@pytest.mark.parametrize("drawing", [Bars(plain("Hours"), ((plain("Held"), 3),)), Timeline(plain("x"), events(3))])
def test_a_drawing_carries_no_words_beside_what_is_seen(drawing):
    assert set(chunks(draw(drawing, voice()))) == {"IHDR", "pHYs", "IDAT", "IEND"}


def test_a_time_line_is_1200_pixels_wide_and_as_high_as_its_points_need():
    sizes = [size(drawn(*events(count))) for count in (0, 1, 2, 6, 25)]
    assert {width for width, _height in sizes} == {1200}
    heights = [height for _width, height in sizes]
    assert heights == sorted(set(heights))


def test_of_many_points_the_latest_are_drawn_and_soon():
    drawn()  # the first drawing waits for the library
    many = events(200)
    began = time.process_time()
    png = drawn(*many)
    assert time.process_time() - began < 5
    latest = drawn(*many[-MOST_POINTS:])
    assert size(png) == size(latest)
    assert png != latest  # it is seen that earlier ones are left out
    assert png == drawn(*many[1:])


def test_time_runs_downward_whatever_the_order_of_the_points():
    points = events(5)
    assert drawn(*reversed(points)) == drawn(*points)


def test_what_is_not_done_is_hollow():
    (one,) = events(1)
    hollow, full = (dots(drawn(Event(one.at, one.label, done=done)), BAR) for done in (False, True))
    assert 0 < hollow < full / 2


def test_the_line_is_dotted_where_more_than_ninety_days_lie_between_two_points():
    near, far = (dots(drawn(*events(2, every=days)), FAINT) for days in (90, 91))
    assert 0 < far < near * 0.7


@pytest.mark.parametrize("language", ["en", "uk", "ru"])
@pytest.mark.parametrize(
    "words",
    [
        "",
        "скаргу подано до Європейського суду з прав людини, зареєстровано і повідомлено Урядові держави",
        "საქმე გაიხსნა და გადაეცა სასამართლოს",
        "Գործը բացվեց և ուղարկվեց դատարան",
        "W" * 300,
        "costs of $5 and $6_{x, \\frac",
        "one\nline\r\nand\tanother " * 9,
    ],
)
def test_a_time_line_is_drawn_whatever_is_written_in_it(words, language):
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # a missing letter, or no room
        for count in (0, 1, 3):
            assert size(drawn(*events(count, words), title=words, language=language))[0] == 1200


def test_a_long_label_takes_two_lines_and_leaves_the_others_where_they_are():
    long = "admissible " * 40
    assert size(drawn(*events(3, long))) == size(drawn(*events(3)))
    assert drawn(*events(3, long)) == drawn(*events(3, long + "and more"))
