# SPDX-License-Identifier: GPL-2.0-only
"""The pictures of the documentation: ``make docs-images`` writes them to ``docs/images``.

Each is made of a run on the simulated machine, so the same version makes the same SVG on every machine. Screenshots of
reports are PNG, by Chromium.
"""

from __future__ import annotations

import contextlib
import io
import json
import sys
import tempfile
from pathlib import Path
from typing import Final

import damon
from damon.cli.main import main as damon_command
from share import browser, drawing
from share.drawing import svg, text

IMAGES: Final = Path(__file__).parents[1] / "docs/images"
STUDY: Final = Path(__file__).parents[1] / "examples/studies/day-reclaim.yaml"
MIB: Final = 1 << 20
#: Columns and rows of the heatmap, and the size of one in pixels.
COLUMNS, ROWS, WIDE, HIGH = 120, 40, 6, 7


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
    parts = [text(left, 18, f"damon record --sim stairs: accesses by time (down) and address ({size:.0f} MiB)")]
    parts += drawing.heatmap(rows, most, left, top, WIDE, HIGH)
    height = len(rows) * HIGH
    seconds = target["end_seconds"]
    for nr in range(7):
        parts.append(text(left - 6, top + 4 + height * nr / 6, f"{seconds * nr / 6:.0f} s", anchor="end"))
    return svg(left + COLUMNS * WIDE + 12, top + height + 14, parts)


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
    parts = [text(left, 18, "MiB free: pageout of memory not accessed for 2, 10 and 30 s, 32 MiB a second at most")]
    for mib in range(low, high + 1, 100):
        y = top + height * (high - mib) / (high - low)
        parts += [text(left - 6, y + 4, str(mib), anchor="end")]
        parts += [f'<path d="M{left} {y:g}H{left + width}" stroke="#ddd"/>']
    for second in range(0, 61, 10):
        parts.append(text(left + width * second / 60, top + height + 18, f"{second} s", anchor="middle"))
    for age, colour, line in zip(ages, colours, lines, strict=True):
        points = " ".join(
            f"{left + width * (second + 1) / 60:g},{top + height * (high - mib) / (high - low):.1f}"
            for second, mib in enumerate(line)
        )
        parts.append(f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="2"/>')
        middle = next(second for second, mib in enumerate(line) if mib > 350)
        parts.append(text(left + width * (middle + 2) / 60, top + height / 2, f"{age // 10} s"))
    return svg(left + width + 20, top + height + 30, parts)


def daily() -> str:
    """What ``damon workload plot daily -o`` writes."""
    from damon.cli.workload_plot import svg
    from damon.workload.load import load_workload

    return svg(load_workload("daily"))


#: Watermarks that are always open.
OPEN: Final = ("wmarks_high=1000", "wmarks_mid=1000", "wmarks_low=0")


def _run(scratch: str, name: str, *parameters: str) -> str:
    out = f"{scratch}/{name}"
    module = ("--module", "damon_reclaim", *OPEN, *parameters)
    _output(
        "run",
        *module,
        "--sim",
        "stairs",
        "--duration",
        "60",
        "--seed",
        "1",
        "--out",
        out,
        "--regions",
        "--why",
        "--quiet",
    )
    return out


def screenshots(place: Path) -> list[str]:
    """Pictures of the page of two runs in Chromium, written to ``place``; their names.

    What a browser draws is not the same in each of its versions, so these pictures are not compared.
    """
    with tempfile.TemporaryDirectory() as scratch:
        eager, patient = _run(scratch, "eager", "min_age=2000000"), _run(scratch, "patient", "min_age=8000000")
        _output("report", eager, patient, "-o", f"{scratch}/two.html")
        _output("report", eager, "-o", f"{scratch}/one.html")
        with browser.Browser() as chromium, chromium.page() as page:
            page.open(Path(scratch, "two.html"), width=1280)
            page.picture(place / "report-desktop.png", (0, 0, 1280, 1540))
            page.open(Path(scratch, "one.html"), width=1280, dark=True)
            top = page.evaluate("document.getElementById('maps').offsetTop")
            page.picture(place / "report-dark.png", (0, top, 1280, 1180))
            page.open(Path(scratch, "one.html"), width=420, touch=True)
            top = page.evaluate("document.getElementById('maps').offsetTop")
            page.picture(place / "report-phone.png", (0, top, 420, 1180))
            page.open(Path(scratch, "one.html"), width=1280)
            # Half a second, in which one step becomes cold and the next one hot.
            page.evaluate("drawn[0].view([9.75, 10.25], [drawn[0].spec.size * 0.44, drawn[0].spec.size * 0.56])")
            page.until("drawn[0].shown && !drawn[0].stale")
            top = page.evaluate("document.getElementById('map-0-figure').offsetTop")
            page.picture(place / "report-regions.png", (0, top, 1280, 760))
    return [f"report-{name}.png" for name in ("desktop", "dark", "phone", "regions")]


def study(place: Path) -> str:
    """The page of a search in Chromium: the trade-off, and what parameters matter."""
    with tempfile.TemporaryDirectory() as scratch:
        words = ("--seed", "1", "-o", f"{scratch}/results", "--html", f"{scratch}/study.html", "--quiet")
        _output("tune", str(STUDY), *words)
        study_picture(Path(scratch, "study.html"), place / "study.png")
    return "study.png"


def study_picture(html: Path, picture: Path) -> None:
    """Of a page that is there."""
    with browser.Browser() as chromium, chromium.page() as page:
        page.open(html, width=1280)
        page.evaluate("drawn.forEach((one) => one.draw())")
        top = page.evaluate("document.getElementById('front').offsetTop")
        end = page.evaluate("document.getElementById('all').offsetTop")
        page.picture(picture, (0, top, 1280, end - top))


PICTURES: Final = {"heatmap.svg": heatmap, "free-memory.svg": free_memory, "daily.svg": daily}


def main() -> int:
    """Write them; the exit code."""
    IMAGES.mkdir(exist_ok=True)
    for name, make in PICTURES.items():
        (IMAGES / name).write_text(make())
        print(f"docs/images/{name}")
    if browser.program() is None:
        print("chromium is not installed: the pictures of reports are left as they are")
        return 0
    for name in [*screenshots(IMAGES), study(IMAGES)]:
        print(f"docs/images/{name}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
