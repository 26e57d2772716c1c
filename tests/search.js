// SPDX-License-Identifier: GPL-2.0-only
// The search of the built documentation, without a browser: node search.js HTML QUERY... prints, of each query, the pages
// that its own searchtools.js finds, best first, as one JSON array a line.
"use strict";
const fs = require("fs");
const path = require("path");
const vm = require("vm");

const [html, ...queries] = process.argv.slice(2);
const element = { style: {}, classList: { add() {} }, appendChild() {}, replaceChildren() {}, dataset: {} };
const context = vm.createContext({
  console,
  DOCUMENTATION_OPTIONS: {},
  SPHINX_HIGHLIGHT_ENABLED: false,
  document: { getElementById: () => element, addEventListener() {}, documentElement: element },
  addEventListener() {},
  _: (text) => text,
  _ready: () => {},
});
vm.runInContext("var window = globalThis", context);
const load = (name) => vm.runInContext(fs.readFileSync(path.join(html, name), "utf8"), context, { filename: name });
load("_static/language_data.js");
load("_static/searchtools.js");
load("searchindex.js");
for (const query of queries) {
  context.query = query;
  const found = vm.runInContext("Search._performSearch(...Search._parseQuery(query))", context);
  console.log(JSON.stringify(found.reverse().map((one) => one[0])));
}
