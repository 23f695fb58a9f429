(() => {
  "use strict";
  const root = document.documentElement;
  const KEY = "cellscope-theme";
  const PRINT_ROWS = 100; // a printed table longer than this helps nobody; the note says where the rest is
  const PRINT_CHARACTERS = 120; // what fits across an A4 page at the printed size
  const PRINT_CELL = 34; // longer text is wrapped
  root.classList.add("js");

  // A file opened from disk may not be allowed to remember anything; the page works without.
  const remembered = (value) => {
    try {
      if (value === undefined) return localStorage.getItem(KEY);
      localStorage.setItem(KEY, value);
    } catch { /* not remembered */ }
    return null;
  };
  const isDark = () => root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  const saved = remembered();
  if (saved === "dark" || saved === "light") root.dataset.theme = saved;

  function setUpTheme() {
    const button = document.getElementById("theme");
    const show = () => { button.textContent = isDark() ? "Light" : "Dark"; button.setAttribute("aria-label", `Switch to ${isDark() ? "light" : "dark"} colours`); };
    button.addEventListener("click", () => { root.dataset.theme = isDark() ? "light" : "dark"; remembered(root.dataset.theme); show(); });
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", show);
    show();
    document.getElementById("print").addEventListener("click", () => window.print());
  }

  const words = (text) => text.toLowerCase().split(/\s+/).filter(Boolean);
  const collator = new Intl.Collator(undefined, { numeric: true, sensitivity: "base" });

  // Numbers before text, empty cells last whichever way the column is sorted.
  function keyOf(cell) {
    const text = cell.dataset.v ?? cell.textContent.trim();
    if (text === "") return { rank: 2 };
    const number = text === "∞" ? Infinity : text === "−∞" ? -Infinity : Number(text);
    return Number.isNaN(number) ? { rank: 1, text } : { rank: 0, number };
  }
  function order(a, b, direction) {
    if (a.rank === 2 || b.rank === 2) return a.rank - b.rank;
    if (a.rank !== b.rank) return (a.rank - b.rank) * direction;
    if (a.rank === 0) return (a.number < b.number ? -1 : a.number > b.number ? 1 : 0) * direction;
    return collator.compare(a.text, b.text) * direction;
  }

  function setUpTable(section) {
    const table = section.querySelector("table");
    const body = table.tBodies[0];
    const heads = [...table.tHead.rows[0].cells];
    const original = [...body.rows];
    heads.forEach((head, column) => head.querySelector("button").addEventListener("click", () => {
      const now = head.getAttribute("aria-sort");
      const next = now === "none" ? "ascending" : now === "ascending" ? "descending" : "none";
      heads.forEach((other) => other.setAttribute("aria-sort", "none"));
      head.setAttribute("aria-sort", next);
      let rows = original;
      if (next !== "none") {
        const direction = next === "ascending" ? 1 : -1;
        rows = original.map((row) => [keyOf(row.cells[column]), row]).sort((a, b) => order(a[0], b[0], direction)).map((pair) => pair[1]);
      }
      body.append(...rows);
    }));
    section.querySelector(".unfold")?.addEventListener("change", (event) => table.classList.toggle("folded", !event.target.checked));
    const input = section.querySelector("input[type=search]");
    if (!input) return;
    const output = section.querySelector("output");
    let texts = null;
    input.addEventListener("input", () => {
      texts ??= original.map((row) => [...row.cells].map((cell) => cell.textContent).join("\n").toLowerCase());
      const wanted = words(input.value);
      let left = 0;
      original.forEach((row, number) => {
        row.hidden = !wanted.every((word) => texts[number].includes(word));
        left += !row.hidden;
      });
      output.textContent = wanted.length ? `${left} of ${original.length} rows` : "";
    });
  }

  function setUpCards() {
    const cards = [...document.querySelectorAll(".card")];
    const input = document.getElementById("find-card");
    if (!input) return;
    const size = Number(document.querySelector(".cards").dataset.page);
    const pagers = [...document.querySelectorAll(".pager")];
    let page = 0;
    // The cards that the filter leaves, `size` at a time.
    const turn = (to) => {
      const left = cards.filter((card) => !card.hidden);
      const last = Math.max(0, Math.ceil(left.length / size) - 1);
      page = Math.min(Math.max(0, to), last);
      left.forEach((card, number) => card.classList.toggle("later", Math.floor(number / size) !== page));
      for (const pager of pagers) {
        pager.hidden = last === 0;
        pager.querySelector("output").textContent = `${page * size + 1} to ${Math.min((page + 1) * size, left.length)} of ${left.length}`;
        pager.querySelector("[data-turn='-1']").disabled = page === 0;
        pager.querySelector("[data-turn='1']").disabled = page === last;
      }
    };
    pagers.forEach((pager, below) => pager.addEventListener("click", (event) => {
      const by = event.target.closest("[data-turn]")?.dataset.turn;
      if (!by) return;
      turn(page + Number(by));
      if (below) document.getElementById("s-images").scrollIntoView();
    }));
    const reach = () => { // a link to a card must lead somewhere, whatever the filter and the page are
      const card = document.getElementById(decodeURIComponent(location.hash.slice(1)));
      if (!card?.classList.contains("card")) return;
      if (card.hidden) {
        input.value = "";
        if (only) only.checked = false;
        apply();
      }
      turn(Math.floor(cards.filter((one) => !one.hidden).indexOf(card) / size));
      card.scrollIntoView();
    };
    const only = document.getElementById("only-flagged");
    const output = document.getElementById("cards-left");
    const texts = cards.map((card) => card.textContent.toLowerCase());
    const apply = () => {
      const wanted = words(input.value);
      let left = 0;
      cards.forEach((card, number) => {
        card.hidden = !(wanted.every((word) => texts[number].includes(word)) && (!only?.checked || card.querySelector(".warnings")));
        left += !card.hidden;
      });
      output.textContent = left < cards.length ? `${left} of ${cards.length} shown` : "";
      turn(0);
    };
    input.addEventListener("input", apply);
    only?.addEventListener("change", apply);
    addEventListener("hashchange", reach);
    turn(0);
    if (location.hash) reach();
    document.getElementById("show-flagged")?.addEventListener("click", () => { only.checked = true; apply(); });
  }

  function setUpGallery() {
    const gallery = document.querySelector(".gallery");
    if (!gallery) return;
    const cells = [...gallery.children];
    const sort = document.getElementById("gallery-sort");
    const open = document.getElementById("gallery-open");
    const save = document.getElementById("gallery-save");
    const output = document.getElementById("gallery-left");
    const p = (cell) => Number(cell.dataset.p);
    const orders = {
      unsure: (a, b) => b.classList.contains("unsure") - a.classList.contains("unsure") || p(b) - p(a),
      down: (a, b) => p(b) - p(a),
      up: (a, b) => p(a) - p(b),
      image: (a, b) => collator.compare(a.dataset.image, b.dataset.image) || a.dataset.label - b.dataset.label,
    };
    const decided = () => cells.filter((cell) => cell.dataset.decision);
    let saved = true;
    function apply() {
      cells.forEach((cell) => { cell.hidden = open.checked && Boolean(cell.dataset.decision); });
      const count = decided().length;
      save.disabled = !count;
      output.textContent = count ? `${count} of ${cells.length} decided${saved ? ", saved" : ""}` : "";
    }
    const arrange = () => gallery.append(...[...cells].sort(orders[sort.value]));
    sort.addEventListener("change", arrange);
    open.addEventListener("change", apply);
    gallery.addEventListener("click", (event) => {
      const button = event.target.closest("[data-decide]");
      if (!button) return;
      const cell = button.closest(".cell");
      if (cell.dataset.decision === button.dataset.decide) delete cell.dataset.decision;
      else cell.dataset.decision = button.dataset.decide;
      cell.querySelectorAll("[data-decide]").forEach((other) => other.setAttribute("aria-pressed", String(other.dataset.decide === cell.dataset.decision)));
      saved = false;
      apply();
    });
    const quote = (text) => /[",\n\r]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
    save.addEventListener("click", () => {
      const lines = ["image,label,centroid-0,centroid-1,class,decision,probability"];
      for (const { dataset: d } of decided()) {
        lines.push([d.image, d.label, d.row, d.column, d.decision === "accept" ? d.class : d.other, d.decision, d.p].map(quote).join(","));
      }
      const link = document.createElement("a");
      link.href = URL.createObjectURL(new Blob([lines.join("\n") + "\n"], { type: "text/csv" }));
      link.download = "corrections.csv";
      link.click();
      setTimeout(() => URL.revokeObjectURL(link.href), 1000);
      saved = true;
      apply();
    });
    addEventListener("beforeunload", (event) => { if (!saved) event.preventDefault(); });
    arrange();
  }

  function setUpLightbox() {
    const dialog = document.getElementById("lightbox");
    const picture = dialog.querySelector("img");
    const caption = dialog.querySelector("p");
    const file = dialog.querySelector("a");
    let current = null;
    const reachable = () => [...document.querySelectorAll(".zoom")].filter((button) => !button.closest("[hidden]"));
    function show(button) {
      current = button;
      const small = button.querySelector("img");
      const card = button.closest(".card");
      picture.src = small.src;
      picture.alt = small.alt;
      picture.className = small.classList.contains("pixelated") ? "pixelated fill" : "";
      caption.textContent = [card?.querySelector("h3").textContent, button.dataset.caption].filter(Boolean).join(" · ");
      file.hidden = !button.dataset.href;
      if (button.dataset.href) file.href = button.dataset.href; else file.removeAttribute("href");
    }
    function step(by) {
      const all = reachable();
      if (all.length) show(all[(all.indexOf(current) + by + all.length) % all.length]);
    }
    document.addEventListener("click", (event) => {
      const button = event.target.closest(".zoom");
      if (button) { show(button); dialog.showModal(); dialog.querySelector('[data-do="close"]').focus(); }
    });
    dialog.addEventListener("click", (event) => {
      const action = event.target.closest("[data-do]")?.dataset.do;
      if (event.target === dialog || action === "close") dialog.close();
      else if (action) step(action === "next" ? 1 : -1);
    });
    dialog.addEventListener("keydown", (event) => {
      if (event.key === "ArrowRight" || event.key === "ArrowLeft") { event.preventDefault(); step(event.key === "ArrowRight" ? 1 : -1); }
    });
    dialog.addEventListener("close", () => { picture.removeAttribute("src"); if (current?.isConnected) current.focus(); });
  }

  // Paper does not scroll: tables wider than the page are printed in blocks of columns, each with the first column again.
  function blocks(table, rows) {
    const heads = [...table.tHead.rows[0].cells];
    const folded = table.classList.contains("folded");
    const widths = heads.map((head, column) => folded && head.classList.contains("fold") ? 0 : 2 + Math.min(PRINT_CELL, Math.max(
      head.textContent.trim().length, ...rows.map((row) => row.cells[column].textContent.trim().length))));
    const result = widths.length > 1 ? [] : [[0]];
    let used = Infinity;
    for (let column = 1; column < widths.length; column++) {
      if (!widths[column]) continue;
      if (used + widths[column] > PRINT_CHARACTERS) { result.push([0]); used = widths[0]; }
      result.at(-1).push(column);
      used += widths[column];
    }
    return result;
  }
  let undo = [];
  function beforePrint() {
    if (undo.length) return;
    // Tables run to many pages, and a file holds them: on paper only for who asks.
    if (!document.getElementById("print-tables")?.checked) {
      document.querySelectorAll("section.table, #s-provenance").forEach((section) => {
        section.classList.add("no-print");
        undo.push(() => section.classList.remove("no-print"));
      });
      return;
    }
    document.querySelectorAll("details:not([open]):not(.widget)").forEach((details) => { details.open = true; undo.push(() => { details.open = false; }); });
    document.querySelectorAll(".table table").forEach((table) => {
      const visible = [...table.tBodies[0].rows].filter((row) => !row.hidden);
      const rows = visible.slice(0, PRINT_ROWS);
      const made = [];
      if (visible.length > rows.length) {
        const note = document.createElement("p");
        note.className = "print-only note";
        note.textContent = `The first ${rows.length} of ${visible.length} rows are printed; the CSV file holds all of them.`;
        made.push(note);
      }
      for (const columns of blocks(table, rows)) {
        const copy = document.createElement("table");
        const plain = (cell) => {
          const result = cell.cloneNode(false);
          result.removeAttribute("aria-sort");
          result.textContent = cell.textContent.trim();
          result.classList.toggle("free", result.textContent.length > PRINT_CELL);
          return result;
        };
        const head = copy.createTHead().insertRow();
        head.append(...columns.map((column) => plain(table.tHead.rows[0].cells[column])));
        const body = copy.createTBody();
        rows.forEach((row) => body.insertRow().append(...columns.map((column) => plain(row.cells[column]))));
        made.push(copy);
      }
      table.classList.add("no-print");
      table.before(...made);
      undo.push(() => { table.classList.remove("no-print"); made.forEach((part) => part.remove()); });
    });
  }
  function afterPrint() { undo.forEach((step) => step()); undo = []; }

  document.addEventListener("DOMContentLoaded", () => {
    setUpTheme();
    document.querySelectorAll(".table").forEach(setUpTable);
    setUpCards();
    setUpGallery();
    setUpLightbox();
    addEventListener("beforeprint", beforePrint);
    addEventListener("afterprint", afterPrint);
  });
})();
