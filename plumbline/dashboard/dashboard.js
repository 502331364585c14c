"use strict";
// Filters, sorting, and charts of the dashboard. Without this script the tables say the same.
// What is chosen stands in the address behind #, as in #series.part=encode&show=ratio&at=s-encode-..., so that it can be shared.

const chosen = new URLSearchParams(location.hash.includes("=") ? location.hash.slice(1) : "");
if (location.hash.length > 1 && !location.hash.includes("=")) chosen.set("at", decodeURIComponent(location.hash.slice(1)));

function choose(name, value) {
  if (value) chosen.set(name, value);
  else chosen.delete(name);
  history.replaceState(null, "", `#${chosen}`);
}

// ------------------------------------------------------------------------------------------------------- filters

const forms = [...document.querySelectorAll("form.filters")];

function fits(item, name, value) {
  if (name === "find") return item.dataset.find.includes(value.toLowerCase());
  if (name === "status") return item.dataset.status.split(" ").includes(value);
  return item.dataset[name] === value;
}

function filter(form) {
  const group = form.dataset.for;
  const wanted = [...new FormData(form)].filter(([, value]) => value);
  const items = [...document.querySelectorAll(`[data-group="${group}"]`)];
  for (const item of items) item.hidden = !wanted.every(([name, value]) => fits(item, name, value));
  const counted = items.filter((item) => item.tagName === "TR");
  const shown = counted.filter((item) => !item.hidden).length;
  const output = form.querySelector("output");
  output.textContent = `${shown} of ${counted.length} ${output.dataset.what}`;
}

function restoreFilters() {
  for (const form of forms) {
    for (const field of form.elements) {
      if (field.name) field.value = chosen.get(`${form.dataset.for}.${field.name}`) ?? "";
      if (field.selectedIndex === -1) field.value = ""; // a value that this history does not have
    }
    filter(form);
  }
}

for (const form of forms) {
  form.hidden = false;
  form.addEventListener("submit", (event) => event.preventDefault());
  form.addEventListener("input", () => {
    for (const [name, value] of new FormData(form)) choose(`${form.dataset.for}.${name}`, value);
    filter(form);
  });
}

// ------------------------------------------------------------------------------------------------------- sorting

const table = document.getElementById("series-table");
const ASCENDING = new Set(["name"]);

function sortValue(row, by) {
  const said = row.dataset[by];
  if (by === "name") return said;
  if (said === undefined) return -Infinity;
  return by === "change" ? Math.abs(Math.log(Number(said))) : Number(said);
}

function sort(by) {
  const rows = [...table.tBodies[0].rows].sort((a, b) => a.dataset.order - b.dataset.order);
  if (by) {
    const sign = ASCENDING.has(by) ? 1 : -1;
    rows.sort((a, b) => {
      const [x, y] = [sortValue(a, by), sortValue(b, by)];
      return x < y ? -sign : x > y ? sign : 0;
    });
  }
  table.tBodies[0].append(...rows);
  for (const head of table.tHead.rows[0].cells) {
    if (by && head.dataset.sort === by) head.ariaSort = ASCENDING.has(by) ? "ascending" : "descending";
    else head.removeAttribute("aria-sort");
  }
}

if (table) {
  for (const head of table.tHead.rows[0].cells) {
    if (!head.dataset.sort) continue;
    const button = document.createElement("button");
    button.type = "button";
    button.title = "Sort; again for the order of the page";
    button.append(...head.childNodes);
    head.append(button);
    button.addEventListener("click", () => {
      const by = chosen.get("sort") === head.dataset.sort ? "" : head.dataset.sort;
      choose("sort", by);
      sort(by);
    });
  }
}

// -------------------------------------------------------------------------------------------------------- charts

const DATA = window.PLUMBLINE ?? { runs: [], series: {} };
const boxes = [...document.querySelectorAll(".chart")];
const drawn = new Map(); // box to its chart
const color = (name) => getComputedStyle(document.body).getPropertyValue(`--${name}`).trim();

function duration(seconds) {
  const [unit, size] = [["s", 1], ["ms", 1e-3], ["µs", 1e-6]].find(([, size]) => seconds >= 0.9995 * size) ?? ["ns", 1e-9];
  return `${digits(seconds / size)}\u00a0${unit}`;
}

function digits(value) {
  return value >= 99.95 ? Math.round(value).toLocaleString("en") : value.toPrecision(3);
}

function change(factor) {
  if (factor >= 2) return `×\u00a0${digits(factor)}`;
  const share = 100 * (factor - 1);
  return `${share >= 0 ? "+" : "−"}${Number(Math.abs(share).toPrecision(3))}\u00a0%`;
}

// What is drawn of a series: values with an interval each, levels, a line to compare with, and how to write figures.
function view(series) {
  if (chosen.get("show") !== "ratio") {
    const { median, low, high, levels, ceiling } = series;
    return { middle: median, low, high, levels, line: ceiling?.[0], write: duration };
  }
  const part = (k) => series.ratio.map((r) => r && r[k]);
  return { middle: part(0), low: part(1), high: part(2), levels: series.ratioLevels, line: 1, write: digits };
}

