# SPDX-License-Identifier: GPL-2.0-only
"""The pictures of the documentation, as SVG: ``make docs-images`` writes them to ``docs/images``.

Each is made of a run on the simulated machine, so the same version makes the same bytes on every machine.
"""

from __future__ import annotations

import contextlib
import io
import json
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import damon
from damon.cli.main import main as damon_command

IMAGES: Final = Path(__file__).parents[1] / "docs/images"
MIB: Final = 1 << 20
#: Columns and rows of the heatmap, and the size of one in pixels.
COLUMNS, ROWS, WIDE, HIGH = 120, 40, 6, 7
#: White to dark red.
COLDEST, HOTTEST = (255, 247, 236), (127, 0, 0)


def _text(x: float, y: float, text: str, *, anchor: str = "start") -> str:
    return f'<text x="{x:g}" y="{y:g}" text-anchor="{anchor}">{text}</text>'


def _svg(width: int, height: int, parts: Sequence[str]) -> str:
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}"'
    style = 'font-family="sans-serif" font-size="12" fill="#222"'
    background = f'<rect width="{width}" height="{height}" fill="#fff"/>'
    return "\n".join([f"{head} {style}>", background, *parts, "</svg>"]) + "\n"


def _colour(share: float) -> str:
    mixed = (round(cold + (hot - cold) * share) for cold, hot in zip(COLDEST, HOTTEST, strict=True))
    return "#" + "".join(f"{one:02x}" for one in mixed)


def _output(*words: str) -> str:
    caught = io.StringIO()
    with contextlib.redirect_stdout(caught):
        damon_command(list(words))
    return caught.getvalue()


def heatmap() -> str:
    """``damon record --sim stairs`` as ``damon report`` sees it: time down, addresses to the right."""
    with tempfile.TemporaryDirectory() as scratch:
        file = f"{scratch}/damon.data"
        _output("record", "--sim", "stairs", "--ops", "vaddr", "-o", file)
        words = ("report", file, "--json", "--rows", str(ROWS), "--columns", str(COLUMNS))
        (target,) = json.loads(_output(*words))["targets"]
    area = max(target["areas"], key=lambda one: int(one["end"]) - int(one["start"]))
    rows: list[list[float | None]] = area["heat_percent"]
    most = max(heat for row in rows for heat in row if heat is not None)
    left, top = 52, 28
    size = (area["end"] - area["start"]) / MIB
    parts = [_text(left, 18, f"damon record --sim stairs: accesses by time (down) and address ({size:.0f} MiB)")]
    for nr, row in enumerate(rows):
        for column, heat in enumerate(row):
            if heat:
                place = f'x="{left + column * WIDE}" y="{top + nr * HIGH}" width="{WIDE}" height="{HIGH}"'
                parts.append(f'<rect {place} fill="{_colour(heat / most)}"/>')
    height = len(rows) * HIGH
    parts.append(f'<rect x="{left}" y="{top}" width="{COLUMNS * WIDE}" height="{height}" fill="none" stroke="#888"/>')
    seconds = target["end_seconds"]
    for nr in range(7):
        parts.append(_text(left - 6, top + 4 + height * nr / 6, f"{seconds * nr / 6:.0f} s", anchor="end"))
    return _svg(left + COLUMNS * WIDE + 12, top + height + 14, parts)


def _free_memory(seconds: int, age: int) -> list[int]:
    """MiB free at the end of each second, under a scheme that pages out what is ``age`` aggregations old."""
    with damon.open_machine(sim="hot-cold", seed=1) as machine:
        kernel = damon.Damon(machine, seed=1)
        ctx = kernel.new_ctx()
        kernel.select_ops(ctx, "vaddr")
        damon.add_process(ctx, machine.pids["main"])
        pattern = damon.DamosAccessPattern(max_nr_accesses=0, min_age_region=age)
        quota = damon.DamosQuota(sz=32 * MIB, reset_interval=1000)
        ctx.schemes.append(damon.Damos(action=damon.DamosAction.PAGEOUT, pattern=pattern, quota=quota))
        found = []
        with damon.running(kernel, ctx):
            for _ in range(seconds):
                machine.clock.sleep_us(1_000_000)
                found.append(machine.free_mem()[0] * 4096 // MIB)
    return found


def free_memory() -> str:
    """Free memory over a minute, with three ages from which memory is cold."""
    ages, colours = (20, 100, 300), ("#7f0000", "#d7301f", "#fc8d59")
    lines = [_free_memory(60, age) for age in ages]
    left, top, width, height = 52, 28, 600, 220
    low, high = 200, 500
    parts = [_text(left, 18, "MiB free: pageout of memory not accessed for 2, 10 and 30 s, 32 MiB a second at most")]
    for mib in range(low, high + 1, 100):
        y = top + height * (high - mib) / (high - low)
        parts += [_text(left - 6, y + 4, str(mib), anchor="end")]
        parts += [f'<path d="M{left} {y:g}H{left + width}" stroke="#ddd"/>']
    for second in range(0, 61, 10):
        parts.append(_text(left + width * second / 60, top + height + 18, f"{second} s", anchor="middle"))
    for age, colour, line in zip(ages, colours, lines, strict=True):
        points = " ".join(
            f"{left + width * (second + 1) / 60:g},{top + height * (high - mib) / (high - low):.1f}"
            for second, mib in enumerate(line)
        )
        parts.append(f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="2"/>')
        middle = next(second for second, mib in enumerate(line) if mib > 350)
        parts.append(_text(left + width * (middle + 2) / 60, top + height / 2, f"{age // 10} s"))
    return _svg(left + width + 20, top + height + 30, parts)


def daily() -> str:
    """What ``damon workload plot daily -o`` writes."""
    from damon.cli.workload_plot import svg
    from damon.workload.load import load_workload

    return svg(load_workload("daily"))


PICTURES: Final = {"heatmap.svg": heatmap, "free-memory.svg": free_memory, "daily.svg": daily}


def main() -> int:
    """Write them; the exit code."""
    IMAGES.mkdir(exist_ok=True)
    for name, make in PICTURES.items():
        (IMAGES / name).write_text(make())
        print(f"docs/images/{name}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
