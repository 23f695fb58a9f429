// The karyogram as a board: chromosomes in the places of their classes, to be dragged, selected and turned.
const make = (tag, attributes = {}, ...children) => {
  const element = Object.assign(document.createElement(tag), attributes);
  element.append(...children);
  return element;
};

export class Board {
  constructor(place, { onSelect, onClass, onRestore }) {
    this.place = place;
    this.onSelect = onSelect;
    this.onClass = onClass;
    this.onRestore = onRestore;
    this.selected = new Set();
    new ResizeObserver(() => this.scale()).observe(place);
  }

  show(shown) {
    this.shown = shown;
    const by = new Map();
    for (const one of shown.objects) by.set(one.class, [...(by.get(one.class) ?? []), one]);
    for (const copies of by.values()) copies.sort((a, b) => b.size[1] - a.size[1] || a.label - b.label);
    const rows = shown.rows.map((groups) => make("div", { className: "row" }, ...groups.map(({ group, classes }) =>
      make("div", { className: "group" }, make("div", { className: "slots" }, ...classes.map((name) => this.slot(name, by.get(name) ?? []))), make("div", { className: "name", textContent: group })))));
    const loose = by.get("unassigned") ?? [];
    const rest = loose.length ? [make("div", { className: "row" }, this.slot("unassigned", loose))] : [];
    const left = shown.left_out.length ? [make("p", { className: "left", textContent: `${shown.left_out.length} left out (dashed in the image; click one to restore it)` })] : [];
    this.place.replaceChildren(...rows, ...rest, ...left);
    this.mark();
    this.scale();
  }

  slot(name, copies) {
    const slot = make("div", { className: "slot" }, make("div", { className: "copies" }, ...copies.map((one) => this.one(one))), make("div", { className: "name", textContent: name }));
    if (!["X", "Y", "unassigned"].includes(name) && copies.length !== 2) slot.classList.add("odd");
    slot.dataset.class = name;
    slot.addEventListener("dragover", (event) => { event.preventDefault(); slot.classList.add("over"); });
    slot.addEventListener("dragleave", () => slot.classList.remove("over"));
    slot.addEventListener("drop", (event) => { event.preventDefault(); slot.classList.remove("over"); this.onClass(Number(event.dataTransfer.getData("text/plain")), name); });
    return slot;
  }

  one(one) {
    const element = make("button", { type: "button", className: `one${one.review ? " review" : ""}${one.corrected ? " corrected" : ""}`, draggable: true, tabIndex: -1 },
      make("img", { src: one.view, alt: "", draggable: false }));
    element.dataset.label = one.label;
    element.title = [`#${one.label}`, one.class, `confidence ${one.confidence}`, ...one.reasons].join(" · ");
    element.setAttribute("aria-label", `Chromosome ${one.label}, class ${one.class}${one.review ? ", to review" : ""}`);
    element.addEventListener("click", (event) => this.onSelect(one.label, event.ctrlKey || event.metaKey || event.shiftKey));
    element.addEventListener("dragstart", (event) => { event.dataTransfer.setData("text/plain", String(one.label)); event.dataTransfer.effectAllowed = "move"; });
    return element;
  }

  mark() {
    for (const element of this.place.querySelectorAll(".one")) element.setAttribute("aria-pressed", String(this.selected.has(Number(element.dataset.label))));
  }

  // One scale for all, the largest at which every row fits.
  scale() {
    if (!this.shown || !this.place.clientWidth) return;
    const height = this.place.clientHeight, sizes = new Map(this.shown.objects.map((one) => [one.label, one.size]));
    const set = (factor) => { for (const element of this.place.querySelectorAll(".one")) element.firstChild.width = Math.max(3, Math.round(sizes.get(Number(element.dataset.label))[0] * factor)); };
    const fits = () => [...this.place.querySelectorAll(".row")].every((row) => row.scrollWidth <= row.clientWidth) && this.place.scrollHeight <= height;
    let low = 0.12, high = 1;
    for (let turn = 0; turn < 7; turn++) { const factor = (low + high) / 2; set(factor); if (fits()) low = factor; else high = factor; }
    set(low);
  }
}
