"use strict";
// Scores stay in the page, and in the browser's storage where it has one, until they are saved as a table.
document.addEventListener("DOMContentLoaded", () => {
  const cells = [...document.querySelectorAll("figure")];
  const left = document.getElementById("left");
  const save = document.getElementById("save");
  const key = "cellscope-audit:" + cells.map((cell) => cell.dataset.image + "/" + cell.dataset.label).join("|");
  const stored = (action) => { try { return action(); } catch { return null; } };
  let scores = stored(() => JSON.parse(localStorage.getItem(key))) || {};
  let current = 0;
  const show = () => {
    cells.forEach((cell, place) => {
      const score = scores[place];
      cell.classList.toggle("scored", score !== undefined);
      cell.classList.toggle("current", place === current);
      cell.querySelectorAll("button").forEach((one) => one.setAttribute("aria-pressed", String(one.value === score)));
    });
    const count = Object.keys(scores).length;
    left.textContent = `${count} of ${cells.length} scored`;
    save.disabled = !count;
  };
  const go = (place) => {
    current = Math.min(Math.max(place, 0), cells.length - 1);
    show();
    cells[current].scrollIntoView({ block: "nearest" });
  };
  const score = (place, value) => {
    if (scores[place] === value) delete scores[place];
    else scores[place] = value;
    stored(() => localStorage.setItem(key, JSON.stringify(scores)));
    go(scores[place] === undefined ? place : place + 1);
  };
  cells.forEach((cell, place) => cell.addEventListener("click", (event) => {
    const button = event.target.closest("button");
    if (button) score(place, button.value);
    else go(place);
  }));
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (/^[0-3]$/.test(event.key)) score(current, event.key);
    else if (event.key === "x") score(current, "x");
    else if (event.key === "ArrowRight") go(current + 1);
    else if (event.key === "ArrowLeft") go(current - 1);
    else return;
    event.preventDefault();
  });
  const quoted = (text) => '"' + text.replaceAll('"', '""') + '"';
  save.addEventListener("click", () => {
    const rows = cells.map((cell, place) => [quoted(cell.dataset.image), cell.dataset.label, scores[place] ?? ""].join(","));
    const file = new Blob(["image,label,micronuclei\n" + rows.join("\n") + "\n"], { type: "text/csv" });
    const link = document.createElement("a");
    link.href = URL.createObjectURL(file);
    link.download = "audit-scores.csv";
    link.click();
  });
  show();
});
