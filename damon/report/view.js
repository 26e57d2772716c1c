// SPDX-License-Identifier: GPL-2.0-only
// Colours, and the time that all pictures show.
const WIDE = 700;
const HEAT = {
  light: ["#fffdf5", "#ffeda0", "#fed976", "#feb24c", "#fd8d3c", "#fc4e2a", "#e31a1c", "#bd0026", "#800026", "#4a0017"],
  dark: ["#0b0b1a", "#1b0c41", "#420a68", "#6a176e", "#932667", "#bc3754", "#dd513a", "#f37819", "#fca50a", "#f6f7a4"],
};
// Okabe and Ito: told apart with any sight.
const LINES = {
  light: ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#8a6d00", "#4b4bc3", "#a0522d", "#555555"],
  dark: ["#56b4e9", "#e69f00", "#2fd6a8", "#f0a3cb", "#f0e442", "#a5a5ff", "#d8a27c", "#bbbbbb"],
};
const ACTS = { light: ["#0057d9", "#00796b", "#6a1b9a", "#37474f"], dark: ["#38c6ff", "#5df2c2", "#d7a6ff", "#cfd8dc"] };
const DASHES = ["solid", "dash", "dot", "dashdot", "longdash"];
const darkness = window.matchMedia("(prefers-color-scheme: dark)");
const theme = () => (darkness.matches ? "dark" : "light");
const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
// The scale is that of the square root, so that little access can be told from none.
const scale = () => HEAT[theme()].map((one, index, all) => [(index / (all.length - 1)) ** 2, one]);

const END = Math.max(...DATA.maps.map((map) => map.end), ...DATA.charts.filter((one) => one.kind === "time")
  .flatMap((one) => one.curves.map((curve) => curve.x[curve.x.length - 1])), 1e-3);
const LEAST_TIME = Math.min(...DATA.maps.map((map) => (map.end - map.start) / map.times / 4), END / 1000);
let time = [0, END];
const drawn = []; // {redraw()}: all pictures, drawn again when the time or the colours change

function clamp([low, high], least, most, narrow) {
  let width = Math.min(Math.max(high - low, narrow), most - least);
  let from = Math.min(Math.max((low + high - width) / 2, least), most - width);
  return [from, from + width];
}

function setTime(range) {
  const next = clamp(range, 0, END, LEAST_TIME);
  if (next[0] === time[0] && next[1] === time[1]) return false;
  time = next;
  return true;
}

// Those out of sight are drawn when they come into it.
const seen = new IntersectionObserver((entries) => {
  for (const entry of entries) {
    const one = drawn.find((other) => other.div === entry.target);
    one.visible = entry.isIntersecting;
    if (one.visible && one.stale) one.draw();
  }
}, { rootMargin: "200px" });

class Picture {
  constructor(spec) {
    this.spec = spec;
    this.div = document.getElementById(spec.id);
    this.visible = true;
  }

  start() {
    this.draw();
    this.listen();
    drawn.push(this);
    seen.observe(this.div);
  }

  draw() {
    this.stale = false;
    this.range = time.slice();
    this.redraw();
  }

  // What a user did to the plot itself; what the page did to it is none.
  moved() {
    const [low, high] = this.div.layout.xaxis.range.map(Number);
    return low === this.range[0] && high === this.range[1] ? null : [low, high];
  }
}

let asked = false;
function redrawAll() {
  for (const one of drawn) one.stale = true;
  if (asked) return;
  asked = true;
  requestAnimationFrame(() => {
    asked = false;
    for (const one of drawn) if (one.visible) one.draw();
  });
}

function base(div) {
  const narrow = div.clientWidth < WIDE;
  return {
    width: div.clientWidth,
    margin: { l: narrow ? 72 : 124, r: 14, t: 8, b: 36 },
    paper_bgcolor: "rgba(0,0,0,0)",
    plot_bgcolor: colour("back"),
    font: { family: "system-ui, sans-serif", size: narrow ? 11 : 12, color: colour("text") },
    hoverlabel: { bgcolor: colour("back"), bordercolor: colour("line"), font: { color: colour("text") } },
    legend: { orientation: "h", y: 1.02, yanchor: "bottom", x: 0, font: { size: 11 } },
  };
}

function timeAxis(div) {
  return {
    range: time.slice(), gridcolor: colour("line"), zeroline: false, minallowed: 0, maxallowed: END,
    ...timeTicks(time, Math.max(Math.floor(div.clientWidth / 110), 2)),
  };
}

const CONFIG = { displayModeBar: false, displaylogo: false, doubleClick: false, showTips: false };
