// Masks side by side: stored clips, methods in linked panels or under a wipe, edge placement on hover. Works from disk.
"use strict";
(() => {
  const STEP = 8, BIT = { target: 1, mask: 2, nominal: 4, outer: 8, inner: 16 };
  const LIGHT = { paper: "#ffffff", mask: [127, 127, 127, 110], nominal: [86, 180, 233, 150], band: [213, 94, 0, 190], line: "#000000" };
  const DARK = { paper: "#14181e", mask: [165, 165, 165, 120], nominal: [86, 180, 233, 150], band: [240, 130, 50, 210], line: "#ffffff" };
  const SCORES = [["l2_nm2", "L2 (nm²)", 0], ["pvb_nm2", "PV band (nm²)", 0], ["epe15", "EPE 15 nm", 0], ["epe3", "EPE 3 nm", 0],
    ["shots", "shots", 0], ["msa_nm2", "MSA (nm²)", 0], ["msd_nm", "MSD (nm)", 1]];
  const LAYERS = [["mask", "mask"], ["nominal", "nominal print"], ["band", "PV band"], ["target", "target"], ["sites", "EPE sites"]];
  const root = document.getElementById("masks");
  const state = { list: [], view: null, chosen: [], on: new Set(["mask", "nominal", "band", "target", "sites"]), wipe: false, share: 0.5,
    x: 0, y: 0, scale: 0, hover: null, panels: [] };

  const element = (tag, attributes = {}, ...children) => {
    const made = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) name in made ? made[name] = value : made.setAttribute(name, value);
    made.append(...children);
    return made;
  };
  const colours = () => document.documentElement.dataset.theme === "dark" ? DARK : LIGHT;

  // ---- data: one script a clip, so that a page opened from disk may read it ----
  window.maskoptViews = list => { state.list = list; build(); };
  window.maskoptView = view => { show(view); };
  const load = id => document.head.append(element("script", { src: `masks/${id}.js` }));

  async function show(view) {
    // All at once, so that the page has loaded when they have.
    const loaded = Object.values(view.methods).map(method => new Promise((done, failed) => {
      const image = new Image();
      [image.onload, image.onerror] = [() => done([method, image]), failed];
      image.src = "data:image/png;base64," + method.image;
    }));
    for (const [method, image] of await Promise.all(loaded)) {
      const canvas = element("canvas", { width: image.width, height: image.height });
      const context = canvas.getContext("2d", { willReadFrequently: true });
      context.drawImage(image, 0, 0);
      const pixels = context.getImageData(0, 0, image.width, image.height).data;
      method.bits = new Uint8Array(image.width * image.height);
      for (let i = 0; i < method.bits.length; i++) method.bits[i] = (pixels[4 * i] + STEP / 2) / STEP;
      [view.nx, view.ny] = [image.width, image.height];
    }
    const labels = Object.keys(view.methods);
    view.outline = outline(view, view.methods[labels[0]].bits);
    state.view = view;
    state.chosen = state.chosen.filter(label => labels.includes(label));
    for (const label of [...labels].reverse()) if (state.chosen.length < 2 && !state.chosen.includes(label)) state.chosen.unshift(label);
    choices(labels);
    lay();
    fit();
  }

  // The target's edges as straight lines between pixels: [x0, y0, x1, y1], y down.
  function outline({ nx, ny }, bits) {
    const lines = [], inside = (x, y) => x >= 0 && y >= 0 && x < nx && y < ny && (bits[y * nx + x] & BIT.target) > 0;
    const sweep = (n, m, differs, line) => {
      for (let k = 0; k <= n; k++)
        for (let i = 0, start = -1; i <= m; i++) {
          const edge = i < m && differs(k, i);
          if (edge && start < 0) start = i;
          if (!edge && start >= 0) { lines.push(line(k, start, i)); start = -1; }
        }
    };
    sweep(ny, nx, (y, x) => inside(x, y) !== inside(x, y - 1), (y, x0, x1) => [x0, y, x1, y]);
    sweep(nx, ny, (x, y) => inside(x, y) !== inside(x - 1, y), (x, y0, y1) => [x, y0, x, y1]);
    return lines;
  }

  // ---- what is on the page ----
  function build() {
    const groups = new Map();
    for (const each of state.list) groups.set(each.kernels, [...(groups.get(each.kernels) || []), each]);
    const select = element("select", { id: "masks-clip", ariaLabel: "clip", onchange: () => load(select.value) },
      ...[...groups].map(([kernels, views]) => element("optgroup", { label: `kernels ${kernels}` },
        ...views.map(each => element("option", { value: each.id, textContent: each.clip })))));
    const toggle = (name, text, checked, change) => element("label", {}, element("input", { type: "checkbox", name, checked, onchange: change }), text);
    root.append(
      element("div", { className: "masks-bar" }, element("label", {}, "clip ", select),
        toggle("wipe", "wipe", false, event => { state.wipe = event.target.checked; lay(); draw(); }),
        ...[["−", () => zoom(1 / 1.5), "zoom out"], ["+", () => zoom(1.5), "zoom in"], ["fit", fit, "all of it"]].map(
          ([text, click, title]) => element("button", { type: "button", textContent: text, title, onclick: click }))),
      element("div", { className: "masks-bar", id: "masks-layers" }, ...LAYERS.map(([name, text]) =>
        toggle(name, text, true, event => { state.on[event.target.checked ? "add" : "delete"](name); paint(); draw(); }))),
      element("div", { className: "masks-bar", id: "masks-methods" }),
      element("div", { id: "masks-panels" }), element("output", { id: "masks-said" }), element("div", { id: "masks-scores" }));
    new MutationObserver(() => { paint(); draw(); }).observe(document.documentElement, { attributes: true, attributeFilter: ["data-theme"] });
    new ResizeObserver(() => state.view && draw()).observe(root);
    if (state.list.length) load(state.list[0].id);
    else root.append("There are no views here; python notebooks/site/views.py makes them of a run.");
  }

  function choices(labels) {
    document.getElementById("masks-methods").replaceChildren(...labels.map(label => element("label", {}, element("input", {
      type: "checkbox", name: "method", value: label, checked: state.chosen.includes(label), onchange: event => {
        state.chosen = labels.filter(l => l === label ? event.target.checked : state.chosen.includes(l));
        lay();
        draw();
      } }), label)));
  }

  function lay() {
    const { view, chosen, wipe } = state, panels = document.getElementById("masks-panels");
    const groups = wipe && chosen.length > 1 ? [[chosen[0], chosen[chosen.length - 1]]] : chosen.map(label => [label]);
    state.panels = groups.map(labels => {
      const canvas = element("canvas", { tabIndex: 0, ariaLabel: labels.join(" against ") });
      listen(canvas);
      const slider = labels.length < 2 ? [] : [element("input", { type: "range", min: 0, max: 1, step: 0.005, value: state.share,
        ariaLabel: "wipe", oninput: event => { state.share = +event.target.value; draw(); } })];
      return { labels, canvas, box: element("figure", {}, element("figcaption", { textContent: labels.join("  |  ") }), canvas, ...slider) };
    });
    panels.replaceChildren(...state.panels.map(panel => panel.box));
    panels.dataset.n = state.panels.length;
    paint();
    const rows = SCORES.filter(([name]) => chosen.some(label => name in view.methods[label].scores));
    const number = (value, digits) => value === undefined ? "–" : value.toLocaleString("en", { maximumFractionDigits: digits });
    document.getElementById("masks-scores").replaceChildren(element("table", { className: "table" },
      element("thead", {}, element("tr", {}, element("th"), ...rows.map(([, text]) => element("th", { textContent: text })))),
      element("tbody", {}, ...chosen.map(label => element("tr", {}, element("th", { textContent: label }),
        ...rows.map(([name, , digits]) => element("td", { textContent: number(view.methods[label].scores[name], digits) })))))),
    element("p", { textContent: `${view.clip}, kernels ${view.kernels}, ${view.pixel_nm} nm pixels. ` + view.records.map(r =>
      `Notebook ${r.notebook}, ${r.created_at.slice(0, 10)}, commit ${r.git_commit.slice(0, 10)}, ${r.device}.`).join(" ") }));
  }

  // ---- drawing ----
  function paint() {
    const { view, on } = state, ink = colours();
    if (!view) return;
    for (const label of new Set(state.panels.flatMap(panel => panel.labels))) {
      const method = view.methods[label], canvas = element("canvas", { width: view.nx, height: view.ny });
      const context = canvas.getContext("2d"), image = context.createImageData(view.nx, view.ny), table = new Uint32Array(32);
      for (let bits = 0; bits < 32; bits++) {
        let [r, g, b, a] = [0, 0, 0, 0];
        const over = ([R, G, B, A]) => { const t = A + a * (1 - A / 255); [r, g, b, a] = [[R, r], [G, g], [B, b]].map(([N, n]) => t ? (N * A + n * a * (1 - A / 255)) / t : 0).concat(t); };
        if (on.has("mask") && bits & BIT.mask) over(ink.mask);
        if (on.has("nominal") && bits & BIT.nominal) over(ink.nominal);
        if (on.has("band") && !(bits & BIT.outer) !== !(bits & BIT.inner)) over(ink.band);
        table[bits] = (Math.round(a) << 24 | Math.round(b) << 16 | Math.round(g) << 8 | Math.round(r)) >>> 0;
      }
      const out = new Uint32Array(image.data.buffer);
      for (let i = 0; i < out.length; i++) out[i] = table[method.bits[i]];
      context.putImageData(image, 0, 0);
      method.painted = canvas;
    }
  }

  function draw() {
    const { view, on, x, y, scale, share, hover } = state, ink = colours(), ratio = window.devicePixelRatio || 1;
    if (!view) return;
    for (const { canvas, labels } of state.panels) {
      const width = canvas.clientWidth, height = canvas.clientHeight, context = canvas.getContext("2d");
      [canvas.width, canvas.height] = [width * ratio, height * ratio];
      context.fillStyle = ink.paper;
      context.fillRect(0, 0, canvas.width, canvas.height);
      context.setTransform(ratio * scale, 0, 0, ratio * scale, ratio * (width / 2 - x * scale), ratio * (height / 2 - y * scale));
      context.imageSmoothingEnabled = scale < 1;
      labels.forEach((label, i) => {
        context.save();
        if (labels.length > 1) {
          const cut = x + (share - 0.5) * width / scale;
          context.beginPath();
          context.rect(i ? cut : -1e6, -1e6, i ? 1e7 : 1e6 + cut, 1e7);
          context.clip();
        }
        context.drawImage(view.methods[label].painted, 0, 0);
        if (on.has("sites")) sites(context, label, ink);
        context.restore();
      });
      context.lineWidth = 1.2 / scale;
      context.strokeStyle = ink.line;
      context.beginPath();
      if (on.has("target")) for (const [x0, y0, x1, y1] of view.outline) { context.moveTo(x0, y0); context.lineTo(x1, y1); }
      if (labels.length > 1) { const cut = x + (share - 0.5) * width / scale; context.moveTo(cut, -1e6); context.lineTo(cut, 1e6); }
      context.stroke();
      if (hover !== null) {
        context.beginPath();
        context.arc(...place(hover), 7 / scale, 0, 7);
        context.stroke();
      }
      bar(context, width, height, ratio, ink);
    }
  }

  const place = i => [state.view.sites_nm.x[i] / state.view.pixel_nm, state.view.ny - state.view.sites_nm.y[i] / state.view.pixel_nm];

  function sites(context, label, ink) {
    const errors = state.view.methods[label].edge_error_nm;
    errors.forEach((error, i) => {
      context.fillStyle = error === null || Math.abs(error) >= 15 ? "#d00000" : Math.abs(error) >= 3 ? "#cc79a7" : "#009e73";
      context.beginPath();
      context.arc(...place(i), 3 / state.scale, 0, 7);
      context.fill();
    });
  }

  function bar(context, width, height, ratio, ink) {
    const nm = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000].find(each => each * state.scale / state.view.pixel_nm > 45) || 2000;
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    context.fillStyle = ink.line;
    context.fillRect(10, height - 14, nm * state.scale / state.view.pixel_nm, 3);
    context.font = "12px sans-serif";
    context.fillText(`${nm} nm`, 10, height - 18);
  }

  // ---- input: all panels share one place and one scale ----
  function fit() {
    const { view, panels } = state, lines = view.outline, canvas = panels[0] && panels[0].canvas;
    if (!canvas) return;
    const xs = lines.flatMap(line => [line[0], line[2]]), ys = lines.flatMap(line => [line[1], line[3]]), margin = 120 / view.pixel_nm;
    const [x0, x1, y0, y1] = [Math.min(...xs) - margin, Math.max(...xs) + margin, Math.min(...ys) - margin, Math.max(...ys) + margin];
    [state.x, state.y] = [(x0 + x1) / 2, (y0 + y1) / 2];
    state.scale = Math.min(canvas.clientWidth / (x1 - x0), canvas.clientHeight / (y1 - y0));
    draw();
  }

  function zoom(factor, at = [state.x, state.y]) {
    const scale = Math.min(Math.max(state.scale * factor, 0.05), 40), kept = state.scale / scale;
    [state.x, state.y, state.scale] = [at[0] + (state.x - at[0]) * kept, at[1] + (state.y - at[1]) * kept, scale];
    draw();
  }

  function listen(canvas) {
    const pointers = new Map();
    const at = event => {
      const box = canvas.getBoundingClientRect();
      return [state.x + (event.clientX - box.left - box.width / 2) / state.scale, state.y + (event.clientY - box.top - box.height / 2) / state.scale];
    };
    canvas.addEventListener("wheel", event => { event.preventDefault(); zoom(Math.exp(-event.deltaY / 400), at(event)); }, { passive: false });
    canvas.addEventListener("pointerdown", event => { canvas.setPointerCapture(event.pointerId); pointers.set(event.pointerId, [event.clientX, event.clientY]); point(at(event)); });
    for (const name of ["pointerup", "pointercancel"]) canvas.addEventListener(name, event => pointers.delete(event.pointerId));
    canvas.addEventListener("pointermove", event => {
      if (!pointers.has(event.pointerId)) return point(at(event));
      const before = [...pointers.values()], [x, y] = pointers.get(event.pointerId);
      pointers.set(event.pointerId, [event.clientX, event.clientY]);
      if (pointers.size === 2) {
        const apart = ([a, b]) => Math.hypot(a[0] - b[0], a[1] - b[1]);
        return zoom(apart([...pointers.values()]) / apart(before));
      }
      state.x -= (event.clientX - x) / state.scale;
      state.y -= (event.clientY - y) / state.scale;
      draw();
    });
    canvas.addEventListener("pointerleave", () => point(null));
    canvas.addEventListener("keydown", event => {
      const step = 60 / state.scale, move = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
      if (move) { event.preventDefault(); state.x += step * move[0]; state.y += step * move[1]; draw(); }
      if (event.key === "+" || event.key === "=") zoom(1.5);
      if (event.key === "-") zoom(1 / 1.5);
    });
  }

  function point(at) {
    const { view } = state, said = document.getElementById("masks-said");
    let nearest = null, best = 12 / state.scale;
    if (at && state.on.has("sites")) view.sites_nm.x.forEach((_, i) => {
      const [x, y] = place(i), distance = Math.hypot(x - at[0], y - at[1]);
      if (distance < best) [nearest, best] = [i, distance];
    });
    const error = label => { const e = view.methods[label].edge_error_nm[nearest]; return e === null ? "edge lost" : `${e > 0 ? "+" : ""}${e} nm`; };
    said.textContent = nearest !== null
      ? `site ${view.sites_nm.x[nearest]}, ${view.sites_nm.y[nearest]} nm: ` + state.chosen.map(label => `${label} ${error(label)}`).join(", ")
      : at ? `x ${Math.round(at[0] * view.pixel_nm)}, y ${Math.round((view.ny - at[1]) * view.pixel_nm)} nm` : "";
    if (nearest !== state.hover) { state.hover = nearest; draw(); }
  }
})();
