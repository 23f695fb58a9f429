// The image with the outlines of its objects: zoom, selection, and what is drawn on it.
export class Spread {
  constructor(canvas, { onSelect, onDrawn, colour }) {
    this.canvas = canvas;
    this.context = canvas.getContext("2d");
    this.onSelect = onSelect;
    this.onDrawn = onDrawn;
    this.colour = colour;
    this.picture = null;
    this.shown = null;
    this.selected = new Set();
    this.mode = null; // {kind: "point" | "curve" | "outline", name}
    this.points = [];
    this.cursor = null;
    this.view = { scale: 1, x: 0, y: 0 };
    this.brightness = 1;
    new ResizeObserver(() => this.fit()).observe(canvas);
    canvas.addEventListener("pointerdown", (event) => this.down(event));
    canvas.addEventListener("pointermove", (event) => this.move(event));
    canvas.addEventListener("pointerup", (event) => this.up(event));
    canvas.addEventListener("wheel", (event) => { event.preventDefault(); this.zoom(Math.exp(-event.deltaY / 400), this.at(event)); }, { passive: false });
  }

  show(shown, picture) {
    const fresh = this.image !== shown.image;
    this.image = shown.image;
    this.shown = shown;
    this.paths = shown.objects.map((one) => [one, path(one.outline)]);
    this.marks = (shown.marks ?? []).map(path); // what belongs to an object, such as its micronuclei
    this.left = (shown.left_out ?? []).map((one) => path(one.outline));
    if (picture) this.picture = picture;
    if (fresh) { this.stop(); this.fit(); } else this.draw();
  }

  fit() {
    const { clientWidth: width, clientHeight: height } = this.canvas, dense = devicePixelRatio || 1;
    if (!width || !height) return;
    this.canvas.width = Math.round(width * dense);
    this.canvas.height = Math.round(height * dense);
    if (!this.shown) return;
    const scale = Math.min(width / this.shown.width, height / this.shown.height) * 0.98;
    this.view = { scale, x: (width - scale * this.shown.width) / 2, y: (height - scale * this.shown.height) / 2 };
    this.draw();
  }

  zoom(factor, [x, y] = [this.shown.width / 2, this.shown.height / 2]) {
    const view = this.view, scale = Math.min(Math.max(view.scale * factor, 0.05), 60);
    this.view = { scale, x: view.x + x * (view.scale - scale), y: view.y + y * (view.scale - scale) };
    this.draw();
  }

  // Brighter or darker, for what is faint beside what is bright.
  light(factor) {
    this.brightness = Math.min(Math.max(this.brightness * factor, 0.3), 12);
    this.draw();
  }

  // Brings an object into view if it is not.
  reveal(label) {
    const one = this.shown?.objects.find((object) => object.label === label);
    if (!one?.outline.length) return;
    const [x, y] = centre(one.outline), { scale } = this.view, { clientWidth: width, clientHeight: height } = this.canvas;
    const u = this.view.x + x * scale, v = this.view.y + y * scale;
    const { x: left, y: top } = this.view, right = left + this.shown.width * scale, bottom = top + this.shown.height * scale;
    const whole = left >= 0 && top >= 0 && right <= width && bottom <= height; // all of it is there
    if (!whole && (u < 20 || v < 20 || u > width - 20 || v > height - 20)) this.view = { scale, x: width / 2 - x * scale, y: height / 2 - y * scale };
    this.draw();
  }

  at(event) {
    const box = this.canvas.getBoundingClientRect();
    return [(event.clientX - box.left - this.view.x) / this.view.scale, (event.clientY - box.top - this.view.y) / this.view.scale];
  }

  start(mode) { this.mode = mode; this.points = []; this.cursor = this.middle(); this.canvas.focus(); this.draw(); }
  stop() { this.mode = null; this.points = []; this.cursor = null; this.draw(); }
  middle() {
    const label = [...this.selected][0], one = this.shown.objects.find((object) => object.label === label);
    if (one?.outline.length) return centre(one.outline).map(Math.round);
    const { clientWidth: width, clientHeight: height } = this.canvas;
    return [(width / 2 - this.view.x) / this.view.scale, (height / 2 - this.view.y) / this.view.scale].map(Math.round);
  }

