// The room: images, selection, changes, keys. Every change goes to the server at once; the page shows what comes back.
import { address, ask } from "./api.js";
import { Board } from "./board.js";
import { Gallery } from "./gallery.js";
import { Keys } from "./keys.js";
import { Spread } from "./spread.js";
import { tools, keyHelp } from "./tools.js";

const id = (name) => document.getElementById(name);
// No orange: it says "to review".
const PALETTE = ["#35d07f", "#ffe14d", "#58a6ff", "#f15bb5", "#4dd9d9", "#9b8cff", "#ff6b6b", "#c8d0da"];
const state = { run: null, number: -1, shown: null, selected: new Set(), busy: Promise.resolve(), watching: false, opening: 0, pinned: null };

const colour = (one) => (state.selected.has(one.label) ? "#5aaaff" : one.review ? "#ff9a3d" : ofClass(one.class));
const ofClass = (class_) => {
  const names = state.run.classes.filter((name) => name !== "unassigned"), index = Math.max(names.indexOf(class_), 0);
  return names.length > PALETTE.length ? `hsl(${(index * 137.5) % 360} 90% 65%)` : PALETTE[index];
};
const swatch = (name) => {
  const found = Object.assign(document.createElement("span"), { className: "swatch" });
  found.style.background = ofClass(name);
  return found;
};
const spread = new Spread(id("canvas"), { onSelect: pick, onDrawn: drawn, colour });
const board = new Board(id("board"), { onSelect: select, onClass: (label, name) => edit({ do: "class", label, class: name }) });
const quiet = { onSelect() {}, onClass() {}, onRestore() {} };
const beside = new Board(document.querySelector("#beside .board"), quiet);
const gallery = new Gallery(id("gallery"), { onSelect: (number, label) => open(number, label), source: (number, label) => address(`api/image/${number}/object/${label}`) });

const line = () => state.run.images[state.number];
const page = () => line().page;
const find = (label) => state.shown.objects.find((one) => one.label === label);
const chosen = () => state.shown.objects.filter((one) => state.selected.has(one.label));
export const say = (text, wrong = false) => { id("status").textContent = text; id("status").classList.toggle("wrong", wrong); };

// ---- images

async function begin() {
  state.run = await ask("api/run");
  id("title").textContent = `${state.run.assay} · ${state.run.out}`;
  document.title = `${state.run.out}: review`;
  id("images").replaceChildren(...state.run.images.map((one, number) => {
    const button = Object.assign(document.createElement("button"), { title: one.image });
    for (const name of ["mark", "name", "waiting"]) button.append(Object.assign(document.createElement("span"), { className: name }));
    button.children[1].textContent = `\u200e${one.image}`;
    button.addEventListener("click", () => open(number));
    const item = document.createElement("li");
    item.append(button);
    return item;
  }));
  gallery.list(state.run.images, state.run.strips);
  const wanted = state.run.images.findIndex((one) => one.image === decodeURIComponent(location.hash.slice(1)));
  const first = state.run.images.findIndex((one) => !one.reviewed);
  await open(wanted >= 0 ? wanted : Math.max(first, 0));
  setInterval(watch, 1500);
}

// With a label: that object of a gallery; else its first one, the one to review before others.
async function open(number, label) {
  if (number < 0 || number >= state.run.images.length) return;
  const turn = ++state.opening;
  say("Opening ...");
  try {
    const shown = await ask(`api/image/${number}`);
    const picture = state.run.images[number].page === "gallery" ? null : await load(number);
    if (turn !== state.opening) return; // another one was asked for meanwhile
    if (number !== state.number) state.selected = new Set(); // the same image drawn anew keeps what is selected
    state.number = number;
    history.replaceState(null, "", `#${encodeURIComponent(shown.image)}`);
    take(shown, picture);
    if (page() === "gallery") {
      const first = shown.objects.find((one) => one.review) ?? shown.objects[0];
      const kept = [...state.selected].find((one) => find(one));
      state.selected = new Set([label ?? kept ?? first?.label].filter((one) => one !== undefined));
    }
    paint();
    say(`${shown.image}: ${waiting()} to review`);
  } catch (error) { say(error.message, true); }
}