// All bands and what is near them, so that one spike does not flatten the rest; what is beyond is marked at the edge.
function range({ levels, line }) {
  let low = Math.min(...levels.map((v) => v[3]));
  let high = Math.max(...levels.map((v) => v[4]));
  if (line && line > low * 0.6 && line < high * 1.7) [low, high] = [Math.min(low, line), Math.max(high, line)];
  const middle = (low + high) / 2;
  const half = Math.max(high - low, 0.06 * middle) * 0.65;
  return [Math.max(0, middle - half), middle + half];
}

// Draws within the chart's own area; gives positions in pixels of the canvas.
function inside(u, paint) {
  const { ctx, bbox } = u;
  const scale = devicePixelRatio;
  const area = { left: bbox.left, right: bbox.left + bbox.width, top: bbox.top, bottom: bbox.top + bbox.height };
  const x = (at) => u.valToPos(at, "x", true);
  const y = (value) => u.valToPos(value, "y", true);
  const lines = (name, dash, width, ...ends) => {
    const pixels = Math.max(1, Math.round(width * scale));
    const sharp = (at) => Math.round(at) + (pixels % 2) / 2;
    ctx.beginPath();
    ctx.setLineDash(dash.map((d) => d * scale));
    ctx.strokeStyle = color(name);
    ctx.lineWidth = pixels;
    for (const [x0, y0, x1, y1] of ends) {
      ctx.moveTo(sharp(x0), sharp(y0));
      ctx.lineTo(sharp(x1), sharp(y1));
    }
    ctx.stroke();
  };
  ctx.save();
  ctx.beginPath();
  ctx.rect(bbox.left, bbox.top, bbox.width, bbox.height);
  ctx.clip();
  ctx.font = `600 ${11 * scale}px system-ui, sans-serif`;
  paint({ ctx, area, scale, x, y, lines });
  ctx.restore();
}

// Behind the medians: bands, levels, quartiles, and the line to compare with.
function backdrop(u, shown) {
  inside(u, ({ ctx, area, x, y, lines }) => {
    ctx.fillStyle = color("band");
    for (const [start, stop, , low, high] of shown.levels) {
      ctx.fillRect(x(start - 0.5), y(high), x(stop - 0.5) - x(start - 0.5), y(low) - y(high));
    }
    const middles = shown.levels.map(([start, stop, middle]) => [x(start - 0.5), y(middle), x(stop - 0.5), y(middle)]);
    lines("soft", [], 1, ...middles);
    if (shown.line) lines("good", [6, 4], 1.25, [area.left, y(shown.line), area.right, y(shown.line)]);
    const bars = shown.middle.flatMap((v, k) => (v === null ? [] : [[x(k), y(shown.low[k]), x(k), y(shown.high[k])]]));
    ctx.globalAlpha = bars.length > 60 ? 0.3 : 0.45;
    lines("mark", [], bars.length > 60 ? 1.5 : 3, ...bars);
  });
}

// In front of them: changes of level, and arrows where a spike leaves the chart.
function marks(u, shown) {
  inside(u, ({ ctx, area, scale, x, y, lines }) => {
    shown.levels.slice(1).forEach(([start, , middle], k) => {
      const factor = middle / shown.levels[k][2];
      const name = factor > 1 ? "bad" : "good";
      const at = x(start - 0.5);
      lines(name, [4, 3], 1.25, [at, area.top, at, area.bottom]);
      const words = `${factor > 1 ? "▲" : "▼"}\u00a0${change(factor)}`;
      const room = area.right - at > ctx.measureText(words).width + 8 * scale;
      ctx.fillStyle = color(name);
      ctx.textAlign = room ? "left" : "right";
      ctx.fillText(words, at + (room ? 4 : -4) * scale, area.top + 11 * scale);
    });
    ctx.fillStyle = color("bad");
    ctx.textAlign = "center";
    const { min, max } = u.scales.y;
    shown.middle.forEach((v, k) => {
      if (v > max) ctx.fillText("↑", x(k), area.top + 24 * scale);
      if (v !== null && v < min) ctx.fillText("↓", x(k), area.bottom - 3 * scale);
    });
  });
}

function readOut(box, series, k) {
  const run = DATA.runs[series.at[k]];
  const out = box.parentElement.querySelector(".readout");
  const strong = (text) => Object.assign(document.createElement("b"), { textContent: text });
  const raw = Object.assign(document.createElement("a"), { textContent: "raw JSON", href: `dashboard/raw/${encodeURIComponent(run[0])}` });
  const code = Object.assign(document.createElement("code"), { textContent: run[1] || "no commit" });
  const ratio = series.ratio[k];
  const over = ratio ? `, ${digits(ratio[0])} [${digits(ratio[1])}, ${digits(ratio[2])}] of ${series.baseline || "the baseline"}` : "";
  const quartiles = ` (quartiles ${duration(series.low[k])} to ${duration(series.high[k])})${over} · `;
  out.replaceChildren(code, ` ${run[2].slice(0, 16).replace("T", " ")} · `, strong(duration(series.median[k])), quartiles, raw);
}

