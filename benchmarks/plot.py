"""How cost grows with the number of rows, drawn as SVG: two panels over a logarithmic axis of rows."""

import math
from collections.abc import Callable, Sequence

from benchmarks.figures import Size

WIDTH, HEIGHT = 640, 300
LEFT, TOP, PANEL_WIDTH, PANEL_HEIGHT, GAP = 52, 40, 240, 200, 76
INK, FAINT, OURS = "#333", "#ccc", "#2a6fb0"
TICKS = 4


def draw(growth: Sequence[Size]) -> str:
    """The whole picture."""
    panels = (
        _panel(LEFT, "CPU of all our processes, ms per 1,000 rows", growth, lambda size: size.cpu_ms),
        _panel(LEFT + PANEL_WIDTH + GAP, "rows/s end to end", growth, lambda size: size.rows_per_second),
    )
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" '
        f'font-family="sans-serif" font-size="11" fill="{INK}">\n<rect width="{WIDTH}" height="{HEIGHT}" fill="#fff"/>'
    )
    return "\n".join((head, *(line for panel in panels for line in panel), "</svg>\n"))


def _panel(left: int, title: str, growth: Sequence[Size], value_of: Callable[[Size], float]) -> list[str]:
    bottom, right = TOP + PANEL_HEIGHT, left + PANEL_WIDTH
    least, most = math.log10(growth[0].rows), math.log10(growth[-1].rows)
    top_value = _round_up(max(map(value_of, growth)))

    def place(size: Size) -> tuple[float, float]:
        share = (math.log10(size.rows) - least) / ((most - least) or 1.0)
        return left + share * PANEL_WIDTH, bottom - value_of(size) / top_value * PANEL_HEIGHT

    drawn = [f'<text x="{left}" y="{TOP - 16}" font-weight="bold">{title}</text>']
    for tick in range(TICKS + 1):
        y = bottom - tick / TICKS * PANEL_HEIGHT
        drawn.append(f'<line x1="{left}" y1="{y:.0f}" x2="{right}" y2="{y:.0f}" stroke="{FAINT}"/>')
        label = f"{top_value * tick / TICKS:,.0f}"
        drawn.append(f'<text x="{left - 6}" y="{y + 4:.0f}" text-anchor="end">{label}</text>')
    points = [place(size) for size in growth]
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    drawn.append(f'<polyline points="{path}" fill="none" stroke="{OURS}" stroke-width="2"/>')
    for size, (x, y) in zip(growth, points, strict=True):
        drawn.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3.5" fill="{OURS}"/>')
        drawn.append(f'<text x="{x:.1f}" y="{y - 8:.1f}" text-anchor="middle">{value_of(size):,.0f}</text>')
        drawn.append(f'<text x="{x:.1f}" y="{bottom + 16}" text-anchor="middle">{_rows(size.rows)}</text>')
    drawn.append(f'<text x="{(left + right) / 2:.0f}" y="{bottom + 34}" text-anchor="middle">rows of the file</text>')
    return drawn


def _round_up(value: float) -> float:
    """To one or two or five times a power of ten, times the ticks, so that each tick is a round number."""
    power = 10.0 ** math.floor(math.log10(max(value / TICKS, 1e-9)))
    return next(
        step * power * TICKS for step in (1, 2, 2.5, 5, 10) if step * power * TICKS >= value * 1.1 or step == 10
    )


def _rows(number: int) -> str:
    return f"{number // 1_000_000} M" if number >= 1_000_000 else f"{number // 1_000} k"