const pictures = new Map();
function load(number) {
  if (!pictures.has(number)) {
    const picture = new Image();
    picture.src = address(`api/image/${number}/picture`);
    pictures.set(number, picture.decode().then(() => picture));
    if (pictures.size > 6) pictures.delete(pictures.keys().next().value);
  }
  return pictures.get(number);
}

const draft = (shown) => shown.facts.filter(([name]) => name === "draft").map(([, value]) => value).join("");
const waiting = () => state.shown.objects.filter((one) => one.review).length;

function take(shown, picture) {
  state.shown = shown;
  state.run.images[state.number] = shown.line;
  const there = new Set(shown.objects.map((one) => one.label));
  state.selected = new Set([...state.selected].filter((label) => there.has(label)));
  const kind = page();
  id("board").hidden = kind !== "karyotype";
  id("gallery").hidden = kind !== "gallery";
  if (kind !== "karyotype") state.pinned = null;
  if (state.pinned?.image === shown.image) state.pinned = shown;
  const two = Boolean(state.pinned) && state.pinned.image !== shown.image;
  id("beside").hidden = !two;
  id("spread").hidden = kind === "gallery" || two;
  if (two) { document.querySelector("#beside h2").textContent = `${state.pinned.image}: ${draft(state.pinned)}`; beside.show(state.pinned); }
  if (kind !== "gallery") { spread.selected = state.selected; spread.show(shown, picture); }
  if (kind === "karyotype") { board.selected = state.selected; board.show(shown); }
}

// In the queue of the changes: one of this page's own that is under way must not be taken for another page's.
function watch() {
  if (state.watching) return;
  state.watching = true;
  state.busy = state.busy.then(async () => {
    try {
      const run = await ask("api/run"), saved = state.run.saved;
      if (run.problem) say(run.problem, true);
      state.run = { ...run, classes: state.run.classes };
      if (state.shown && run.images[state.number].corrected !== state.shown.line.corrected) await open(state.number); // another tab
      list();
      if (run.saved && (!saved || !state.tables)) await tables();
    } catch (error) { say(error.message, true); } finally { state.watching = false; }
  });
}

async function tables() {
  const found = await ask("api/tables");
  state.tables = found;
  id("tables").replaceChildren(...Object.entries(found).map(([name, { columns, labels, rows }]) => {
    const table = document.createElement("table");
    table.createCaption().textContent = name;
    if (columns.includes("abnormal_fraction")) { fractions(table, columns, rows); return table; }
    for (const row of rows.slice(0, 12)) columns.forEach((column, at) => {
      if (row[at] === "" || (rows.length > 3 && at > 5)) return;
      const cells = table.insertRow();
      cells.insertCell().textContent = labels[at];
      cells.insertCell().textContent = short(row[at]);
    });
    return table;
  }));
}
const short = (text) => (/^-?\d+\.\d+$/.test(text) ? String(Number(Number(text).toPrecision(4))) : text);

// One line per condition: how many of how many, the fraction with its interval.
function fractions(table, columns, rows) {
  const percent = (text) => (text === "" ? "" : (100 * Number(text)).toFixed(0));
  for (const row of rows) {
    const of = (name) => row[columns.indexOf(name)] ?? "", line = table.insertRow();
    const interval = of("low") === "" ? "" : ` (${percent(of("low"))} to ${percent(of("high"))})`;
    for (const text of [of("group"), `${of("n_abnormal")} of ${of("n")}`, of("abnormal_fraction") === "" ? "" : `${percent(of("abnormal_fraction"))} %${interval}`]) line.insertCell().textContent = text;
  }
}

// ---- selection

