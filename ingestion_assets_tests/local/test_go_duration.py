"""Durations follow Go's rules."""

import math

import pytest

from ingestion_assets.local.go_duration import keep_alive_seconds


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("5m", 300.0),
        ("1h30m", 5400.0),
        ("1.5s", 1.5),
        (".5s", 0.5),
        ("100ms", 0.1),
        ("+2s", 2.0),
        ("-0", 0.0),
        (300, 300.0),
        (0.5, 0.5),
        (0, 0.0),
        (-1, math.inf),
        ("-1s", math.inf),
    ],
)
def test_durations_are_seconds(value, seconds):
    assert keep_alive_seconds(value) == pytest.approx(seconds)


@pytest.mark.parametrize(
    ("value", "error"),
    [
        ("", 'time: invalid duration ""'),
        ("-", 'time: invalid duration "-"'),
        ("abc", 'time: invalid duration "abc"'),
        (".s", 'time: invalid duration ".s"'),
        ("-1", 'time: missing unit in duration "-1"'),
        ("5x", 'time: unknown unit "x" in duration "5x"'),
        ("1h5", 'time: missing unit in duration "1h5"'),
        ("9999999h", 'time: invalid duration "9999999h"'),
        (True, "Unsupported type: 'bool'"),
        ([1], "Unsupported type: '[]interface {}'"),
    ],
)
def test_what_is_wrong_is_said_in_gos_words(value, error):
    with pytest.raises(ValueError, match=r"time:|Unsupported") as caught:
        keep_alive_seconds(value)
    assert str(caught.value) == error
