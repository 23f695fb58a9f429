// The karyotype editor of a report: change classes, turn, remove, join and split chromosomes, save karyotype.json.
// It makes the same changes as editing.py; both leave `chromosomes` as they are now and a `history`.
(() => {
  "use strict";
  const PLACE = 'details[data-widget="cellscope.assays.karyotype"]';
  const AUTOSOMES = Array.from({ length: 22 }, (_, i) => String(i + 1));
  const CLASSES = [...AUTOSOMES, "X", "Y"];
  const UNASSIGNED = "unassigned";
  const GROUPS = [["A", "1 2 3"], ["B", "4 5"], ["C", "6 7 8 9 10 11 12"], ["D", "13 14 15"], ["E", "16 17 18"], ["F", "19 20"], ["G", "21 22"], ["sex", "X Y"]];
  const SMALLEST = 6; // pieces of a split with fewer pixels than this are dropped
  const TALLEST = 120; // of the longest chromosome, in CSS pixels

  // ---- masks: run lengths, row by row, outside first

  function decode(entry) {
    const [x0, y0, x1, y1] = entry.bbox, w = x1 - x0, h = y1 - y0;
    const pixels = new Uint8Array(w * h);
    let at = 0, inside = 0;
    for (const run of String(entry.mask).split(" ").map(Number)) { if (inside) pixels.fill(1, at, at + run); at += run; inside ^= 1; }
    return { x0, y0, w, h, pixels };
  }
  function encode({ pixels }) {
    const runs = [];
    let value = 0, run = 0;
    for (const pixel of pixels) { if (pixel === value) run++; else { runs.push(run); run = 1; value = pixel; } }
    runs.push(run);
    return runs.join(" ");
  }
  const area = (mask) => mask.pixels.reduce((sum, pixel) => sum + pixel, 0);
  function cropped(mask) {
    let left = mask.w, right = -1, top = mask.h, bottom = -1;
    mask.pixels.forEach((pixel, i) => {
      if (!pixel) return;
      const x = i % mask.w, y = (i - x) / mask.w;
      left = Math.min(left, x); right = Math.max(right, x); top = Math.min(top, y); bottom = Math.max(bottom, y);
    });
    const w = right - left + 1, h = bottom - top + 1, pixels = new Uint8Array(w * h);
    for (let y = 0; y < h; y++) for (let x = 0; x < w; x++) pixels[y * w + x] = mask.pixels[(y + top) * mask.w + x + left];
    return { x0: mask.x0 + left, y0: mask.y0 + top, w, h, pixels };
  }
  // Without specks: the largest part and others of at least a tenth of it, joined at sides or corners.
  function clean(mask) {
    const part = new Int32Array(mask.pixels.length), sizes = [0];
    mask.pixels.forEach((pixel, start) => {
      if (!pixel || part[start]) return;
      const number = sizes.length, stack = [start];
      part[start] = number; sizes.push(0);
      while (stack.length) {
        const i = stack.pop(), x = i % mask.w, y = (i - x) / mask.w;
        sizes[number]++;
        for (let v = Math.max(y - 1, 0); v <= Math.min(y + 1, mask.h - 1); v++) for (let u = Math.max(x - 1, 0); u <= Math.min(x + 1, mask.w - 1); u++) {
          const j = v * mask.w + u;
          if (mask.pixels[j] && !part[j]) { part[j] = number; stack.push(j); }
        }
      }
    });
    const least = Math.max(SMALLEST, 0.1 * Math.max(...sizes));
    return { ...mask, pixels: mask.pixels.map((pixel, i) => pixel && sizes[part[i]] >= least ? 1 : 0) };
  }
  // Centre, and radians from straight down to the long axis; turning by it makes the axis upright.
  function axis(mask) {
    let n = 0, sx = 0, sy = 0, sxx = 0, syy = 0, sxy = 0;
    mask.pixels.forEach((pixel, i) => {
      if (!pixel) return;
      const x = i % mask.w, y = (i - x) / mask.w;
      n++; sx += x; sy += y; sxx += x * x; syy += y * y; sxy += x * y;
    });
    const cx = sx / n, cy = sy / n;
    const a = sxx / n - cx * cx, b = sxy / n - cx * cy, c = syy / n - cy * cy;
    const along = 0.5 * Math.atan2(2 * b, a - c); // of the long axis, from x towards y
    let x = Math.cos(along), y = Math.sin(along);
    if (y < 0) { x = -x; y = -y; }
    return { cx, cy, angle: Math.atan2(x, y), length: 2 * Math.sqrt(3 * Math.max(a, c, 0.25)) };
  }

  // ---- the draft: iscn.py in short

  function summarise(doc) {
    const counts = Object.fromEntries([...CLASSES, UNASSIGNED].map((name) => [name, 0]));
    doc.chromosomes.forEach((one) => { counts[one.class]++; });
    const total = doc.chromosomes.length;
    const sex = "X".repeat(counts.X) + "Y".repeat(counts.Y) || "?";
    const changes = AUTOSOMES.flatMap((name) => Array(Math.abs(counts[name] - 2)).fill((counts[name] > 2 ? "+" : "-") + name));
    if (counts[UNASSIGNED]) changes.push(counts[UNASSIGNED] === 1 ? "+mar" : `+${counts[UNASSIGNED]}mar`);
    const draft = !total ? "0" : [total, sex, ...(changes.length > 4 ? ["inc"] : changes)].join(",");
    return Object.assign(doc, { counts, sex, n_chromosomes: total, iscn_draft: draft });
  }

  // ---- changes to a document; each gives the labels to select afterwards

  const find = (doc, label) => doc.chromosomes.find((one) => one.label === label);
  const named = (one, what) => { if (what === "class" || what === "flip" || one.class !== UNASSIGNED) one.edited = [...new Set([...(one.edited ?? []), what])].sort(); };
  const freeLabel = (doc) => Math.max(0, ...doc.chromosomes.map((one) => one.label)) + 1;
  function newShape(old, mask) {
    const cut = cropped(mask);
    return {
      label: old.label, class: UNASSIGNED, score: old.score, bbox: [cut.x0, cut.y0, cut.x0 + cut.w, cut.y0 + cut.h], area: area(cut), mask: encode(cut),
      angle_degrees: Math.round(axis(cut).angle * 18000 / Math.PI) / 100, short_arm_up: null,
    };
  }
  const edits = {
    class(doc, { label, class: name }) { const one = find(doc, label); one.class = name; one.review = false; named(one, "class"); return [label]; },
    confirm(doc, { labels }) { for (const label of labels) { const one = find(doc, label); one.review = false; named(one, "confirm"); } return labels; },
    flip(doc, { label }) { const one = find(doc, label); one.short_arm_up = one.short_arm_up === false; named(one, "flip"); return [label]; },
    remove(doc, { label }) { doc.chromosomes = doc.chromosomes.filter((one) => one.label !== label); return []; },
    restore(doc, { index }) {
      const [back] = doc.left_out.splice(index, 1), label = freeLabel(doc);
      doc.chromosomes.push({ ...newShape({ label, score: back.score }, decode(back)) });
      return [label];
    },
    join(doc, { labels }) {
      const parts = labels.map((label) => find(doc, label)), masks = parts.map(decode);
      const x0 = Math.min(...masks.map((m) => m.x0)), y0 = Math.min(...masks.map((m) => m.y0));
      const w = Math.max(...masks.map((m) => m.x0 + m.w)) - x0, h = Math.max(...masks.map((m) => m.y0 + m.h)) - y0;
      const whole = { x0, y0, w, h, pixels: new Uint8Array(w * h) };
      for (const m of masks) m.pixels.forEach((pixel, i) => { if (pixel) whole.pixels[(Math.floor(i / m.w) + m.y0 - y0) * w + (i % m.w) + m.x0 - x0] = 1; });
      const joined = newShape(parts[0], whole);
      joined.score = Math.max(...parts.map((one) => one.score ?? 1));
      doc.chromosomes = doc.chromosomes.filter((one) => !labels.slice(1).includes(one.label)).map((one) => one.label === labels[0] ? joined : one);
      return [labels[0]];
    },
    split(doc, { label, line: [[ax, ay], [bx, by]] }) {
      const old = find(doc, label), mask = decode(old);
      const side = (i) => (bx - ax) * (Math.floor(i / mask.w) + mask.y0 + 0.5 - ay) - (by - ay) * (i % mask.w + mask.x0 + 0.5 - ax) < 0;
      const pieces = [true, false].map((left) => clean({ ...mask, pixels: mask.pixels.map((pixel, i) => pixel && side(i) === left ? 1 : 0) }));
      if (Math.min(...pieces.map(area)) < SMALLEST) return null;
      const other = freeLabel(doc);
      const made = [newShape(old, pieces[0]), { ...newShape(old, pieces[1]), label: other }];
      doc.chromosomes = doc.chromosomes.flatMap((one) => one.label === label ? [made[0]] : [one]).concat(made[1]);
      return [label, other];
    },
  };

  // ---- the page

  const make = (tag, attributes = {}, ...children) => {
    const element = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) if (name in element && name !== "list") element[name] = value; else element.setAttribute(name, value);
    element.append(...children);
    return element;
  };

  function setUp(place) {
    const original = place.querySelector("script").textContent;
    let doc = summarise(JSON.parse(original));
    const undone = [], done = [], earlier = (doc.history ?? []).length;
    let selected = [], splitting = null, scale = 1, zoomed = null;
    const image = place.querySelector("img");

    const status = make("p", { className: "kar-status", role: "status", ariaLive: "polite" });
    const board = make("div", { className: "kar-board", role: "group", ariaLabel: "Karyogram: arrow keys go from one chromosome to the next, space selects" });
    const spread = make("canvas", { className: "kar-spread", tabIndex: -1, ariaLabel: "Metaphase; click a chromosome to select it, turn the wheel to come closer, drag to move" });
    const choose = make("select", { ariaLabel: "Class of the selected chromosomes" }, make("option", { value: "", textContent: "class …" }), ...[...CLASSES, UNASSIGNED].map((name) => make("option", { value: name, textContent: name })));
    const button = (name, title, act) => make("button", { type: "button", className: "button", textContent: name, title, onclick: act });
    const buttons = {
      confirm: button("Confirm", "It is right (Enter)", confirmThem),
      flip: button("Flip", "Turn by half a turn (f)", () => each("flip")),
      remove: button("Remove", "Take out of the karyotype (Delete)", () => each("remove")),
      join: button("Join", "Make one of those selected (j)", () => change({ do: "join", labels: [...selected] })),
      split: button("Split", "Cut in two (s)", startSplit),
      undo: button("Undo", "Take back the last change (Ctrl Z)", () => step(done, undone)),
      redo: button("Redo", "Make it again (Ctrl Y)", () => step(undone, done)),
      closer: button("+", "Closer: the wheel, or + on the image", () => zoom(1.5)),
      farther: button("\u2212", "Farther: the wheel, or - on the image", () => zoom(1 / 1.5)),
      save: button("Save karyotype.json", "Save the file for cellscope karyotype render", save),
    };
    const help = make("p", { className: "kar-help", textContent: "Click or space selects, with Ctrl several. Enter confirms and goes on to the next to review. Drag to another place or press c to change the class. f flips, Delete removes, j joins, s splits. This browser keeps your changes until you come back. Save, then run: cellscope karyotype render FILE -o NEW" });
    const tools = make("div", { className: "kar-tools", role: "toolbar", ariaLabel: "Changes" }, choose, ...Object.values(buttons));
    place.append(tools, status, make("div", { className: "kar-views" }, board, spread), help);

    function change(edit) {
      const before = JSON.stringify(doc);
      const after = edits[edit.do](doc, edit);
      if (after === null) { doc = JSON.parse(before); say("The line does not go through the chromosome."); return; }
      doc.history = [...(doc.history ?? []), edit];
      done.push(before); undone.length = 0;
      selected = after;
      draw();
    }
    // Enter: what is selected is right; then the next to review.
    function confirmThem() {
      if (!selected.length) return;
      const labels = [...selected];
      if (labels.some((label) => find(doc, label).class === UNASSIGNED)) { say("An unassigned chromosome cannot be confirmed: give it a class, or remove it."); return; }
      change({ do: "confirm", labels });
      const all = [...board.querySelectorAll(".kar-one")], here = all.findIndex((element) => Number(element.dataset.label) === labels[0]);
      const next = [...all.slice(here + 1), ...all.slice(0, here + 1)].find((element) => element.classList.contains("kar-review"));
      if (next) { selected = [Number(next.dataset.label)]; show(); next.focus(); } else say("Nothing is left to review.");
    }
    // What was changed is kept in this browser, under the run's own document: a new run begins anew.
    const key = `cellscope ${place.dataset.source ?? ""} ${[...original].reduce((sum, letter) => (Math.imul(sum, 31) + letter.charCodeAt(0)) | 0, 7)}`;
    function keep() {
      const made = (doc.history ?? []).slice(earlier);
      try { if (made.length) localStorage.setItem(key, JSON.stringify(made)); else localStorage.removeItem(key); } catch { /* this browser keeps nothing */ }
    }
    function takeUp() {
      let made = [];
      try { made = JSON.parse(localStorage.getItem(key) ?? "[]"); } catch { return; }
      for (const edit of made) {
        const before = JSON.stringify(doc);
        try { if (edits[edit.do](doc, edit) === null) return; } catch { doc = JSON.parse(before); return; }
        doc.history = [...(doc.history ?? []), edit];
        done.push(before);
      }
      if (made.length) status.dataset.note = "what you did earlier is here";
    }
    function each(what) { for (const label of [...selected]) change({ do: what, label }); }
    function step(from, to) {
      if (!from.length) return;
      to.push(JSON.stringify(doc));
      doc = JSON.parse(from.pop());
      selected = selected.filter((label) => find(doc, label));
      draw();
    }
    function save() {
      summarise(doc);
      const source = place.dataset.source;
      const file = new Blob([JSON.stringify(source ? { ...doc, source } : doc, null, 1)], { type: "application/json" });
      const link = make("a", { href: URL.createObjectURL(file), download: `${doc.image.split("/").pop().replace(/\.[^.]*$/, "")}.karyotype.json` });
      link.click();
      setTimeout(() => URL.revokeObjectURL(link.href), 1000);
      say(`Saved as ${link.download}.`);
    }
    const say = (text) => { status.dataset.note = text; describe(); };
    function describe() {
      const left = doc.chromosomes.filter((one) => one.review).length;
      const picked = selected.map((label) => `#${label} ${find(doc, label).class}`).join(", ");
      const note = status.dataset.note ?? "";
      status.textContent = `draft ${doc.iscn_draft} · ${doc.n_chromosomes} chromosomes · ${left} to review${picked ? ` · selected ${picked}` : ""}${done.length ? ` · ${done.length} changes` : ""}${note ? ` · ${note}` : ""}`;
      delete status.dataset.note;
    }
    function select(label, more) {
      if (splitting !== null) return;
      selected = more ? (selected.includes(label) ? selected.filter((other) => other !== label) : [...selected, label]) : [label];
      show();
    }

    // Dark on white whatever the stain.
    let grey = null;
    function tone() {
      const canvas = make("canvas", { width: doc.width, height: doc.height }), context = canvas.getContext("2d", { willReadFrequently: true });
      context.drawImage(image, 0, 0, doc.width, doc.height);
      const data = context.getImageData(0, 0, doc.width, doc.height).data;
      grey = new Uint8Array(doc.width * doc.height);
      for (let i = 0; i < grey.length; i++) grey[i] = doc.bright_on_dark ? 255 - data[4 * i] : data[4 * i];
    }
    function cutOut(mask) {
      const canvas = make("canvas", { width: mask.w, height: mask.h }), context = canvas.getContext("2d"), data = context.createImageData(mask.w, mask.h);
      mask.pixels.forEach((pixel, i) => {
        const value = grey[(Math.floor(i / mask.w) + mask.y0) * doc.width + (i % mask.w) + mask.x0];
        data.data.set([value, value, value, pixel ? 255 : 0], 4 * i);
      });
      context.putImageData(data, 0, 0);
      return canvas;
    }
    function upright(entry) {
      const mask = decode(entry), { cx, cy, angle } = axis(mask);
      const turn = angle + (entry.short_arm_up === false ? Math.PI : 0), cos = Math.cos(turn), sin = Math.sin(turn);
      let left = Infinity, right = -Infinity, top = Infinity, bottom = -Infinity;
      mask.pixels.forEach((pixel, i) => {
        if (!pixel) return;
        const x = i % mask.w - cx, y = Math.floor(i / mask.w) - cy, u = cos * x - sin * y, v = sin * x + cos * y;
        left = Math.min(left, u); right = Math.max(right, u); top = Math.min(top, v); bottom = Math.max(bottom, v);
      });
      const canvas = make("canvas", { width: Math.ceil((right - left + 2) * scale), height: Math.ceil((bottom - top + 2) * scale) });
      const context = canvas.getContext("2d");
      context.imageSmoothingQuality = "high";
      context.scale(scale, scale);
      context.translate(1 - left, 1 - top);
      context.rotate(turn);
      context.drawImage(cutOut(mask), -cx - 0.5, -cy - 0.5);
      return canvas;
    }
    function chromosome(entry) {
      const canvas = upright(entry);
      const element = make("button", { type: "button", className: `kar-one${entry.review ? " kar-review" : ""}`, draggable: true, tabIndex: -1 }, canvas);
      element.dataset.label = entry.label;
      element.title = [`#${entry.label}`, entry.class, entry.confidence === undefined ? "" : `confidence ${entry.confidence}`, ...(entry.edited ? [] : entry.reasons ?? [])].filter(Boolean).join(" · ");
      element.setAttribute("aria-label", `Chromosome ${entry.label}, class ${entry.class}${entry.review ? ", to review" : ""}`);
      element.addEventListener("click", (event) => select(entry.label, event.ctrlKey || event.metaKey || event.shiftKey));
      element.addEventListener("dragstart", (event) => { if (!selected.includes(entry.label)) select(entry.label); event.dataTransfer.setData("text/plain", String(entry.label)); });
      return element;
    }
    function slot(name, entries, title = name) {
      const row = make("div", { className: "kar-copies" }, ...entries.map(chromosome));
      const element = make("div", { className: `kar-slot${usual(name, entries.length) ? "" : " kar-odd"}` }, row, make("span", { textContent: title }));
      element.dataset.class = name;
      element.addEventListener("dragover", (event) => event.preventDefault());
      element.addEventListener("drop", (event) => { event.preventDefault(); giveClass(name); });
      return element;
    }
    // Two of each, and XX or XY.
    function usual(name, count) {
      if (name === UNASSIGNED) return true;
      const { X, Y } = doc.counts;
      return name === "X" || name === "Y" ? X + Y === 2 && Y < 2 : count === 2;
    }
    function giveClass(name) { for (const label of [...selected]) if (find(doc, label).class !== name) { const kept = [...selected]; change({ do: "class", label, class: name }); selected = kept; } draw(); }

    function draw() {
      summarise(doc);
      keep();
      const focused = board.contains(document.activeElement) ? Number(document.activeElement.dataset.label) : null;
      const lengths = doc.chromosomes.map((entry) => axis(decode(entry)).length).sort((a, b) => a - b);
      scale = Math.min(TALLEST / (lengths[Math.floor(lengths.length * 0.92)] || 40), 4);
      const by = Object.groupBy?.(doc.chromosomes, (entry) => entry.class) ?? doc.chromosomes.reduce((all, entry) => ({ ...all, [entry.class]: [...(all[entry.class] ?? []), entry] }), {});
      const groups = GROUPS.map(([group, names]) => make("div", { className: "kar-group" }, make("div", { className: "kar-slots" }, ...names.split(" ").map((name) => slot(name, by[name] ?? []))), make("b", { textContent: group })));
      const waiting = (doc.left_out ?? []).map((entry, index) => {
        const element = make("button", { type: "button", className: "kar-left", title: "Left out: click to bring it back" }, upright({ ...entry, label: 0 }));
        element.setAttribute("aria-label", `Bring back left-out object ${index + 1}`);
        element.onclick = () => change({ do: "restore", index });
        return element;
      });
      board.replaceChildren(...groups, slot(UNASSIGNED, by[UNASSIGNED] ?? []), ...(waiting.length ? [make("div", { className: "kar-slot kar-tray" }, make("div", { className: "kar-copies" }, ...waiting), make("span", { textContent: "left out: click to bring back" }))] : []));
      show();
      const next = board.querySelector(`[data-label="${focused ?? ""}"]`) ?? board.querySelector(`[data-label="${selected[0] ?? ""}"]`);
      if (focused !== null) next?.focus();
    }
    function show() {
      const all = [...board.querySelectorAll(".kar-one")];
      all.forEach((element) => { element.setAttribute("aria-pressed", selected.includes(Number(element.dataset.label))); element.tabIndex = -1; });
      (all.find((element) => Number(element.dataset.label) === selected[0]) ?? all[0] ?? board).tabIndex = 0;
      buttons.confirm.disabled = buttons.flip.disabled = buttons.remove.disabled = choose.disabled = !selected.length || splitting !== null;
      buttons.join.disabled = selected.length < 2 || splitting !== null;
      buttons.split.disabled = selected.length !== 1;
      buttons.undo.disabled = !done.length || splitting !== null; buttons.redo.disabled = !undone.length || splitting !== null;
      buttons.split.textContent = splitting === null ? "Split" : "Cut here";
      choose.value = selected.length === 1 ? find(doc, selected[0]).class : "";
      drawSpread();
      describe();
    }
    // The whole metaphase, or while splitting the chromosome's surroundings in the same proportions.
    function viewOf() {
      if (splitting === null) return zoomed ?? { x: 0, y: 0, w: doc.width, h: doc.height };
      const [x0, y0, x1, y1] = find(doc, splitting.label).bbox, ratio = doc.width / doc.height;
      const h = Math.min(doc.height, Math.max(1.5 * (y1 - y0), 1.5 * (x1 - x0) / ratio, 40)), w = h * ratio;
      return within({ x: (x0 + x1 - w) / 2, y: (y0 + y1 - h) / 2, w, h });
    }
    function zoom(factor, [x, y] = centre()) {
      if (splitting !== null) return;
      const view = viewOf(), w = Math.min(Math.max(view.w / factor, doc.width / 24), doc.width), k = w / view.w;
      zoomed = w >= doc.width ? null : within({ x: x - (x - view.x) * k, y: y - (y - view.y) * k, w, h: view.h * k });
      drawSpread();
    }
    const centre = () => { const { x, y, w, h } = viewOf(); return [x + w / 2, y + h / 2]; };
    const within = (view) => ({ ...view, x: Math.min(Math.max(view.x, 0), doc.width - view.w), y: Math.min(Math.max(view.y, 0), doc.height - view.h) });
    // Names beside the chromosomes, dark on light whatever the stain.
    function drawNames(context, k) {
      const size = 13 * (spread.width / (spread.clientWidth || spread.width)) / k;
      context.font = `600 ${size}px sans-serif`;
      context.textAlign = "center"; context.lineJoin = "round"; context.lineWidth = size / 4;
      for (const entry of doc.chromosomes) {
        const [x0, y0, x1] = entry.bbox, name = entry.class === UNASSIGNED ? "?" : entry.class, at = [(x0 + x1) / 2, Math.max(y0 - size / 4, size)];
        context.strokeStyle = "#ffffff"; context.strokeText(name, ...at);
        context.fillStyle = selected.includes(entry.label) ? "#0b7a86" : entry.review ? "#b04a00" : "#17212b"; context.fillText(name, ...at);
      }
    }
    function drawSpread() {
      const context = spread.getContext("2d"), view = viewOf(), k = spread.width / view.w;
      context.setTransform(k, 0, 0, k, -view.x * k, -view.y * k);
      context.drawImage(image, 0, 0, doc.width, doc.height);
      for (const entry of doc.chromosomes) {
        const chosen = selected.includes(entry.label);
        if (!chosen && !entry.review) continue;
        const mask = decode(entry), inside = (x, y) => x >= 0 && y >= 0 && x < mask.w && y < mask.h && mask.pixels[y * mask.w + x];
        context.fillStyle = chosen ? "#12b5c4" : "#ff961e";
        mask.pixels.forEach((pixel, i) => {
          const x = i % mask.w, y = (i - x) / mask.w;
          if (pixel && !(inside(x - 1, y) && inside(x + 1, y) && inside(x, y - 1) && inside(x, y + 1))) context.fillRect(mask.x0 + x, mask.y0 + y, 1, 1);
        });
      }
      if (splitting === null) drawNames(context, k);
      else {
        const [[ax, ay], [bx, by]] = lineOf(splitting);
        context.strokeStyle = "#e5264b"; context.lineWidth = 3 / k;
        context.beginPath(); context.moveTo(ax, ay); context.lineTo(bx, by); context.stroke();
      }
    }

    // ---- splitting: a line across the middle that the mouse sets and the arrow keys move and turn
    function startSplit() {
      if (splitting !== null) { finishSplit(); return; }
      if (selected.length !== 1) return;
      const mask = decode(find(doc, selected[0])), { cx, cy, angle, length } = axis(mask);
      splitting = { label: selected[0], x: mask.x0 + cx + 0.5, y: mask.y0 + cy + 0.5, direction: -angle, reach: Math.max(length * 0.6, 8) };
      show();
      spread.focus();
      say("Move the line with the arrow keys, turn it with comma and full stop, or draw it with the mouse; Enter cuts, Escape does not.");
    }
    const lineOf = ({ x, y, direction, reach }) => [[x - reach * Math.cos(direction), y - reach * Math.sin(direction)], [x + reach * Math.cos(direction), y + reach * Math.sin(direction)]].map((point) => point.map((value) => Math.round(value * 100) / 100));
    function finishSplit() {
      const cut = splitting;
      splitting = null;
      change({ do: "split", label: cut.label, line: lineOf(cut) });
      show();
      board.querySelector(`[data-label="${cut.label}"]`)?.focus();
    }
    const at = (event) => { const box = spread.getBoundingClientRect(); const view = viewOf(); return [view.x + (event.clientX - box.left) * view.w / box.width, view.y + (event.clientY - box.top) * view.h / box.height]; };
    let from = null;
    spread.addEventListener("pointerdown", (event) => { from = at(event); spread.setPointerCapture?.(event.pointerId); });
    let dragged = false;
    spread.addEventListener("pointermove", (event) => {
      if (!from || splitting !== null || !zoomed) return;
      const [x, y] = at(event);
      if (!dragged && Math.hypot(x - from[0], y - from[1]) * spread.clientWidth / zoomed.w < 4) return;
      dragged = true;
      zoomed = within({ ...zoomed, x: zoomed.x - (x - from[0]), y: zoomed.y - (y - from[1]) });
      drawSpread();
    });
    spread.addEventListener("wheel", (event) => { if (splitting === null) { event.preventDefault(); zoom(Math.exp(-event.deltaY / 400), at(event)); } }, { passive: false });
    spread.addEventListener("pointerup", (event) => {
      const to = at(event), start = from ?? to, moved = dragged;
      from = null; dragged = false;
      if (moved) return;
      if (splitting !== null) {
        const length = Math.hypot(to[0] - start[0], to[1] - start[1]);
        if (length < 3) Object.assign(splitting, { x: to[0], y: to[1] });
        else Object.assign(splitting, { x: (start[0] + to[0]) / 2, y: (start[1] + to[1]) / 2, direction: Math.atan2(to[1] - start[1], to[0] - start[0]), reach: length / 2 });
        show();
        return;
      }
      const hit = doc.chromosomes.find((entry) => { const m = decode(entry), x = Math.floor(to[0]) - m.x0, y = Math.floor(to[1]) - m.y0; return x >= 0 && y >= 0 && x < m.w && y < m.h && m.pixels[y * m.w + x]; });
      if (hit) select(hit.label, event.ctrlKey || event.metaKey || event.shiftKey);
    });
    spread.addEventListener("keydown", (event) => {
      if (splitting === null) {
        const factor = { "+": 1.5, "=": 1.5, "-": 1 / 1.5 }[event.key];
        if (factor) { event.preventDefault(); zoom(factor); }
        return;
      }
      const moves = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
      if (moves[event.key]) { splitting.x += moves[event.key][0]; splitting.y += moves[event.key][1]; }
      else if (event.key === "," || event.key === ".") splitting.direction += (event.key === "," ? -1 : 1) * Math.PI / 36;
      else if (event.key === "Enter") { event.preventDefault(); event.stopPropagation(); finishSplit(); return; }
      else if (event.key === "Escape") { splitting = null; show(); board.querySelector(`[data-label="${selected[0]}"]`)?.focus(); event.stopPropagation(); return; }
      else return;
      event.preventDefault(); event.stopPropagation();
      show();
    });

    choose.addEventListener("change", () => { if (choose.value) giveClass(choose.value); });
    board.addEventListener("keydown", (event) => {
      const all = [...board.querySelectorAll(".kar-one")], here = all.indexOf(document.activeElement);
      const by = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
      if (by && here >= 0) { event.preventDefault(); all[(here + by + all.length) % all.length].focus(); return; }
      if (event.key === " " && here >= 0) { event.preventDefault(); select(Number(all[here].dataset.label), event.ctrlKey || event.shiftKey || selected.length > 1); return; }
      if (event.ctrlKey || event.metaKey || event.altKey) return;
      if (here >= 0 && !selected.length) select(Number(all[here].dataset.label));
      if (event.key === "Enter" && here >= 0) event.preventDefault(); // it would select
      const acts = { Enter: confirmThem, f: () => each("flip"), Delete: () => each("remove"), j: () => { if (selected.length > 1) buttons.join.click(); }, s: startSplit, c: () => choose.focus() };
      if (acts[event.key] && selected.length) { event.preventDefault(); acts[event.key](); }
    });
    place.addEventListener("keydown", (event) => {
      if (!(event.ctrlKey || event.metaKey) || splitting !== null) return;
      const key = event.key.toLowerCase();
      if (key === "z" || key === "y") { event.preventDefault(); if (key === "y" || event.shiftKey) step(undone, done); else step(done, undone); }
    });

    image.addEventListener("load", () => {
      tone();
      takeUp();
      const k = Math.max(1, Math.min(2, 1000 / doc.width));
      spread.width = doc.width * k; spread.height = doc.height * k;
      draw();
      place.dataset.ready = "yes";
    }, { once: true });
    image.src = image.dataset.src;
  }

  document.addEventListener("DOMContentLoaded", () => document.querySelectorAll(PLACE).forEach((place) => {
    if (place.open) setUp(place); else place.addEventListener("toggle", () => setUp(place), { once: true });
  }));
})();
