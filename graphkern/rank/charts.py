"""Line and scatter charts as inline SVG, without dependencies."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

# Okabe and Ito's colors, which people with color blindness tell apart
PALETTE = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#8c6d31", "#000000")
GREY = "#b8bec6"

_WIDTH, _HEIGHT = 420, 270
_LEFT, _RIGHT, _TOP, _BOTTOM, _MARGIN = 52, 12, 30, 40, 12


@dataclass(frozen=True)
class Series:
    """Lines of one color; y values at x = 1, 2, ..., the largest (or smallest) marked with a dot if `marks` says so."""

    name: str
    color: str
    lines: list[list[float]]
    marks: bool = False


@dataclass(frozen=True)
class Points:
    """Points of one color, [(x, y, name shown on hover)]; diamonds with an edge, or discs."""

    color: str
    points: list[tuple[float, float, str]]
    is_diamond: bool = False


def line_chart(title: str, x_title: str, series: Sequence[Series]) -> str:
    """One SVG. Raises: ValueError if there is nothing to draw."""
    values = [value for one in series for line in one.lines for value in line]
    if not values:
        raise ValueError(f"nothing to draw in {title!r}")
    length = max(len(line) for one in series for line in one.lines)
    ticks = nice_ticks(min(values), max(values))
    low, high = min(ticks[0], min(values)), max(ticks[-1], max(values))

    def x(position: int) -> float:
        return _LEFT + (_WIDTH - _LEFT - _RIGHT) * (position / max(length - 1, 1))

    def y(value: float) -> float:
        return _HEIGHT - _BOTTOM - (_HEIGHT - _TOP - _BOTTOM) * (value - low) / (high - low)

    parts = [_text(_LEFT, 17, title, "start", "title")]
    for tick in ticks:
        parts.append(f'<line class="grid" x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{y(tick):.1f}" y2="{y(tick):.1f}"/>')
        parts.append(_text(_LEFT - 6, y(tick) + 4, f"{tick:.6g}", "end"))
    for position in range(0, length, math.ceil(length / 10)):
        parts.append(_text(x(position), _HEIGHT - _BOTTOM + 16, str(position + 1), "middle"))
    parts.append(_text((_LEFT + _WIDTH - _RIGHT) / 2, _HEIGHT - 6, x_title, "middle"))
    for one in series:
        for line in one.lines:
            path = " ".join(f"{x(position):.1f},{y(value):.1f}" for position, value in enumerate(line))
            parts.append(f'<polyline class="line" stroke="{one.color}" points="{path}"/>')
            if one.marks:
                best = max(range(len(line)), key=line.__getitem__)
                parts.append(f'<circle fill="{one.color}" cx="{x(best):.1f}" cy="{y(line[best]):.1f}" r="3.5"/>')
    return _svg(_WIDTH, _HEIGHT, title, parts)


def scatter_chart(title: str, groups: Sequence[Points], width: int = 640) -> str:
    """One SVG as high as the points need, both axes at the same scale and without numbers.

    Raises: ValueError if there are no points.
    """
    points = [point for group in groups for point in group.points]
    if not points:
        raise ValueError(f"nothing to draw in {title!r}")
    xs, ys = [point[0] for point in points], [point[1] for point in points]
    scale = (width - 2 * _MARGIN) / (max(max(xs) - min(xs), max(ys) - min(ys)) or 1.0)
    height = round((max(ys) - min(ys)) * scale) + _TOP + 2 * _MARGIN
    parts = [_text(8, 17, title, "start", "title")]
    for group in groups:
        for px, py, name in group.points:
            x, y = _MARGIN + (px - min(xs)) * scale, _TOP + _MARGIN + (max(ys) - py) * scale
            hover = f"<title>{escape(name)}</title>"
            if group.is_diamond:
                corners = f"{x:.1f},{y - 5:.1f} {x + 5:.1f},{y:.1f} {x:.1f},{y + 5:.1f} {x - 5:.1f},{y:.1f}"
                parts.append(f'<polygon class="diamond" fill="{group.color}" points="{corners}">{hover}</polygon>')
            else:
                parts.append(
                    f'<circle class="dot" fill="{group.color}" cx="{x:.1f}" cy="{y:.1f}" r="3">{hover}</circle>'
                )
    return _svg(width, height, title, parts)


def legend(entries: Sequence[tuple[str, str]]) -> str:
    """(name, color) pairs as one line of HTML."""
    swatches = (f'<span><i style="background:{color}"></i>{escape(name)}</span>' for name, color in entries)
    return f'<p class="legend">{"".join(swatches)}</p>'


def nice_ticks(low: float, high: float, count: int = 5) -> list[float]:
    """About `count` round numbers that span low..high; at least two, also where low == high."""
    span = high - low or abs(high) or 1.0
    magnitude = 10.0 ** math.floor(math.log10(span / count))
    step = next(factor * magnitude for factor in (1, 2, 5, 10) if factor * magnitude * count >= span)
    first, last = math.floor(low / step), math.ceil(high / step)
    return [round(position * step, 12) for position in range(first, max(last, first + 1) + 1)]


def _text(x: float, y: float, text: str, anchor: str, style: str = "tick") -> str:
    return f'<text class="{style}" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'


def _svg(width: int, height: int, title: str, parts: list[str]) -> str:
    body = "".join(parts)
    return f'<svg viewBox="0 0 {width} {height}" role="img" aria-label="{escape(title)}">{body}</svg>'
