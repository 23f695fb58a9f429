// What can be done, by which key, on which page.
export function tools(room) {
  const { state, page } = room, picked = room.labels(), gallery = page() === "gallery";
  const can = (name) => state.run.tools.includes(name) && (!gallery || ["class", "confirm"].includes(name));
  const one = picked.length === 1, some = picked.length > 0, all = [];
  const add = (name, keys, help, act, more = {}) => all.push({ name, keys, help, act, ready: true, shown: more.shown ?? keys.map(said).join(" or "), ...more });
  add("confirm", ["Enter"], "Confirm what is selected and go on; with nothing selected: the image is reviewed", () => room.confirm(), { label: "Confirm" });
  add("review", ["n"], "Next to review", () => room.nextToReview(), { label: "Next to review" });
  if (can("flip")) add("flip", ["f"], "Turn by half a turn", () => room.each(({ label }) => ({ do: "flip", label })), { label: "Flip", ready: some });
  if (can("turn")) {
    add("turn", ["t"], "Turn by 5 degrees clockwise", () => room.each(({ label }) => ({ do: "turn", label, degrees: 5 })), { label: "Turn", ready: some });
    add("turn back", ["T"], "Turn back by 5 degrees", () => room.each(({ label }) => ({ do: "turn", label, degrees: -5 })), { ready: some, shown: "Shift T" });
  }
  if (can("join")) add("join", ["j"], "Make one of those selected", () => room.edit({ do: "join", labels: room.labels() }, "Joined."), { label: "Join", ready: picked.length > 1, missing: "Select two or more first (Ctrl click)." });
  if (can("split")) add("split", ["s"], "Cut in two along a drawn line or curve", () => room.draw("curve", "split", "Draw the cut with the mouse, or move the cross with the arrow keys: Enter sets a point, Enter again ends. Escape cancels."), { label: "Split", ready: one, missing: "Select one object first." });
  if (can("outline")) add("outline", ["o"], "Draw another outline for what is selected; it may share pixels with others", () => room.draw("outline", "outline", "Draw around it; arrow keys and Enter set points. Escape cancels."), { label: "Redraw", ready: one, missing: "Select one object first." });
  if (can("add")) {
    add("add", ["a"], "Add what was missed: point at it", () => room.draw("point", "add", "Click what was missed, or move the cross with the arrow keys and press Enter. Escape cancels."), { label: "Add" });
    add("draw", ["d"], "Add what was missed: draw around it", () => room.draw("outline", "add", "Draw around what was missed; arrow keys and Enter set points. Escape cancels."), { label: "Draw" });
  }
  if (can("scorable")) add("scorable", ["v"], "Can be scored, or cannot", () => room.each(({ label, scorable }) => ({ do: "scorable", label, value: !scorable })), { label: "Scorable", ready: some });
  if (can("remove")) add("remove", ["Delete", "Backspace"], "Take out", async () => { for (const label of room.labels()) await room.edit({ do: "remove", label }, "Removed."); }, { label: "Remove", ready: some });
  if (page() === "karyotype") {
    add("beside", ["b"], "Keep this cell beside the next ones, or let it go", () => room.pin(), { label: state.pinned ? "One cell" : "Beside" });
    if (state.run.sheet) add("pdf", ["p"], "The karyogram as a PDF of one page", () => room.sheet(), { label: "PDF" });
    add("class x", ["x"], "Class X", () => room.give("X"), { ready: some });
    add("class y", ["y"], "Class Y", () => room.give("Y"), { ready: some });
    add("class none", ["u"], "Unassigned", () => room.give("unassigned"), { ready: some });
  }
  const numbered = state.run.classes.every((name) => !/^\d/.test(name));
  if (gallery) state.run.classes.forEach((name, index) => {
    const key = name[0].toLowerCase();
    if (key === "n" || /\d/.test(key)) return; // n goes on; numbers are typed
    add(`class ${name}`, [key], `Class ${name}`, () => room.give(name), { shown: numbered ? `${said(key)} or ${index + 1}` : said(key) });
  });
  add("right", ["ArrowRight"], "Next object", () => room.walk(1), { shown: "arrow keys" });
  add("left", ["ArrowLeft"], "Object before", () => room.walk(-1), { shown: "arrow keys" });
  add("down", ["ArrowDown"], gallery ? "Object below" : "Next object", () => room.walk(1, true), { shown: "arrow keys" });
  add("up", ["ArrowUp"], gallery ? "Object above" : "Object before", () => room.walk(-1, true), { shown: "arrow keys" });
  add("next image", ["]", "PageDown"], "Next image", () => room.open(1));
  add("image before", ["[", "PageUp"], "Image before", () => room.open(-1));
  add("reviewed", ["R"], "The image was looked at, or was not", () => room.reviewed(), { shown: "Shift R" });
  add("undo", ["Ctrl+z"], "Take back the last change of this image", () => room.change({ undo: true }, "Undone."), { ready: state.shown.can_undo, missing: "There is nothing to take back." });
  add("redo", ["Ctrl+y", "Ctrl+Z"], "Make it again", () => room.change({ redo: true }, "Made again."), { ready: state.shown.can_redo, missing: "There is nothing to make again." });
  if (!gallery) add("closer", ["+", "="], "Closer", () => room.spread.zoom(1.4));
  if (!gallery) add("farther", ["-"], "Farther", () => room.spread.zoom(1 / 1.4));
  if (!gallery) add("brighter", ["."], "Brighter", () => room.spread.light(1.25));
  if (!gallery) add("darker", [","], "Darker", () => room.spread.light(1 / 1.25));
  if (!gallery) add("whole", ["Home"], "The whole image, as bright as it is", () => room.whole());
  add("escape", ["Escape"], "Select nothing", () => room.select(null));
  add("keys", ["?"], "These keys", () => document.getElementById("help").click());
  return all;
}

const said = (key) => key.replace("Ctrl+Z", "Ctrl Shift Z").replace("Ctrl+", "Ctrl ").replace(/Ctrl (\w)$/, (_, name) => `Ctrl ${name.toUpperCase()}`);

export function keyHelp(room) {
  const digits = room.state.run.tools.includes("count") && room.page() === "objects" ? ["0 to 9", "Number of micronuclei"] : ["1, 2, ...", "Class by its number"];
  return [...tools(room).map((tool) => [tool.shown, tool.help]), digits, ...(room.page() === "gallery" ? [] : [["Ctrl click", "Select several"], ["wheel, drag", "Zoom and move the image"]])];
}
