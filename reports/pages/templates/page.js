"use strict";
// Draws what the page has data of, when it comes into sight. Texts are set as texts, never as HTML.

const dark = matchMedia("(prefers-color-scheme: dark)");
// Where names beside bars would leave these no room, they stand above them.
const narrow = matchMedia("(max-width: 40rem)");
const axesHeight = 70, legendHeight = 30, rowHeight = 44, aboveBar = 18, sideMargin = 12;  // pixels
const settings = { displayModeBar: false, responsive: true, displaylogo: false };
const decimal = [[1, ""], [1e-3, "m"], [1e-6, "µ"], [1e-9, "n"]];
// What a value of a unit is told in, the largest first.
const steps = { s: decimal, J: decimal, B: [[2 ** 30, "Gi"], [2 ** 20, "Mi"], [2 ** 10, "Ki"], [1, ""]] };

function colour(role) {
  return getComputedStyle(document.documentElement).getPropertyValue(role).trim();
}

// The same value with the page's colours in place of their roles.
function coloured(value) {
  if (typeof value === "string") return value.startsWith("--") ? colour(value) : value;
  if (Array.isArray(value)) return value.map(coloured);
  if (value === null || typeof value !== "object") return value;
  return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, coloured(inner)]));
}

function themed(layout) {
  const axis = {
    gridcolor: colour("--edge"), zerolinecolor: colour("--edge"), automargin: true, ticklabelstandoff: 6,
  };
  const whole = {
    paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)",
    font: { color: colour("--ink"), family: "system-ui, sans-serif", size: 13 },
    margin: { l: 60, r: 16, t: 16, b: 48 }, legend: { orientation: "h", y: 1, yanchor: "bottom" },
    hovermode: "closest", dragmode: false,
    hoverlabel: { bgcolor: colour("--raised"), font: { color: colour("--ink") } },
    ...layout,
  };
  for (const name of ["xaxis", "yaxis"]) whole[name] = { ...axis, ...(layout[name] || {}) };
  return whole;
}

function draw(element, data) {
  element.drawn = data;
  const traces = coloured(data.traces), layout = themed(coloured(data.layout));
  const axes = [["x", layout.xaxis], ["y", layout.yaxis]]
    .map(([name, axis]) => [axis, traces.flatMap((trace) => trace[name])]);
  const logs = axes.filter(([axis]) => axis.type === "log")
    .map(([axis, values]) => [axis, Math.max(...values) / Math.min(...values)]);
  // Where values are near each other on all of them, linear axes have the better ticks.
  const scaled = logs.some(([, ratio]) => ratio > 5) ? ticks : linear;
  for (const [axis, ratio] of logs) Object.assign(axis, scaled(ratio));
  for (const [axis, values] of axes) if (axis.type === "date") Object.assign(axis, wide(values));
  let height = data.height;
  if (narrow.matches && layout.yaxis.type === "category") {
    const names = [...new Set(traces.flatMap((trace) => trace.y))];
    stack(layout, names, element.clientWidth - 2 * sideMargin);
    height = axesHeight + rowHeight * names.length + (traces.length > 1 ? legendHeight : 0);
  }
  if (height) element.style.height = `${height}px`;
  Plotly.react(element, traces, layout, settings);
}

// Of a logarithmic axis over more than half a decade: 1, 2, 5, 10, each with all of its digits.
function ticks(ratio) {
  return { tickformat: "~g", ...(ratio > 5 ? { dtick: ratio > 1000 ? 1 : "D2" } : {}) };
}

// One value alone would stand amid negative ones.
function linear(ratio) {
  return { type: "linear", ...(ratio > 1 ? {} : { rangemode: "tozero" }) };
}