  down(event) {
    if (!this.shown || event.button > 1) return;
    this.canvas.setPointerCapture(event.pointerId);
    this.from = { x: event.clientX, y: event.clientY, view: { ...this.view }, moved: false };
    if (this.mode && event.button === 0) { this.points = [this.at(event)]; this.cursor = null; }
  }
  move(event) {
    if (!this.from) return;
    const dx = event.clientX - this.from.x, dy = event.clientY - this.from.y;
    if (Math.hypot(dx, dy) > 3) this.from.moved = true;
    if (this.mode?.kind === "curve" || this.mode?.kind === "outline") {
      const [x, y] = this.at(event), [u, v] = this.points[this.points.length - 1];
      if (Math.hypot(x - u, y - v) * this.view.scale > 3) this.points.push([x, y]);
    } else if (!this.mode && this.from.moved) this.view = { ...this.view, x: this.from.view.x + dx, y: this.from.view.y + dy };
    this.draw();
  }
  up(event) {
    const from = this.from;
    this.from = null;
    if (!from) return;
    const place = this.at(event);
    if (this.mode) { this.finish(this.mode.kind === "point" ? [place] : this.points); return; }
    if (from.moved) return;
    const hit = this.hit(place);
    this.onSelect(hit, event.ctrlKey || event.metaKey || event.shiftKey, place);
  }

  // The cursor of the keyboard: arrows move it, Enter sets a point, Enter again at the same place ends.
  key(event) {
    if (!this.mode) return false;
    const step = event.shiftKey ? 10 : 1, ways = { ArrowLeft: [-step, 0], ArrowRight: [step, 0], ArrowUp: [0, -step], ArrowDown: [0, step] };
    if (event.key in ways) {
      const [x, y] = this.cursor ?? this.middle(), [dx, dy] = ways[event.key];
      this.cursor = [Math.min(Math.max(x + dx, 0), this.shown.width), Math.min(Math.max(y + dy, 0), this.shown.height)];
    } else if (event.key === "Enter") {
      const place = this.cursor ?? this.middle(), last = this.points[this.points.length - 1];
      if (this.mode.kind === "point") { this.finish([place]); return true; }
      if (last && Math.hypot(last[0] - place[0], last[1] - place[1]) < 0.5) { this.finish(this.points); return true; }
      this.points.push([...place]);
    } else if (event.key === "Escape") this.stop();
    else return false;
    this.draw();
    return true;
  }

  finish(points) {
    const mode = this.mode, least = { point: 1, curve: 2, outline: 3 }[mode.kind];
    this.stop();
    this.onDrawn(mode, points.length >= least ? points.map((point) => point.map((value) => Math.round(value * 100) / 100)) : null);
  }

  hit([x, y]) {
    this.context.setTransform(1, 0, 0, 1, 0, 0); // places and outlines are those of the image; a transform would move the outlines
    const found = this.paths.filter(([, shape]) => this.context.isPointInPath(shape, x, y, "evenodd"));
    const [one] = found.sort(([a], [b]) => extent(a.outline) - extent(b.outline)); // of those that overlap the smallest
    if (one) return { label: one[0].label };
    const left = this.left.findIndex((shape) => this.context.isPointInPath(shape, x, y, "evenodd"));
    return left >= 0 ? { left } : null;
  }

