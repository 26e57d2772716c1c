// SPDX-License-Identifier: GPL-2.0-only
// A heatmap of time and address: cells as fine as the view needs, or single regions.
const MOST_REGIONS = 1200, LISTED = 60;

class Heatmap extends Picture {
  constructor(spec) {
    super(spec);
    this.figure = document.getElementById(`${spec.id}-figure`);
    this.y = [0, spec.size];
    this.dt = (spec.end - spec.start) / spec.times;
    this.da = spec.size / spec.addresses;
  }

  async load() {
    const { spec } = this;
    this.cells = await inflate(spec.cells);
    this.truth = spec.truth === null ? null : await inflate(spec.truth);
    const all = await inflate(spec.regions.words);
    const [gap, size, nr, age] = [0, 1, 2, 3].map((part) => words(all, part, 4));
    this.regions = { size, nr, age, low: new Float64Array(size.length), first: [], begin: [] };
    let at = 0;
    const gaps = [];
    spec.regions.length.forEach((length, index) => {
      let low = 0;
      this.regions.first.push(at);
      for (const end = at + length; at < end; at++) {
        low += gap[at];
        this.regions.low[at] = low * spec.regions.step;
        low += size[at];
      }
      const now = spec.regions.time[index], same = index && spec.regions.time[index - 1] === now;
      const before = same ? this.regions.begin[index - 1] : index ? spec.regions.time[index - 1] : spec.start;
      this.regions.begin.push(before);
      if (!same) gaps.push(now - before);
    });
    gaps.sort((a, b) => a - b);
    const longest = 1.5 * (gaps[gaps.length >> 1] || 0); // a pause is none
    this.regions.begin = this.regions.begin.map((one, index) => Math.max(one, spec.regions.time[index] - longest));
  }

  // The mean share (%) of as many cells as there is room for.
  window(cells, wide, high) {
    const { spec, dt, da } = this;
    const inside = (value, most) => Math.min(Math.max(value, 0), most);
    const t0 = inside(Math.floor((time[0] - spec.start) / dt), spec.times);
    const t1 = inside(Math.ceil((time[1] - spec.start) / dt), spec.times);
    const a0 = inside(Math.floor(this.y[0] / da), spec.addresses), a1 = inside(Math.ceil(this.y[1] / da), spec.addresses);
    const ft = Math.max(Math.ceil((t1 - t0) / wide), 1), fa = Math.max(Math.ceil((a1 - a0) / high), 1);
    const z = [];
    for (let a = a0; a < a1; a += fa) {
      const row = [];
      for (let t = t0; t < t1; t += ft) {
        let sum = 0, nr = 0;
        for (let i = t; i < Math.min(t + ft, t1); i++)
          for (let j = a; j < Math.min(a + fa, a1); j++) {
            const cell = cells[i * spec.addresses + j];
            if (cell !== NOTHING) (sum += (cell / FULL) ** 2), nr++;
          }
        row.push(nr ? (100 * sum) / nr : null);
      }
      z.push(row);
    }
    return { z, x0: spec.start + (t0 + ft / 2) * dt, dx: ft * dt, y0: (a0 + fa / 2) * da, dy: fa * da };
  }

  // Those in view, or null if they are too many.
  inView() {
    const { spec, regions } = this, found = [];
    for (let index = 0; index < regions.first.length; index++) {
      if (spec.regions.time[index] <= time[0] || regions.begin[index] >= time[1]) continue;
      const end = regions.first[index] + spec.regions.length[index];
      for (let at = regions.first[index]; at < end; at++) {
        const low = regions.low[at], high = low + regions.size[at] * spec.regions.step;
        if (high <= this.y[0] || low >= this.y[1] || low === high) continue;
        if (found.length === MOST_REGIONS) return null;
        found.push({
          low, high, nr: regions.nr[at], age: regions.age[at], begin: regions.begin[index], end: spec.regions.time[index],
        });
      }
    }
    return found;
  }