// A minute or more, so that no tick is a part of a second.
function wide(times) {
  const seconds = times.map((text) => Date.parse(`${text.replace(" ", "T")}Z`) / 1000);
  const first = Math.min(...seconds), last = Math.max(...seconds);
  if (!times.length || last - first >= 60) return {};
  const text = (second) => new Date(1000 * second).toISOString().slice(0, 19).replace("T", " ");
  return { range: [text(first - 30), text(last + 30)] };
}

// Names above bars and points in place of beside them.
function stack(layout, names, width) {
  const above = {
    xref: "paper", x: 0, xanchor: "left", align: "left", width, yshift: aboveBar, showarrow: false,
    borderpad: 0, font: { size: 11 },
  };
  layout.annotations = names.map((name) => ({ ...above, y: name, text: name }));
  Object.assign(layout.yaxis, { showticklabels: false, automargin: false });
  Object.assign(layout, { bargap: 0.55, waterfallgap: 0.55 });
  layout.margin = { ...layout.margin, l: sideMargin, r: sideMargin };
}

// Drawings of sections: each when it is near what can be seen.
const seen = new IntersectionObserver((entries) => {
  for (const { isIntersecting, target } of entries) {
    if (!isIntersecting) continue;
    seen.unobserve(target);
    draw(target, JSON.parse(target.nextElementSibling.textContent));
  }
}, { rootMargin: "400px" });
document.querySelectorAll(".chart:not(#nights)").forEach((element) => seen.observe(element));
for (const each of [dark, narrow]) each.addEventListener("change", () => {
  document.querySelectorAll(".chart").forEach((chart) => chart.drawn && draw(chart, chart.drawn));
});

// Series of nights: data that is short (see reports/pages/sections/history.py) becomes a drawing and rows.
const source = document.getElementById("history-data");
if (source) followSeries(JSON.parse(source.textContent));

function followSeries(data) {
  const byId = (id) => document.getElementById(id);
  const names = data.series.map((one) => one.name);

  function offer(text) {
    const wanted = text.toLowerCase();
    const options = names.map((name, at) => [name, at])
      .filter(([name]) => name.toLowerCase().includes(wanted));
    byId("series").replaceChildren(...options.map(([name, at]) => new Option(name, at)));
    byId("said").textContent = options.length ? "" : "No series has this in its name.";
    if (options.length) show(options[0][1]);
  }

  function show(at) {
    const points = pointsOf(data, data.series[at]);
    byId("series").value = String(at);
    draw(byId("nights"), drawingOf(data, data.series[at], points));
    const last = points[points.length - 1];
    byId("said").textContent = last
      ? `${names[at]}: ${points.length} nights, the last one ${last.verdict}, ${last.text}.`
      : `${names[at]}: no night.`;
    byId("rows").replaceChildren(...points.slice().reverse().map(rowOf));
    byId("marks").replaceChildren(...marksOf(data, data.series[at]));
  }

  byId("filter").addEventListener("input", (event) => offer(event.target.value));
  byId("series").addEventListener("change", (event) => show(Number(event.target.value)));
  document.querySelectorAll("#verdicts tbody tr").forEach((row, at) => {
    if (at >= (data.listed || 0)) return;
    const button = document.createElement("button");
    button.type = "button";
    button.className = "series";
    button.textContent = row.cells[0].textContent;
    button.addEventListener("click", () => {
      byId("filter").value = "";
      offer("");
      show(at);
      byId("history").scrollIntoView();
      byId("series").focus({ preventScroll: true });
    });
    row.cells[0].replaceChildren(button);
  });
  offer("");
}

function pointsOf(data, one) {
  return [...one.v].map((letter, at) => {
    const [night, when] = data.nights[one.n ? one.n[at] : at];
    const verdict = data.verdicts[letter.charCodeAt(0) - 97] || "unknown";
    if (one.r[at] === null) return { night, when, verdict, text: "not measured", value: null };
    const known = one.l[at] !== null;
    const ends = known ? [one.l[at], one.h[at]] : [one.r[at], one.r[at]];
    const [value, low, high] = [one.r[at], ...ends].map((each) => Math.exp(each / 1e5));
    const interval = known ? ` [${low.toFixed(3)}, ${high.toFixed(3)}]` : "";
    const text = `${value.toFixed(3)}${interval}`;
    return { night, when, verdict, text, value, low, high, measured: quantity(one.s[at], one.unit) };
  });
}

