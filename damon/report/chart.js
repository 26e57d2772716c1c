// SPDX-License-Identifier: GPL-2.0-only
// Curves over the time that all pictures show, or over what they are distributed by.
class LineChart extends Picture {
  constructor(spec) {
    super(spec);
    this.several = DATA.runs.length > 1;
  }

  name(curve) {
    const parts = this.several ? [DATA.runs[curve.run], curve.name] : [curve.name];
    return clean(short(parts.filter(Boolean).join(", "), 60));
  }

  traces() {
    const { spec } = this, colours = LINES[theme()], seen = {};
    return spec.curves.map((curve, index) => {
      const nth = (seen[curve.run] = (seen[curve.run] ?? -1) + 1);
      const positive = spec.kind === "idle" ? curve.x.findIndex((x) => x > 0) : 0;
      return {
        type: "scatter", mode: curve.x.length > 1 ? "lines" : "markers", name: this.name(curve),
        x: curve.x.slice(positive), y: curve.y.slice(positive),
        line: {
          color: colours[(this.several ? curve.run : index) % colours.length], width: 2, shape: spec.steps ? "hv" : "linear",
          dash: DASHES[(this.several ? nth : Math.floor(index / colours.length)) % DASHES.length],
        },
      };
    });
  }

  axis() {
    const plain = { gridcolor: colour("line"), zeroline: false, automargin: false };
    if (this.spec.kind === "time") return timeAxis(this.div);
    if (this.spec.kind === "share") return { ...plain, title: { text: "% of the time" }, range: [0, 100] };
    return { ...plain, type: "log", title: { text: "idle for at least (s)" }, exponentformat: "power" };
  }

  redraw() {
    const { spec, div } = this, plain = base(div), legend = this.several || spec.curves.length > 1;
    Plotly.react(div, this.traces(), {
      ...plain, height: (spec.kind === "time" ? 150 : 300) + (legend ? 30 : 0), showlegend: legend, hovermode: "x unified",
      dragmode: spec.kind === "time" && !window.matchMedia("(pointer: coarse)").matches ? "zoom" : false,
      margin: { ...plain.margin, b: spec.kind === "time" ? 28 : 46 },
      xaxis: { ...this.axis(), fixedrange: spec.kind !== "time" },
      yaxis: {
        gridcolor: colour("line"), zeroline: false, rangemode: spec.zero && !spec.log ? "tozero" : "normal", type: spec.log ? "log" : "linear",
        fixedrange: true, title: { text: clean(spec.unit), font: { size: 11 }, standoff: 6 }, nticks: 5, exponentformat: "none",
        ...(spec.log ? { dtick: 1 } : {}),
      },
    }, CONFIG);
  }

  listen() {
    if (this.spec.kind !== "time") return;
    this.div.on("plotly_relayout", () => this.moved() && setTime(this.moved()) && redrawAll());
    this.div.on("plotly_doubleclick", () => setTime([0, END]) && redrawAll());
  }
}

// Stages of a scheme, and how much passed each.
class StageChart extends Picture {
  redraw() {
    const { spec, div } = this, plain = base(div);
    Plotly.react(div, [{
      type: "bar", orientation: "h", y: spec.stages.map(clean), x: spec.mib, text: spec.mib.map((one) => `${digits(one)} MiB`),
      textposition: "auto", hoverinfo: "none", marker: { color: LINES[theme()][0] },
    }], {
      ...plain, height: 60 + 24 * spec.stages.length, dragmode: false,
      xaxis: { gridcolor: colour("line"), fixedrange: true, title: { text: "MiB, mean" } },
      yaxis: { autorange: "reversed", fixedrange: true }, margin: { ...plain.margin, b: 46 },
    }, CONFIG);
  }

  moved() {
    return null;
  }

  listen() {}
}