  address(at) {
    const { segments } = this.spec;
    let segment = segments[0];
    for (const one of segments) if (one.at <= at) segment = one;
    const past = Math.max(Math.floor(Math.min(at - segment.at, segment.size) / 4096) * 4096, 0);
    return `0x${((BigInt(segment.start) + BigInt(past)) * BigInt(this.spec.unit)).toString(16)}`;
  }

  name(at) {
    const found = this.spec.named.find((one) => one[1] <= at && at < one[2]);
    return found ? found[0] : "";
  }

  traces() {
    const heat = (cells, yaxis, title) => ({
      type: "heatmap", ...this.window(cells, Math.max(this.div.clientWidth / 2, 100), 200), yaxis, name: title,
      coloraxis: "coloraxis", hoverinfo: "none", showlegend: false, zsmooth: false,
    });
    this.shown = this.inView();
    const single = this.shown !== null && this.shown.length > 0;
    const found = [single ? this.bars() : heat(this.cells, "y", "seen")];
    if (this.truth) found.push(heat(this.truth, "y2", "truth"));
    return [...found, ...this.acts()];
  }

  // Cut at the borders of the view, so that their texts are in it.
  bars() {
    const into = (value, [low, high]) => Math.min(Math.max(value, low), high);
    const shown = this.shown.map((one) => ({
      ...one, low: into(one.low, this.y), high: into(one.high, this.y), begin: into(one.begin, time), end: into(one.end, time),
    }));
    const room = (time[1] - time[0]) / this.div.clientWidth, tall = 200 / (this.y[1] - this.y[0]);
    const pixels = (one) => (one.high - one.low) * tall;
    return {
      type: "bar", yaxis: "y", x: shown.map((one) => (one.begin + one.end) / 2), width: shown.map((one) => one.end - one.begin),
      base: shown.map((one) => one.low), y: shown.map((one) => one.high - one.low), hoverinfo: "none", showlegend: false,
      marker: {
        color: shown.map((one) => Math.min((100 * one.nr) / this.spec.most, 100)), coloraxis: "coloraxis",
        line: { width: shown.length < 200 || shown.every((one) => pixels(one) > 6) ? 1 : 0, color: colour("line") },
      },
      text: shown.map((one) => ((one.end - one.begin) / room > 40 && pixels(one) > 10 ? `${one.nr} · ${one.age}` : "")),
      textposition: "inside", insidetextanchor: "middle", textangle: 0, constraintext: "none", cliponaxis: true,
    };
  }

  // A line from the lowest to the highest address of each, and a mark that shows what it was.
  acts() {
    const { actions } = this.spec, colours = ACTS[theme()];
    const found = [];
    for (const scheme of [...new Set(actions.scheme)].sort((a, b) => a - b)) {
      const line = { x: [], y: [] }, mark = { x: [], y: [], text: [] }, paint = colours[scheme % colours.length];
      const name = clean(short(`${scheme} ${actions.names[scheme] ?? "?"}`, 40));
      actions.scheme.forEach((one, index) => {
        if (one !== scheme) return;
        const [at, low, high] = [actions.time[index], actions.low[index], actions.high[index]];
        line.x.push(at, at, null);
        line.y.push(low, high, null);
        mark.x.push(at);
        mark.y.push((low + high) / 2);
        mark.text.push(`${name}: ${digits(actions.mib[index])} MiB at ${moment(at, 1)}, from ${this.address(low)} to ${this.address(high)}`);
      });
      const group = { yaxis: "y", legendgroup: `act${scheme}`, name };
      found.push({ type: "scatter", mode: "lines", ...line, ...group, line: { color: paint, width: 2 }, hoverinfo: "skip", showlegend: false });
      found.push({
        type: "scatter", mode: "markers", ...mark, ...group, hoverinfo: "text", showlegend: true,
        marker: { color: paint, size: mark.x.length > 100 ? 4 : 7, symbol: "diamond", line: { color: colour("back"), width: mark.x.length > 100 ? 0 : 1 } },
      });
    }
    return found;
  }

