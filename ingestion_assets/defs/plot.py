"""A run's course as a picture for its page: texts a second, and requests under way."""

import base64
from collections.abc import Mapping, Sequence
from typing import Any

import dagster as dg

from ingestion_assets.pace import Timeline

_WIDTH, _HEIGHT = 640, 200
_LEFT, _RIGHT, _TOP, _BOTTOM = 46, 34, 24, 20  # margins, for the figures at the axes
_RATE, _BUSY, _AXES = "#4f43dd", "#d97706", "#8a8a93"  # legible on white and on black


def plot(data: Mapping[str, Any]) -> dg.MarkdownMetadataValue:
    """The course of a stream as an image in Markdown.

    Written by hand, in milliseconds and 4 kB: a library for it takes longer to import than many a
    run takes.
    """
    image = base64.b64encode(svg(data).encode()).decode()
    return dg.MetadataValue.md(f"![chunks/s and concurrency](data:image/svg+xml;base64,{image})")


def svg(data: Mapping[str, Any]) -> str:
    """The same as SVG.

    Args:
        data: as `Timeline.data` gives it.
    """
    course = Timeline()
    course.add_all(0.0, data)
    rates, busy = course.rates or [0.0], course.concurrency or [0.0]
    seconds = len(rates) * course.width
    right, bottom = _WIDTH - _RIGHT, _HEIGHT - _BOTTOM
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}"'
        f' width="{_WIDTH}" height="{_HEIGHT}">',
        _label(_LEFT, 14, "chunks/s", "start", _RATE),
        _label(right, 14, "requests under way", "end", _BUSY),
        _label(_LEFT - 6, _TOP + 8, f"{max(rates):,.0f}", "end", _RATE),
        _label(right + 6, _TOP + 8, f"{max(busy):.1f}", "start", _BUSY),
        _label(_LEFT - 6, bottom, "0", "end", _AXES),
        _label(right, bottom + 15, f"{seconds:,.0f} s", "end", _AXES),
        f'<path d="M{_LEFT} {_TOP}V{bottom}H{right}V{_TOP}" fill="none" stroke="{_AXES}"'
        ' stroke-opacity=".5"/>',
        f'<path d="{_steps(rates)}V{bottom}H{_LEFT}Z" fill="{_RATE}" fill-opacity=".2"/>',
        f'<path d="{_steps(rates)}" fill="none" stroke="{_RATE}"/>',
        f'<path d="{_steps(busy)}" fill="none" stroke="{_BUSY}" stroke-width="1.5"/>',
        "</svg>",
    ]
    return "".join(parts)


def _steps(values: Sequence[float]) -> str:
    """A line with a step for each interval, as high as its share of the highest."""
    wide = (_WIDTH - _LEFT - _RIGHT) / len(values)
    bottom = _HEIGHT - _BOTTOM
    high = (bottom - _TOP) / (max(values) or 1.0)
    steps = (
        f"V{bottom - high * value:.1f}H{_LEFT + wide * (i + 1):.1f}"
        for i, value in enumerate(values)
    )
    return f"M{_LEFT} {bottom - high * values[0]:.1f}{''.join(steps)}"


def _label(x: float, y: float, text: str, anchor: str, colour: str) -> str:
    return (
        f'<text x="{x}" y="{y}" text-anchor="{anchor}" font-family="sans-serif" font-size="11"'
        f' fill="{colour}">{text}</text>'
    )