function draw(box) {
  const series = DATA.series[box.dataset.series];
  drawn.get(box)?.destroy();
  drawn.delete(box);
  const shown = view(series);
  if (!shown.levels.length) {
    const said = document.createElement("p");
    said.className = "note";
    said.textContent = "No ratio: nothing was measured in turns with it.";
    box.replaceChildren(said);
    return;
  }
  const count = shown.middle.length;
  const [soft, line] = [color("soft"), color("line")];
  const axis = { stroke: soft, font: "12px system-ui, sans-serif", grid: { show: false }, ticks: { stroke: line, width: 1, size: 4 } };
  const commit = (k) => (Number.isInteger(k) && k < count ? DATA.runs[series.at[k]]?.[1] ?? "" : "");
  box.replaceChildren();
  const chart = new uPlot(
    {
      width: box.clientWidth,
      height: 200,
      padding: [6, 4, 0, 0],
      legend: { show: false },
      cursor: { y: false, points: { size: 7, fill: color("mark") } },
      scales: { x: { time: false, range: (u, min, max) => (min === null || max - min < 1 ? [-0.5, Math.max(count - 0.5, 0.5)] : [min - 0.5, max + 0.5]) }, y: { range: range(shown) } },
      axes: [
        { ...axis, size: 26, space: 76, incrs: [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000], values: (u, at) => at.map(commit) },
        { ...axis, size: 66, grid: { stroke: line, width: 1 }, values: (u, at) => at.map((v) => shown.write(v)) },
      ],
      series: [{}, { stroke: color("mark"), width: 1.25, points: { show: count <= 80, size: 4, fill: color("mark") }, spanGaps: true }],
      hooks: {
        drawClear: [(u) => backdrop(u, shown)],
        draw: [(u) => marks(u, shown)],
        setCursor: [(u) => u.cursor.idx !== null && readOut(box, series, u.cursor.idx)],
      },
    },
    [shown.middle.map((_, k) => k), shown.middle],
    box,
  );
  drawn.set(box, chart);
  readOut(box, series, count - 1);
}

function step(event) {
  const chart = drawn.get(event.currentTarget);
  const by = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
  if (!chart || !by) return;
  event.preventDefault();
  const last = chart.data[0].length - 1;
  const at = Math.min(last, Math.max(0, (chart.cursor.idx ?? last + 1) + by));
  const value = chart.data[1][at] ?? chart.scales.y.min;
  chart.setCursor({ left: chart.valToPos(at, "x"), top: chart.valToPos(value, "y") });
}

const redraw = () => [...drawn.keys()].forEach(draw);
const seen = new IntersectionObserver(
  (entries) => {
    for (const { target, isIntersecting } of entries) {
      if (!isIntersecting) continue;
      seen.unobserve(target);
      draw(target);
    }
  },
  { rootMargin: "200px" },
);
for (const box of boxes) {
  box.addEventListener("keydown", step);
  seen.observe(box);
}
addEventListener("resize", () => drawn.forEach((chart, box) => chart.setSize({ width: box.clientWidth, height: 200 })));
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);

const switched = document.querySelector("form.switch");
if (switched) {
  switched.hidden = false;
  switched.addEventListener("input", () => {
    choose("show", new FormData(switched).get("show"));
    boxes.filter((box) => !box.querySelector(":scope > .spark")).forEach(draw);
  });
}

// ------------------------------------------------------------------------------------------------- where one looks

function goTo(id) {
  for (const old of document.querySelectorAll(".chosen")) old.classList.remove("chosen");
  const target = document.getElementById(id);
  if (!target) return;
  if (target.hidden) {
    const form = forms.find((f) => f.dataset.for === target.dataset.group);
    for (const field of form.elements) if (field.name) choose(`${form.dataset.for}.${field.name}`, "");
    restoreFilters();
  }
  if (target.matches("article, tr")) target.classList.add("chosen");
  const details = target.querySelector(":scope > th > details");
  if (details) details.open = true;
  target.scrollIntoView({ behavior: "instant" });
}

document.addEventListener("click", (event) => {
  const link = event.target.closest?.('a[href^="#"]');
  if (!link) return;
  event.preventDefault();
  const id = link.getAttribute("href").slice(1);
  choose("at", id);
  goTo(id);
});

restoreFilters();
if (table) sort(chosen.get("sort") ?? "");
if (switched) switched.elements.show.value = chosen.get("show") === "ratio" ? "ratio" : "";
if (chosen.has("at")) goTo(chosen.get("at"));
