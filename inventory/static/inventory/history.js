// The stock of a SKU over the last weeks, drawn on a canvas; the numbers stand in the table beside it.
const box = document.querySelector("[data-stock-history]");
const source = document.getElementById("stock-history");

function colour(name) {
  // A canvas knows no variables: the browser works them out on an element.
  const probe = document.createElement("span");
  probe.style.color = `var(${name})`;
  box.append(probe);
  const found = getComputedStyle(probe).color;
  probe.remove();
  return found;
}

function draw(chart, data) {
  const text = colour("--o-muted");
  const line = colour("--o-line");
  const font = getComputedStyle(document.body).fontFamily;
  const axis = { axisLabel: { color: text, fontFamily: font }, axisLine: { lineStyle: { color: line } } };
  chart.setOption({
    animation: false,
    aria: { enabled: false },
    textStyle: { fontFamily: font, color: text },
    color: [colour("--o-accent"), colour("--o-warn")],
    grid: { left: 8, right: 16, top: 36, bottom: 8, containLabel: true },
    legend: { top: 0, left: 0, textStyle: { color: text, fontFamily: font } },
    tooltip: { trigger: "axis", renderMode: "richText" },
    xAxis: { type: "category", data: data.days, boundaryGap: false, ...axis },
    yAxis: { type: "value", minInterval: 1, ...axis, splitLine: { lineStyle: { color: line } } },
    series: [
      { name: data.words.on_hand, type: "line", step: "end", symbol: "none", data: data.on_hand, areaStyle: { opacity: 0.08 } },
      { name: data.words.reserved, type: "line", step: "end", symbol: "none", data: data.reserved },
    ],
  });
}

if (box && source && window.echarts) {
  const data = JSON.parse(source.textContent);
  const chart = window.echarts.init(box, null, { renderer: "canvas" });
  draw(chart, data);
  new ResizeObserver(() => chart.resize()).observe(box);
  new MutationObserver(() => draw(chart, data)).observe(document.documentElement, { attributeFilter: ["class"] });
}
