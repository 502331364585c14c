// The form: calculates what its fields say, with page.js. The page is complete without it.
"use strict";

(function start() {
  const form = document.getElementById("parameters"), data = JSON.parse(document.getElementById("data").textContent);
  const made = roofline(data);
  const bytes = [[1e12, "TB"], [1e9, "GB"], [1e6, "MB"], [1e3, "kB"]], spans = [[1e6, "s"], [1e3, "ms"], [1, "us"]];
  const flops = [[1e15, "PFLOP"], [1e12, "TFLOP"], [1e9, "GFLOP"], [1e6, "MFLOP"]];
  const digits = (n) => n >= 100 ? Math.round(n).toLocaleString("en") : n.toFixed(n >= 10 ? 1 : 2);
  const scaled = (n, units) => {
    if (!n) return "–";
    const [size, unit] = units.find(([least]) => n >= least) || units[units.length - 1];
    return `${digits(n / size)} ${unit}`;
  };
  const time = (us) => us === null ? "no ceiling" : scaled(us, spans);
  const rate = (n) => n === null ? "–" : `${digits(n)}/s`;

  function element(name, text, attributes = {}) {
    const made = document.createElement(name);
    if (text !== undefined) made.textContent = text;
    for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
    return made;
  }

  function read() {
    const number = (name) => Number(form.elements[name].value), on = (name) => form.elements[name].checked;
    const count = number("images"), grid = [number("frames"), number("height"), number("width")];
    if (number("cached") > count) throw new Error("There cannot be more cached images than images.");
    if (number("ranks") > number("gpus")) throw new Error("An engine's ranks have to fit on one host.");
    const request = {
      family: form.elements.family.value, grids: Array.from({ length: count }, () => grid), text: number("text"),
      hidden: number("hidden"), payload_bytes: number("payload_bytes"), origin: form.elements.origin.value,
      ranks: number("ranks"), staged: on("staged"), shared: on("shared"), own_gpu: on("own_gpu"), cached: number("cached"),
    };
    const fleet = {
      rate: number("rate"), hosts: number("hosts"), gpus: number("gpus"), ranks: request.ranks, workers: number("workers"),
      late: number("late") / 1e3, kept: number("kept") / 1e3, full: number("full"),
    };
    return { request, fleet };
  }

  function stages(list) {
    const body = document.getElementById("stages"), most = Math.max(...list.map((stage) => stage.floor || 0));
    body.replaceChildren(...list.map((stage) => {
      const row = element("tr"), gauge = element("td", undefined, { class: "gauge" }), bar = element("span");
      bar.append(element("i", undefined, { style: `width:${most ? 100 * (stage.floor || 0) / most : 0}%` }));
      gauge.append(bar);
      const cells = [stage.floor ? stage.bound : "", scaled(sum(Object.values(stage.operations)), flops),
        ...["NVLink", "PCIe", "HBM", "host memory"].map((link) => scaled(stage.nbytes[link], bytes))];
      row.append(element("th", stage.name, { scope: "row" }), element("td", time(stage.floor)), gauge,
        ...cells.map((text, k) => element("td", text, { class: text === "–" ? "none" : k ? "" : "words" })));
      return row;
    }));
    document.getElementById("whole").textContent = time(sum(list, (stage) => stage.floor || 0));
  }

  function facts(plan) {
    const held = plan.slots === null ? "this rate saturates the engine" : `${digits(plan.leased)} payloads leased on average, for ${time(plan.held * 1e6)} each`;
    const found = [
      ["pool", plan.slots === null ? "–" : `${plan.slots} payloads`, plan.slots === null ? held : `${scaled(plan.pool_bytes, bytes)} an engine; ${held}`],
      ["saturates first", plan.bottleneck || "nothing", plan.bottleneck ? `at ${rate(plan.saturation[plan.bottleneck])} an engine` : ""],
      ["all engines", rate(plan.fleet_rate), "at most"],
      ...Object.entries(plan.saturation).map(([name, most]) => [`${name}: busy at`, rate(most), "requests an engine"]),
    ];
    document.getElementById("plan").replaceChildren(...found.map(([what, value, more]) => {
      const item = element("div");
      item.append(element("small", what), element("b", value), element("small", more));
      return item;
    }));
  }

  function show() {
    const wrong = document.getElementById("wrong"), answer = document.getElementById("answer");
    try {
      if (!form.checkValidity()) throw new Error("A field has no usable number: heights and widths are even, a chance lies between 0 and 1.");
      const { request, fleet } = read();
      stages(made.model(request));
      facts(made.plan(fleet, made.services(request)));
      wrong.textContent = "";
      answer.hidden = false;
    } catch (error) {
      wrong.textContent = error.message;
      answer.hidden = true;
    }
  }

  let waiting;
  form.addEventListener("input", () => { clearTimeout(waiting); waiting = setTimeout(show, 150); });
  form.addEventListener("submit", (event) => event.preventDefault());
  document.getElementById("try").hidden = false;
  show();
})();