  draw() {
    if (this.due) return;
    this.due = true;
    requestAnimationFrame(() => { this.due = false; this.paint(); });
  }
  paint() {
    const { context, view } = this, dense = devicePixelRatio || 1;
    context.setTransform(1, 0, 0, 1, 0, 0);
    context.clearRect(0, 0, this.canvas.width, this.canvas.height);
    if (!this.shown) return;
    context.setTransform(view.scale * dense, 0, 0, view.scale * dense, view.x * dense, view.y * dense);
    context.imageSmoothingEnabled = view.scale < 3;
    context.filter = this.brightness === 1 ? "none" : `brightness(${this.brightness})`;
    if (this.picture) context.drawImage(this.picture, 0, 0, this.shown.width, this.shown.height);
    context.filter = "none";
    const line = 1.5 / view.scale;
    context.setLineDash([4 / view.scale, 3 / view.scale]);
    context.lineWidth = line;
    context.strokeStyle = "#9aa4b2";
    for (const shape of this.left) context.stroke(shape);
    context.setLineDash([]);
    for (const [one, shape] of this.paths) {
      context.strokeStyle = this.colour(one);
      context.lineWidth = this.selected.has(one.label) ? 3 * line : line;
      if (this.selected.has(one.label)) { context.fillStyle = "rgba(90,170,255,.25)"; context.fill(shape, "evenodd"); }
      context.stroke(shape);
    }
    context.strokeStyle = "#fff04d";
    context.lineWidth = 0.8 * line;
    for (const shape of this.marks) context.stroke(shape);
    this.names(line);
    if (this.mode) this.drawn(line);
  }
  // Names where there is room for them, those selected and those to review first.
  names(line) {
    const { context, view } = this, size = Math.max(12 / view.scale, 1), taken = [];
    context.font = `600 ${size}px system-ui, sans-serif`;
    context.lineWidth = 3 * line;
    const rank = (one) => (this.selected.has(one.label) ? 0 : one.review ? 1 : 2);
    for (const [one] of [...this.paths].sort(([a], [b]) => rank(a) - rank(b))) {
      const [left, bottom] = rightTop(one.outline), text = one.name ?? (one.class === "unassigned" ? "?" : one.class);
      // A word longer than its object would hide the neighbours, a number where it is much longer.
      const longest = (text.length > 3 ? 1.2 : 2) * Math.sqrt(extent(one.outline));
      if (rank(one) > 0 && context.measureText(text).width > longest) continue;
      const box = [left, bottom - size, left + context.measureText(text).width, bottom];
      const hidden = taken.some((other) => box[0] < other[2] && other[0] < box[2] && box[1] < other[3] && other[1] < box[3]);
      if (hidden && rank(one) > 0) continue; // nearer, it is there: the outline's colour tells the class meanwhile
      taken.push(box);
      context.strokeStyle = "rgba(8,10,14,.85)";
      context.strokeText(text, left, bottom);
      context.fillStyle = one.corrected ? "#6fe0a0" : one.review ? "#ffb066" : "#ffffff";
      context.fillText(text, left, bottom);
    }
  }
  drawn(line) {
    const { context } = this;
    context.strokeStyle = "#ff4fd8";
    context.lineWidth = 2 * line;
    if (this.points.length) {
      context.beginPath();
      this.points.forEach(([x, y], index) => (index ? context.lineTo(x, y) : context.moveTo(x, y)));
      if (this.cursor) context.lineTo(...this.cursor);
      context.stroke();
    }
    if (this.cursor) {
      const [x, y] = this.cursor, arm = 9 / this.view.scale;
      context.beginPath();
      context.moveTo(x - arm, y); context.lineTo(x + arm, y); context.moveTo(x, y - arm); context.lineTo(x, y + arm);
      context.stroke();
    }
  }
}

function path(outline) {
  const shape = new Path2D();
  for (const ring of outline) { ring.forEach(([x, y], index) => (index ? shape.lineTo(x, y) : shape.moveTo(x, y))); shape.closePath(); }
  return shape;
}
const every = (outline) => outline.flat();
const rightTop = (outline) => every(outline).reduce((best, point) => (point[0] - point[1] > best[0] - best[1] ? point : best), [-Infinity, 0]);
function extent(outline) {
  const points = every(outline), xs = points.map(([x]) => x), ys = points.map(([, y]) => y);
  return (Math.max(...xs) - Math.min(...xs)) * (Math.max(...ys) - Math.min(...ys));
}
function centre(outline) {
  const points = every(outline);
  return [0, 1].map((axis) => points.reduce((sum, point) => sum + point[axis], 0) / points.length);
}