  // The names of areas at the middle of what is seen of each, as far as there is room; addresses where there is none.
  ticks(height) {
    const [low, high] = this.y, most = this.div.clientWidth < WIDE ? 9 : 17;
    const places = this.spec.named
      .map(([name, from, to]) => ({ name, from: Math.max(from, low), to: Math.min(to, high) }))
      .filter((one) => one.from < one.to)
      .sort((a, b) => b.to - b.from - (a.to - a.from));
    const found = [];
    const room = ((high - low) / height) * 15;
    for (const one of places) {
      const at = (one.from + one.to) / 2;
      if (found.every((other) => Math.abs(other.at - at) >= room)) found.push({ at, text: clean(short(one.name, most)) });
    }
    for (const at of [low, high])
      if (found.every((other) => Math.abs(other.at - at) >= room)) found.push({ at, text: this.address(at) });
    return { tickvals: found.map((one) => one.at), ticktext: found.map((one) => one.text) };
  }

  layout() {
    const { div, spec } = this, narrow = div.clientWidth < WIDE;
    const height = this.truth ? (narrow ? 520 : 620) : narrow ? 340 : 400;
    const lines = (spec.named.length > 12 ? [] : spec.named).flatMap((one) => [one[1], one[2]]);
    const axis = {
      range: this.y.slice(), minallowed: 0, maxallowed: spec.size, zeroline: false, showgrid: false, ticks: "outside",
      ...this.ticks(height / (this.truth ? 2.3 : 1.2)), tickfont: { size: narrow ? 10 : 11 },
    };
    const title = (text, y) => ({ text, xref: "paper", yref: "paper", x: 1, y, xanchor: "right", yanchor: "top", showarrow: false, bgcolor: colour("panel"), font: { size: 11 } });
    return {
      ...base(div), height, barmode: "overlay", bargap: 0, dragmode: window.matchMedia("(pointer: coarse)").matches ? false : "zoom", hovermode: "closest",
      plot_bgcolor: colour("nothing"), showlegend: true,
      coloraxis: { cmin: 0, cmax: 100 * spec.top, colorscale: scale(), showscale: false },
      xaxis: { ...timeAxis(div), anchor: this.truth ? "y2" : "y", showgrid: false },
      yaxis: { ...axis, domain: this.truth ? [0.515, 1] : [0, 1] },
      ...(this.truth ? { yaxis2: { ...axis, domain: [0, 0.485], matches: "y" } } : {}),
      shapes: ["y", ...(this.truth ? ["y2"] : [])].flatMap((yref) => lines.map((at) => ({
        type: "line", xref: "paper", x0: 0, x1: 1, yref, y0: at, y1: at, line: { width: 1, color: colour("line"), dash: "dot" },
      }))),
      annotations: [title("DAMON's view", 1), ...(this.truth ? [title("truth", 0.485)] : [])],
    };
  }

  redraw() {
    Plotly.react(this.div, this.traces(), this.layout(), { ...CONFIG, scrollZoom: true });
    const ramp = this.figure.querySelector(".ramp");
    ramp.style.background = `linear-gradient(to right, ${HEAT[theme()].join(", ")})`;
    this.figure.querySelector(".most").textContent = `${digits(100 * this.spec.top)} % of samples`;
    this.report();
  }

  // What is in view, in words.
  report() {
    const from = this.address(this.y[0]), to = this.address(this.y[1]);
    const regions = this.shown && this.shown.length ? `, ${this.shown.length} regions: each with nr_accesses · age` : "";
    const size = bytes((this.y[1] - this.y[0]) * this.spec.unit);
    document.getElementById(`${this.spec.id}-status`).textContent =
      `In view: ${moment(time[0], 1)} to ${moment(time[1], 1)}, ${from} to ${to} (${size})${regions}`;
    const place = this.figure.querySelector(".view .scroll");
    place.replaceChildren(this.table());
  }

