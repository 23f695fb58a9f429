// A gallery: one picture per object, decided by key.
export class Gallery {
  constructor(place, { onSelect, source }) {
    this.place = place;
    this.onSelect = onSelect;
    this.source = source;
    this.cells = new Map();
  }

  list(images, strips) {
    this.cells.clear();
    this.place.classList.toggle("strips", strips);
    this.place.replaceChildren(...images.flatMap((line, number) => line.cells.map((one) => this.cell(line, number, one))));
  }

  cell(line, number, one) {
    const cell = document.createElement("button");
    cell.className = "strip";
    cell.dataset.number = number;
    cell.dataset.label = one.label;
    cell.title = line.image;
    const picture = Object.assign(document.createElement("img"), { loading: "lazy", alt: "", src: this.source(number, one.label) });
    picture.addEventListener("error", () => picture.replaceWith(Object.assign(document.createElement("p"), { className: "gone", textContent: "The image is not there any more." })));
    const call = Object.assign(document.createElement("span"), { className: "call" });
    const name = line.cells.length > 1 ? `${line.image} #${one.label}` : line.image;
    cell.append(picture, call, Object.assign(document.createElement("span"), { className: "of", textContent: `\u200e${name}` }));
    cell.addEventListener("click", () => this.onSelect(number, one.label));
    this.cells.set(`${number}/${one.label}`, cell);
    return cell;
  }

  mark(current, selected, images) {
    images.forEach((line, number) => line.cells.forEach((one) => {
      const cell = this.cells.get(`${number}/${one.label}`), here = number === current && selected.has(one.label);
      cell.setAttribute("aria-pressed", String(here));
      cell.classList.toggle("review", one.review);
      cell.classList.toggle("corrected", one.corrected);
      const told = one.class + (one.corrected || line.reviewed ? " \u2713" : "");
      if (cell.children[1].textContent !== told) cell.children[1].textContent = told;
      if (here && this.current !== cell) { this.current = cell; cell.scrollIntoView({ block: "nearest" }); } // once: who scrolls away stays there
    }));
  }

  // The object so many places after another one, over all images: [number, label]; null at the ends.
  after(number, label, by) {
    const order = [...this.cells.keys()];
    return order[order.indexOf(`${number}/${label}`) + by]?.split("/").map(Number) ?? null;
  }

  // How many stand side by side.
  get columns() {
    const cells = [...this.cells.values()], top = cells[0]?.offsetTop;
    return cells.filter((cell) => cell.offsetTop === top).length || 1;
  }

  // The next object that nobody has decided yet, from one on and around: [number, label]; null for none.
  undecided(number, label, images) {
    const order = [...this.cells.keys()], at = order.indexOf(`${number}/${label}`);
    for (let turn = 1; turn < order.length; turn++) {
      const [place, one] = order[(at + turn) % order.length].split("/").map(Number), line = images[place];
      const cell = line.cells.find((other) => other.label === one);
      if (cell.review || !(cell.corrected || line.reviewed)) return [place, one];
    }
    return null;
  }
}