function drawingOf(data, one, points) {
  const known = points.filter((point) => point.value !== null);
  const roles = { regression: "--bad", improvement: "--good", inconclusive: "--soft" };
  const nights = {
    type: "scatter", mode: "markers", name: "nights",
    x: known.map((point) => point.when), y: known.map((point) => point.value),
    error_y: {
      type: "data", symmetric: false, thickness: 1, width: 0, color: "--other",
      array: known.map((point) => point.high - point.value),
      arrayminus: known.map((point) => point.value - point.low),
    },
    marker: { size: 7, color: known.map((point) => roles[point.verdict] || "--winner") },
    hoverinfo: "text",
    hovertext: known.map((point) => plain(`${point.night}: ${point.text}, ${point.verdict}`)),
  };
  const when = ([at]) => data.nights[at][1];
  const changes = {
    type: "scatter", mode: "markers", name: "level changed",
    x: one.c.map(when), y: one.c.map((change) => parseFloat(change[1])),
    marker: { size: 13, symbol: "diamond-open", color: "--bad", line: { width: 2 } },
    hoverinfo: "text", hovertext: one.c.map((change) => plain(`${change[1]}, ${change[2]}`)),
  };
  const line = (x, dash) => ({
    type: "line", x0: x, x1: x, y0: 0, y1: 1, yref: "paper",
    line: { color: "--soft", width: 1, dash },
  });
  const level = {
    type: "line", xref: "paper", x0: 0, x1: 1, y0: 1, y1: 1, line: { color: "--baseline", width: 1 },
  };
  return {
    traces: one.c.length ? [nights, changes] : [nights],
    layout: {
      xaxis: { type: "date" }, yaxis: { title: { text: "ratio to the last good state" } },
      shapes: [level, ...one.w.map((mark) => line(when(mark), "dot"))],
    },
  };
}

function marksOf(data, one) {
  const told = [
    ...one.w.map(([at, text]) => `${data.nights[at][1]}: ${text}`),
    ...one.c.map(([at, ratio, text, id]) =>
      `${data.nights[at][1]}: level changed to ${ratio}, ${text} (change ${id})`),
  ];
  return told.map((text) => {
    const paragraph = document.createElement("p");
    paragraph.className = "note";
    paragraph.textContent = text;
    return paragraph;
  });
}

function rowOf(point) {
  const row = document.createElement("tr");
  const texts = [point.night, point.when, point.text, point.measured || "-", point.verdict];
  texts.forEach((text, at) => {
    const cell = row.insertCell();
    cell.textContent = text;
    if (at === 2 || at === 3) cell.className = "number";
  });
  return row;
}

function quantity(value, unit) {
  if (value === null) return "-";
  if (unit === "packet" || unit === "instruction") return `${Math.round(value).toLocaleString("en")} ${unit}s`;
  if (!steps[unit]) return `${digits(value, 4)} ${unit === "1" ? "" : unit}`.trim();
  const [factor, prefix] = steps[unit].find(([f]) => value >= f) || steps[unit].at(-1);
  return `${digits(value / factor, 3)} ${prefix}${unit}`;
}

// So many digits that count, and never an exponent before a unit.
function digits(value, count) {
  const text = value.toPrecision(count);
  return text.includes("e") ? String(Number(text)) : text;
}

// Plotly follows markup in texts; a name has none. It is as short as reports/pages/section.py has it.
function plain(text) {
  const short = text.length > 160 ? `${text.slice(0, 79)}…${text.slice(-80)}` : text;
  return short.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");
}