  table() {
    if (!this.shown || !this.shown.length) return document.createTextNode("Too many, or none; zoom in.");
    const table = document.createElement("table");
    const add = (kind, cells) => {
      const row = table.insertRow();
      for (const cell of cells) row.appendChild(document.createElement(kind)).textContent = cell;
    };
    add("th", ["until", "start", "size", "area", "nr_accesses", "age"]);
    for (const one of this.shown.slice(0, LISTED))
      add("td", [moment(one.end, 1), this.address(one.low), bytes((one.high - one.low) * this.spec.unit), this.name((one.low + one.high) / 2), `${one.nr} of ${this.spec.most}`, `${one.age} (${moment(one.age * this.spec.aggr, 1)})`]);
    return table;
  }

  hint(point) {
    const where = (at) => [this.address(at), this.name(at)].filter(Boolean).join(" ");
    if (point.data.type === "bar") {
      const one = this.shown[point.pointNumber];
      return `${this.address(one.low)} to ${this.address(one.high)} ${this.name((one.low + one.high) / 2)}\n${bytes((one.high - one.low) * this.spec.unit)}, nr_accesses ${one.nr} of ${this.spec.most}, age ${one.age} (${moment(one.age * this.spec.aggr, 1)})\nuntil ${moment(one.end, 1)}`;
    }
    if (point.data.type !== "heatmap") return "";
    const share = point.z === null || point.z === undefined ? "not monitored" : `${digits(point.z)} % of samples`;
    return `${point.data.name === "truth" ? "truth" : "DAMON"}: ${share}\n${moment(point.x, 1)}\n${where(point.y)}`;
  }

  // New ranges of time and address.
  view(x, y) {
    this.y = clamp(y, 0, this.spec.size, Math.min(this.spec.regions.step * 4, this.spec.size));
    setTime(x);
    redrawAll();
  }

  act(name) {
    const width = time[1] - time[0], height = this.y[1] - this.y[0];
    const grow = ([low, high], by) => [low - by * (high - low), high + by * (high - low)];
    const move = ([low, high], by) => [low + by, high + by];
    const acts = {
      in: () => this.view(grow(time, -0.25), grow(this.y, -0.25)), out: () => this.view(grow(time, 0.5), grow(this.y, 0.5)),
      left: () => this.view(move(time, -width / 4), this.y), right: () => this.view(move(time, width / 4), this.y),
      down: () => this.view(time, move(this.y, -height / 4)), up: () => this.view(time, move(this.y, height / 4)),
      whole: () => this.view([0, END], [0, this.spec.size]),
    };
    acts[name]();
  }

  listen() {
    const keys = { "+": "in", "=": "in", "-": "out", 0: "whole", ArrowLeft: "left", ArrowRight: "right", ArrowUp: "up", ArrowDown: "down" };
    this.div.addEventListener("keydown", (event) => {
      if (!(event.key in keys) || event.ctrlKey || event.altKey || event.metaKey) return;
      event.preventDefault();
      this.act(keys[event.key]);
    });
    for (const button of this.figure.querySelectorAll("[data-act]"))
      button.addEventListener("click", () => this.act(button.dataset.act));
    this.div.on("plotly_relayout", () => {
      const y = this.div.layout.yaxis.range.map(Number);
      if (this.moved() || y[0] !== this.y[0] || y[1] !== this.y[1]) this.view(this.moved() || time, y);
    });
    this.div.on("plotly_doubleclick", () => this.act("whole"));
    const tip = document.getElementById("tip");
    this.div.on("plotly_hover", ({ points, event }) => {
      const text = this.hint(points[0]);
      tip.hidden = !text;
      tip.textContent = text;
      tip.style.left = `${Math.min(event.clientX + 14, window.innerWidth - 260)}px`;
      tip.style.top = `${Math.min(event.clientY + 14, window.innerHeight - 90)}px`;
    });
    this.div.on("plotly_unhover", () => (tip.hidden = true));
  }
}