function select(label, more = false) {
  if (!more) { state.selected.clear(); if (label !== null) state.selected.add(label); }
  else if (state.selected.has(label)) state.selected.delete(label); else state.selected.add(label);
  paint();
}
function pick(hit, more) {
  if (hit && "left" in hit) { edit({ do: "restore", index: hit.left }); return; }
  if (!hit && more) return;
  select(hit ? hit.label : null, more);
}
function order() {
  if (page() !== "karyotype") return state.shown.objects.map((one) => one.label);
  return [...document.querySelectorAll("#board .one")].map((element) => Number(element.dataset.label));
}
function step(by) {
  const labels = order(), at = labels.indexOf([...state.selected].pop());
  if (!labels.length) return;
  select(labels[at < 0 ? (by > 0 ? 0 : labels.length - 1) : (at + by + labels.length) % labels.length]);
  spread.reveal([...state.selected][0]);
}
// The next object to review: of this image, else of the next image that has one or was not looked at.
async function nextToReview() {
  if (page() === "gallery") {
    const next = gallery.undecided(state.number, [...state.selected][0], state.run.images);
    if (next) { await open(...next); return; }
  }
  const labels = order(), at = labels.indexOf([...state.selected].pop());
  const after = [...labels.slice(at + 1), ...labels.slice(0, at + 1)].filter((label) => find(label).review && !state.selected.has(label));
  if (after.length) { select(after[0]); spread.reveal(after[0]); return; }
  const count = state.run.images.length;
  for (let turn = 1; turn < count; turn++) {
    const number = (state.number + turn) % count, one = state.run.images[number];
    if (one.review > 0 || !one.reviewed) {
      await open(number);
      const first = order().find((label) => find(label).review);
      if (first) { select(first); spread.reveal(first); }
      return;
    }
  }
  say("Nothing is left to review.");
}

// ---- changes, one after the other

function change(what, then) {
  state.busy = state.busy.then(async () => {
    const number = state.number;
    try {
      const shown = await ask(`api/image/${number}`, { revision: state.shown.revision, ...what });
      if (number !== state.number) return;
      const before = new Set(state.shown.objects.map((one) => one.label));
      take(shown);
      const made = shown.objects.filter((one) => !before.has(one.label)).map((one) => one.label);
      if (made.length && what.edit) state.selected = new Set(made);
      spread.selected = board.selected = state.selected;
      paint();
      say(then ?? "Saved.");
    } catch (error) {
      if (error.stale) await open(number);
      say(error.message, true);
    }
  });
  return state.busy;
}
const edit = (what, then) => change({ edit: what }, then);
const each = async (make) => { for (const one of chosen()) await edit(make(one)); };

// An image of a gallery was looked at when a person has decided each of its objects.
async function decided() {
  if (page() === "gallery" && !line().reviewed && state.shown.objects.every((one) => one.corrected)) await room.reviewed(true);
}

const room = {
  state, edit, each, change, chosen, select, step, say, spread, nextToReview, page,
  open: (by) => open(state.number + by),
  // Arrow keys: one object on or back, in a gallery also a row of them.
  walk(by, row = false) {
    if (page() !== "gallery") { room.step(by); return undefined; }
    const next = gallery.after(state.number, [...state.selected][0], by * (row ? gallery.columns : 1));
    return next ? open(...next) : undefined;
  },
  labels: () => [...state.selected],
  async confirm() {
    if (!state.selected.size) { await room.reviewed(true); await nextToReview(); return; }
    await edit({ do: "confirm", labels: [...state.selected] }, "Confirmed.");
    await decided();
    await nextToReview();
  },
  reviewed: (value = !line().reviewed) => change({ reviewed: value }, value ? "Marked as reviewed." : "Marked as not reviewed."),
  // The cell that is open stays beside those that are opened next.
  pin() {
    const was = state.pinned;
    state.pinned = was ? null : state.shown;
    take(state.shown);
    paint();
    say(was ? "One cell." : `${state.shown.image} stays beside the next cells; b lets it go.`);
  },
  // The karyogram as a PDF, as it is now.
  sheet() {
    const link = Object.assign(document.createElement("a"), { href: address(`api/image/${state.number}/sheet.pdf`), download: "" });
    document.body.append(link);
    link.click();
    link.remove();
    say("The PDF goes to the browser's downloads.");
  },
  whole() { spread.brightness = 1; spread.fit(); },
  draw(kind, name, told) { if (state.pinned) room.pin(); spread.start({ kind, name }); say(told); },
  async give(name) {
    state.last = name;
    for (const label of [...state.selected]) await edit({ do: "class", label, class: name }, `Class ${name}.`);
    if (page() === "gallery") { await decided(); await nextToReview(); }
  },
};

