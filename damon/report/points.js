// SPDX-License-Identifier: GPL-2.0-only
// Pictures of a study: points by what they are, lines through the best, bounds; and bars.
const SIGNS = {
  kept: ["circle", 0, 7], broken: ["x-thin-open", 1, 7], ended: ["triangle-down-open", 7, 7], front: ["circle", 2, 5],
  default: ["star", 3, 13], chosen: ["diamond-tall", 2, 14],
};
const SEEDS = ["circle", "square", "diamond", "cross", "triangle-up", "star", "hexagon", "bowtie"];

class PointChart extends Picture {
  sign(kind) {
    const nr = kind.startsWith("seed-") ? Number(kind.slice(5)) : -1;
    return nr < 0 ? SIGNS[kind] : [SEEDS[nr % SEEDS.length], nr, 9];
  }

  trace(one) {
    const colours = LINES[theme()], [symbol, nr, size] = this.sign(one.kind), paint = colours[nr % colours.length];
    const last = one.y[one.y.length - 1], more = one.until > one.x[one.x.length - 1];
    return {
      type: "scatter", mode: one.line ? "lines+markers" : "markers", name: clean(one.name),
      x: more ? [...one.x, one.until] : one.x, y: more ? [...one.y, last] : one.y,
      text: one.text.map((text) => clean(short(text, 120))), opacity: one.faint ? 0.55 : 1,
      hovertemplate: "%{text}<br>%{x}; %{y}<extra></extra>",
      line: { color: paint, width: 2, shape: one.steps ? "hv" : "linear" },
      marker: { symbol, size, color: paint, line: { width: one.kind === "broken" ? 2 : 1, color: one.line ? paint : colour("text") } },
    };
  }

  bounds() {
    return (this.spec.bounds || []).map(({ axis, at }) => ({
      type: "line", line: { color: colour("text"), width: 1.5, dash: "dash" },
      ...(axis === "x" ? { x0: at, x1: at, yref: "paper", y0: 0, y1: 1 } : { y0: at, y1: at, xref: "paper", x0: 0, x1: 1 }),
    }));
  }

  notes() {
    return (this.spec.bounds || []).map(({ axis, at, text }) => ({
      text: clean(text), showarrow: false, font: { size: 11 }, bgcolor: colour("back"),
      ...(axis === "x" ? { x: at, yref: "paper", y: 1, yanchor: "top", xanchor: "right" }
        : { y: at, xref: "paper", x: 1, xanchor: "right", yanchor: "bottom" }),
    }));
  }

  axis(given, most) {
    const plain = {
      gridcolor: colour("line"), zeroline: false, fixedrange: true, title: { text: clean(given.title), font: { size: 12 }, standoff: 8 },
      exponentformat: "none",
    };
    if (!given.names) return { ...plain, nticks: Math.max(3, Math.floor(most)) };
    const every = Math.ceil(given.names.length / Math.max(2, most));
    const shown = given.names.map((_, index) => index).filter((index) => index % every === 0);
    return {
      ...plain, tickvals: shown, ticktext: shown.map((index) => clean(short(given.names[index], 14))),
      range: [-0.5, given.names.length - 0.5],
    };
  }

  redraw() {
    const { spec, div } = this, plain = base(div), { bars } = spec, wide = div.clientWidth / 80;
    if (bars) {
      Plotly.react(div, [{
        type: "bar", orientation: "h", y: bars.name.map(clean), x: bars.value, text: bars.value.map((one) => `${digits(one)} %`),
        textposition: "auto", hoverinfo: "none", marker: { color: LINES[theme()][0] },
      }], {
        ...plain, height: spec.height, dragmode: false, yaxis: { autorange: "reversed", fixedrange: true, automargin: true },
        xaxis: { gridcolor: colour("line"), fixedrange: true, rangemode: "tozero" }, margin: { ...plain.margin, l: 20 },
      }, CONFIG);
      return;
    }
    const traces = spec.series.map((one) => this.trace(one));
    const shapes = this.bounds();
    if (spec.same) {
      const all = spec.series.flatMap((one) => [...one.x, ...one.y]), ends = [Math.min(...all), Math.max(...all)];
      shapes.push({ type: "line", x0: ends[0], x1: ends[1], y0: ends[0], y1: ends[1], line: { color: colour("text"), width: 1, dash: "dot" } });
    }
    Plotly.react(div, traces, {
      ...plain, height: spec.height + (div.clientWidth < WIDE ? 40 : 0), showlegend: true, hovermode: "closest", dragmode: false,
      margin: { ...plain.margin, l: 66, b: 56 }, shapes, annotations: this.notes(),
      xaxis: this.axis(spec.x, wide), yaxis: { ...this.axis(spec.y, 6), rangemode: "normal" },
    }, CONFIG);
  }

  moved() {
    return null;
  }

  listen() {}
}

(() => {
  for (const one of DATA.plots.map((spec) => new PointChart(spec))) one.start();
  darkness.addEventListener("change", redrawAll);
  window.addEventListener("resize", redrawAll);
  window.addEventListener("beforeprint", () => drawn.forEach((one) => one.stale && one.draw()));
  document.documentElement.dataset.ready = String(Math.round(performance.now()));
})();
