"use strict";
// Column heads become buttons that sort their table; empty cells stay last either way.
function key(row, column) {
  const text = row.cells[column].dataset.sort;
  const number = Number(text);
  return { missing: text === "" || text === "nan", number, isText: Number.isNaN(number), text };
}
function compare(a, b, sign) {
  if (a.missing || b.missing) return a.missing - b.missing;
  if (a.isText || b.isText) return sign * a.text.localeCompare(b.text, undefined, { numeric: true });
  return sign * (a.number - b.number);
}
function sort(table, column, head) {
  const direction = head.getAttribute("aria-sort") === "ascending" ? "descending" : "ascending";
  const sign = direction === "ascending" ? 1 : -1;
  for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
  head.setAttribute("aria-sort", direction);
  const body = table.tBodies[0];
  const rows = Array.from(body.rows, (row) => [key(row, column), row]);
  rows.sort((a, b) => compare(a[0], b[0], sign));
  body.append(...rows.map((pair) => pair[1]));
}
for (const table of document.querySelectorAll("table")) {
  Array.from(table.tHead.rows[0].cells).forEach((head, column) => {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...head.childNodes);
    button.addEventListener("click", () => sort(table, column, head));
    head.append(button);
  });
}
// Entries of a legend become buttons that hide and show their line; a double click shows that line alone.
function show(figure, place, shown) {
  const button = figure.querySelector(`[data-line="${place}"] button`);
  button.setAttribute("aria-pressed", String(shown));
  for (const part of ["interval", "path", "markers"]) {
    for (const mark of figure.querySelectorAll(`.line${place}_${part}_marks`)) mark.style.display = shown ? "" : "none";
  }
}
for (const figure of document.querySelectorAll(".plot")) {
  const entries = Array.from(figure.querySelectorAll("[data-line]"));
  if (entries.length < 2) continue;
  for (const entry of entries) {
    const button = document.createElement("button");
    button.type = "button";
    button.title = "Click to hide or show, double click for this line alone";
    button.append(...entry.childNodes);
    button.addEventListener("click", () => show(figure, entry.dataset.line, button.getAttribute("aria-pressed") !== "true"));
    button.addEventListener("dblclick", () => {
      const alone = entries.every((e) => e === entry || e.firstChild.getAttribute("aria-pressed") === "false");
      for (const e of entries) show(figure, e.dataset.line, alone || e === entry);
    });
    entry.append(button);
    show(figure, entry.dataset.line, true);
  }
}
// Paper cannot be unfolded; only the pictures that are more of the same stay away from it.
const folded = [];
addEventListener("beforeprint", () => {
  for (const details of document.querySelectorAll("details:not([open], .more)")) {
    details.open = true;
    folded.push(details);
  }
});
addEventListener("afterprint", () => folded.splice(0).forEach((details) => { details.open = false; }));
// While a sweep runs the page loads itself again, as long as it is looked at; what was unfolded stays so.
const seconds = Number(document.documentElement.dataset.reload);
const unfolded = "ndabench unfolded";
function foldable() {
  return Array.from(document.querySelectorAll("details"));
}
function name(details) {
  return details.id || details.querySelector("summary").textContent;
}
function again() {
  if (document.hidden) {
    document.addEventListener("visibilitychange", again, { once: true });
    return;
  }
  sessionStorage.setItem(unfolded, JSON.stringify(foldable().filter((d) => d.open).map(name)));
  location.reload();
}
// Such a page says how old it is: the program that writes it may have been stopped.
function age(since) {
  const passed = Math.max(0, Math.round((Date.now() - since) / 1000));
  if (passed < 120) return `${passed} s ago`;
  return passed < 7200 ? `${Math.round(passed / 60)} min ago` : `${Math.round(passed / 3600)} h ago`;
}
if (seconds) {
  for (const place of document.querySelectorAll("dd[data-time]")) {
    const text = place.textContent;
    const show = () => { place.textContent = `${text}, ${age(Date.parse(place.dataset.time))}`; };
    show();
    setInterval(show, 1000);
  }
  const names = JSON.parse(sessionStorage.getItem(unfolded) || "[]");
  for (const details of foldable()) if (names.includes(name(details))) details.open = true;
  setTimeout(again, 1000 * seconds);
}