function drawn(mode, points) {
  if (!points) { say("Too short; try again.", true); return; }
  const named = page() === "objects" && state.run.classes.length > 1 ? { class: state.last ?? state.run.classes[0] } : {};
  if (mode.name === "add") edit({ do: "add", ...named, ...(mode.kind === "point" ? { point: points[0] } : { points }) }, "Added.");
  if (mode.name === "split") edit({ do: "split", label: [...state.selected][0], line: points.length > 2 ? points : [points[0], points[points.length - 1]] }, "Split.");
  if (mode.name === "outline") edit({ do: "outline", label: [...state.selected][0], points }, "Outline changed.");
}

// ---- what stands around

function list() {
  id("bar").max = state.run.images.length;
  const done = state.run.images.filter((one) => one.reviewed).length;
  id("bar").value = done;
  id("count").textContent = `${done} of ${state.run.images.length} reviewed`;
  [...id("images").children].forEach((item, number) => {
    const button = item.firstChild, one = state.run.images[number];
    button.setAttribute("aria-current", String(number === state.number));
    button.children[0].textContent = one.reviewed ? "✓" : one.corrected ? "•" : "";
    button.children[2].textContent = one.review || "";
  });
  if (page() === "gallery") gallery.mark(state.number, state.selected, state.run.images);
}

function pairs(place, entries) {
  place.replaceChildren(...entries.flatMap(([name, value]) => [
    Object.assign(document.createElement("dt"), { textContent: name }), Object.assign(document.createElement("dd"), { textContent: value }),
  ]));
}

function paint() {
  board.mark();
  spread.draw();
  list();
  document.querySelector(`#images li:nth-child(${state.number + 1})`)?.scrollIntoView({ block: "nearest" });
  id("undo").disabled = !state.shown.can_undo;
  id("redo").disabled = !state.shown.can_redo;
  id("reviewed").setAttribute("aria-pressed", String(line().reviewed));
  pairs(id("facts"), [...state.shown.facts, ["to review", waiting()]]);
  const picked = chosen();
  id("classes").replaceChildren(...(state.run.classes.length > 1 ? state.run.classes : []).map((name) => {
    const button = Object.assign(document.createElement("button"), { type: "button", textContent: name, disabled: !picked.length });
    if (page() === "objects") button.prepend(swatch(name));
    button.setAttribute("aria-pressed", String(picked.length > 0 && picked.every((one) => one.class === name)));
    button.addEventListener("click", () => room.give(name));
    return button;
  }));
  id("tools").replaceChildren(...tools(room).filter((tool) => tool.label).map((tool) => {
    const button = Object.assign(document.createElement("button"), { type: "button", textContent: tool.label, title: `${tool.help} (${tool.shown})`, disabled: !tool.ready });
    button.dataset.do = tool.name;
    button.addEventListener("click", () => tool.act());
    return button;
  }));
  id("selected").replaceChildren(...picked.slice(0, 4).flatMap((one) => {
    const text = (name, className = "") => Object.assign(document.createElement("p"), { textContent: name, className });
    const large = page() === "gallery" && !state.run.strips ? [Object.assign(document.createElement("img"), { className: "large", alt: "", src: address(`api/image/${state.number}/object/${one.label}`) })] : [];
    return [
      ...large,
      text(`#${one.label} ${one.class}${one.corrected ? ", corrected by a person" : ""}`),
      ...(one.alternatives?.length ? [text(one.alternatives.map(([name, p]) => `${name} ${p}`).join(", "))] : []),
      ...(one.notes ?? []).map((note) => text(note)),
      ...(one.reasons.length ? [text(one.reasons.join("; "), "why")] : []),
    ];
  }));
  id("history").replaceChildren(...state.shown.history.map((one) => Object.assign(document.createElement("li"), { textContent: `${one.do}, ${one.who}, ${one.when.replace("T", " ").replace("+00:00", " UTC")}` })));
}

