"""What only `make bench` calls still fits the rest of the house: its parts run, on as little as they take."""

from tests.bench.lookup import grown


def test_look_up_can_be_measured_as_it_grows() -> None:
    figures = {each.what for each in grown(40, p50=None, p99=40)}
    assert {"40 passages: a search, p99", "40 passages: one more document"} <= figures
