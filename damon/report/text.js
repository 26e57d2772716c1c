// SPDX-License-Identifier: GPL-2.0-only
"use strict";
const DATA = JSON.parse(document.getElementById("data").textContent);
const NOTHING = 255, FULL = 250;

// Plotly reads some HTML in texts, and names are foreign.
const clean = (text) => String(text).replace(/[&<>"']/g, (sign) => `&#${sign.charCodeAt(0)};`);
const short = (text, most) => (text.length <= most ? text : `${text.slice(0, most - 1)}…`);
const digits = (value) => (value === 0 ? "0" : Number(value.toPrecision(4)).toLocaleString("en"));

function bytes(count) {
  const units = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"];
  let index = 0;
  for (; count >= 1024 && index < units.length - 1; index++) count /= 1024;
  return `${digits(count)} ${units[index]}`;
}

// A time of the run, as fine as `step` needs it.
function moment(seconds, step = 0) {
  if (seconds < 120 || step < 1) return `${digits(Number(seconds.toFixed(3)))} s`;
  const whole = Math.round(seconds), hours = Math.floor(whole / 3600);
  const two = (value) => String(value).padStart(2, "0");
  const minutes = Math.floor((whole % 3600) / 60), rest = whole % 60;
  if (!hours) return rest ? `${minutes}:${two(rest)} min` : `${minutes} min`;
  return rest ? `${hours}:${two(minutes)}:${two(rest)} h` : minutes ? `${hours}:${two(minutes)} h` : `${hours} h`;
}

const STEPS = [
  0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200,
  10800, 21600, 43200, 86400,
];

function timeTicks([from, to], most) {
  let step = STEPS.find((one) => (to - from) / one <= most) || 10 ** Math.ceil(Math.log10((to - from) / most));
  const values = [];
  for (let at = Math.ceil(from / step) * step; at <= to + step * 1e-6 && values.length < 50; at += step) values.push(at);
  return { tickvals: values, ticktext: values.map((at) => moment(at, step)) };
}

async function inflate(text) {
  const packed = Uint8Array.from(atob(text), (sign) => sign.charCodeAt(0));
  const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("deflate"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

// Words of 32 bits, of which all first bytes come before all second ones.
function words(all, part, parts) {
  const size = all.length / parts, nr = size / 4, at = part * size;
  const found = new Uint32Array(nr);
  for (let byte = 0; byte < 4; byte++)
    for (let index = 0; index < nr; index++) found[index] |= all[at + byte * nr + index] << (8 * byte);
  return found;
}
