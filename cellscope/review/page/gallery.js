// A gallery: one picture per object, decided by key.
export class Gallery {
  constructor(place, { onSelect, source }) {
    this.place = place;
    this.onSelect = onSelect;
    this.source = source;
    this.cells = new Map();
  }

  list(images) {
    this.place.replaceChildren(...images.map((line, number) => {
      const cell = document.createElement("button");
      cell.className = "strip";
      cell.dataset.number = number;
      const picture = Object.assign(document.createElement("img"), { loading: "lazy", alt: "", src: this.source(number) });
      const call = Object.assign(document.createElement("span"), { className: "call" });
      cell.append(picture, call, Object.assign(document.createElement("span"), { textContent: ` ${line.image}` }));
      cell.addEventListener("click", () => this.onSelect(number));
      this.cells.set(number, cell);
      return cell;
    }));
  }

  mark(current, images) {
    images.forEach((line, number) => {
      const cell = this.cells.get(number);
      cell.setAttribute("aria-pressed", String(number === current));
      cell.classList.toggle("review", line.review > 0);
      cell.classList.toggle("corrected", line.corrected > 0);
      cell.querySelector(".call").textContent = line.call + (line.reviewed ? " ✓" : "");
    });
    this.cells.get(current)?.scrollIntoView({ block: "nearest" });
  }
}
