// SPDX-License-Identifier: GPL-2.0-only
(async () => {
  const maps = DATA.maps.map((spec) => new Heatmap(spec));
  const charts = DATA.charts.map((spec) => new LineChart(spec));
  await Promise.all(maps.map((map) => map.load()));
  const stages = DATA.funnels.map((spec) => new StageChart(spec));
  for (const one of [...maps, ...charts, ...stages]) one.start();
  darkness.addEventListener("change", redrawAll);
  window.addEventListener("resize", redrawAll);
  window.addEventListener("beforeprint", () => drawn.forEach((one) => one.stale && one.draw()));
  document.documentElement.dataset.ready = String(Math.round(performance.now()));
})();