// ---- keys

const keys = new Keys({ classes: () => state.run.classes, give: (name) => room.give(name), say });
function digit(key) {
  if (!state.run.tools.includes("count") || page() !== "objects") { keys.digit(key); return; }
  keys.queue(() => each((one) => ({ do: "count", label: one.label, count: Number(key) })));
}

document.addEventListener("keydown", (event) => {
  if (!state.shown || event.target.closest("input, select, textarea, dialog")) return;
  if (spread.mode && !event.ctrlKey && spread.key(event)) { event.preventDefault(); return; }
  const control = event.ctrlKey || event.metaKey;
  if (event.key === "Enter" && event.target.closest("header button, aside button, nav button")) return; // it presses the button
  if (!control && /^\d$/.test(event.key)) { event.preventDefault(); digit(event.key); return; }
  if (["Shift", "Control", "Alt", "Meta"].includes(event.key)) return;
  if (keys.settle() && event.key === "Enter") { event.preventDefault(); return; } // it ends the number
  const name = `${control ? "Ctrl+" : ""}${event.key.length === 1 && !event.shiftKey ? event.key.toLowerCase() : event.key}`;
  const tool = tools(room).find((one) => one.keys.includes(name));
  if (!tool) return;
  event.preventDefault();
  keys.queue(() => {
    const now = tools(room).find((one) => one.keys.includes(name));
    if (now?.ready) return now.act();
    if (now) say(now.missing ?? "Select something first.", true);
    return undefined;
  });
});
document.addEventListener("pointerdown", () => keys.settle(), true);

for (const [name, act] of Object.entries({
  previous: () => room.open(-1), next: () => room.open(1), undo: () => change({ undo: true }, "Undone."), redo: () => change({ redo: true }, "Made again."),
  reviewed: () => room.reviewed(), darker: () => spread.light(1 / 1.25), brighter: () => spread.light(1.25), closer: () => spread.zoom(1.4), farther: () => spread.zoom(1 / 1.4), whole: () => room.whole(),
  help: () => { pairs(id("keylist"), keyHelp(room)); id("keys").showModal(); }, close: () => id("keys").close(),
  theme: () => { localStorage.setItem("theme", document.documentElement.classList.toggle("dark") ? "dark" : "light"); },
})) id(name).addEventListener("click", () => { act(); if (name !== "help" && name !== "close") id(name).blur(); });

// A sheet of paper is wider than the board is on the screen.
addEventListener("beforeprint", () => {
  const of = page() === "gallery" ? [`${state.run.assay}: ${state.run.out}`, id("count").textContent, `by ${state.run.who}`] : [state.shown.image, draft(state.shown), `${state.shown.objects.filter((one) => one.corrected).length} corrected by ${state.run.who}`];
  const line = [...of, new Date().toISOString().slice(0, 10), "research use only, never a diagnosis"];
  id("sheet").textContent = line.filter(Boolean).join(" · ");
  const two = !id("beside").hidden;
  for (const one of [board, beside]) { Object.assign(one.place.style, { width: two ? "505px" : "1030px", height: "640px" }); one.scale(); }
});
addEventListener("afterprint", () => { for (const one of [board, beside]) { Object.assign(one.place.style, { width: "", height: "" }); one.scale(); } });

document.documentElement.classList.toggle("dark", (localStorage.getItem("theme") ?? (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light")) === "dark");
begin().catch((error) => say(error.message, true));
