"use strict";
function action(text, act) {
  const button = document.createElement("button");
  button.type = "button";
  button.textContent = text;
  button.addEventListener("click", act);
  return button;
}
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
for (const table of document.querySelectorAll("table:not(.wall)")) {
  Array.from(table.tHead.rows[0].cells).forEach((head, column) => {
    const button = action("", () => sort(table, column, head));
    button.append(...head.childNodes);
    head.append(button);
  });
}
// Below each table are buttons that copy the rows shown; above a long one is a field that filters them.
function shown(cell) {
  const copy = cell.cloneNode(true);
  for (const aloud of copy.querySelectorAll(".aloud")) aloud.remove();
  return copy.textContent.trim();
}
function lines(table) {
  const rows = [table.tHead.rows[0], ...table.tBodies[0].rows].filter((row) => !row.hidden);
  return rows.map((row) => Array.from(row.cells, shown));
}
function csv(table) {
  const cell = (text) => (/[",\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text);
  return lines(table).map((line) => line.map((text) => cell(text.replaceAll("−", "-"))).join(",") + "\n").join("");
}
const LATEX = {
  "\\": "\\textbackslash{}", "~": "\\textasciitilde{}", "^": "\\textasciicircum{}", "<": "$<$", ">": "$>$", "λ": "$\\lambda$",
  "↓": "$\\downarrow$", "↑": "$\\uparrow$", "±": "$\\pm$", "≈": "$\\approx$", "×": "$\\times$", "★": "$\\star$", "−": "$-$", "—": "---",
};
function latex(table) {
  const cell = (text) => text.replace(/[\\~^<>λ↓↑±≈×★−—&%$#_{}]/g, (sign) => LATEX[sign] || `\\${sign}`);
  const [head, ...rows] = lines(table).map((line) => line.map(cell).join(" & ") + " \\\\");
  const columns = Array.from(table.tHead.rows[0].cells, (head) => (head.classList.contains("number") ? "r" : "l")).join("");
  const parts = [`\\begin{tabular}{${columns}}`, "\\toprule", head, "\\midrule", ...rows, "\\bottomrule", "\\end{tabular}", ""];
  return parts.join("\n");
}
async function copy(text, button) {
  try {
    await navigator.clipboard.writeText(text);
  } catch { // a page that is not from this machine has no clipboard
    const area = document.createElement("textarea");
    area.value = text;
    document.body.append(area);
    area.select();
    document.execCommand("copy");
    area.remove();
  }
  const name = button.textContent;
  button.textContent = "Copied";
  setTimeout(() => { button.textContent = name; }, 1500);
}
function filter(table, words, count) {
  const rows = Array.from(table.tBodies[0].rows);
  for (const row of rows) row.hidden = !words.every((word) => row.textContent.toLowerCase().includes(word));
  const left = rows.filter((row) => !row.hidden).length;
  count.textContent = words.length ? `${left} of ${rows.length} rows` : "";
}
for (const region of document.querySelectorAll(".scroll")) {
  const table = region.querySelector("table:not(.wall)");
  if (!table) continue;
  const tools = document.createElement("p");
  tools.className = "tools";
  for (const [name, form] of [["CSV", csv], ["LaTeX", latex]]) {
    const button = action(`Copy as ${name}`, () => copy(form(table), button));
    tools.append(button);
  }
  region.after(tools);
  if (table.tBodies[0].rows.length <= 15) continue;
  const field = document.createElement("input");
  const count = document.createElement("span");
  field.type = "search";
  field.placeholder = "Filter rows";
  field.setAttribute("aria-label", `Filter rows: ${region.getAttribute("aria-label")}`);
  count.setAttribute("role", "status");
  field.addEventListener("input", () => filter(table, field.value.toLowerCase().split(/\s+/).filter(Boolean), count));
  const bar = document.createElement("p");
  bar.className = "filter";
  bar.append(field, count);
  region.before(bar);
}
// Entries of a legend become buttons that hide and show their line; a double click shows that line alone. Entries of lines
// that are hidden at first have no use without a script, so they are hidden, too.
function show(figure, place, shown) {
  const button = figure.querySelector(`[data-line="${place}"] button`);
  button.setAttribute("aria-pressed", String(shown));
  for (const part of ["interval", "path", "markers"]) {
    for (const mark of figure.querySelectorAll(`.line${place}_${part}_marks`)) mark.style.display = shown ? "inline" : "none";
  }
}
for (const figure of document.querySelectorAll(".plot")) {
  const entries = Array.from(figure.querySelectorAll("[data-line]"));
  if (entries.length < 2) continue;
  const hiddenAtFirst = new Set(entries.filter((entry) => entry.hidden));
  for (const entry of entries) {
    const button = action("", () => show(figure, entry.dataset.line, button.getAttribute("aria-pressed") !== "true"));
    button.title = "Click to hide or show, double click for this line alone";
    button.append(...entry.childNodes);
    button.addEventListener("dblclick", () => {
      const alone = entries.every((e) => e === entry || e.firstChild.getAttribute("aria-pressed") === "false");
      for (const e of entries) show(figure, e.dataset.line, (alone && !hiddenAtFirst.has(e)) || e === entry);
    });
    entry.append(button);
    entry.hidden = false;
    show(figure, entry.dataset.line, !hiddenAtFirst.has(entry));
  }
}
// Of a group to choose from, one figure is shown; a figure with a later half can show that instead.
for (const group of document.querySelectorAll(".choice")) {
  const figures = Array.from(group.children);
  const select = document.createElement("select");
  select.setAttribute("aria-label", "Which figure to show");
  figures.forEach((figure, place) => select.append(new Option(figure.querySelector("figcaption").textContent, place)));
  const pick = () => figures.forEach((figure, place) => { figure.hidden = place !== Number(select.value); });
  select.addEventListener("change", pick);
  pick();
  if (figures.length > 1) group.before(select);
}
for (const later of document.querySelectorAll(".later")) {
  const whole = later.previousElementSibling;
  const button = action("Zoom in on the later half", () => {
    later.hidden = !later.hidden;
    whole.style.display = later.hidden ? "" : "none";
    button.setAttribute("aria-pressed", String(!later.hidden));
  });
  button.className = "zoom";
  button.setAttribute("aria-pressed", "false");
  later.after(button);
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
// While a sweep runs the page loads itself again, as long as it is looked at; what was unfolded, hidden, chosen,
// filtered and sorted stays so.
const seconds = Number(document.documentElement.dataset.reload);
const unfolded = "ndabench unfolded";
const chosen = "ndabench chosen";
function controls() {
  const found = document.querySelectorAll("main [aria-pressed], main select, main input, main thead button");
  return Array.from(found, (control) => [`${control.closest("[id]").id} ${control.getAttribute("aria-label") || control.textContent}`, control]);
}
function state(control) {
  if (control.matches("select, input")) return control.value;
  return control.getAttribute("aria-pressed") || control.parentNode.getAttribute("aria-sort") || "";
}
function restore(control, wanted) {
  if (control.matches("select, input")) {
    control.value = wanted;
    control.dispatchEvent(new Event(control.matches("select") ? "change" : "input"));
  } else {
    for (let clicks = 0; clicks < 2 && state(control) !== wanted; clicks++) control.click();
  }
}
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
  sessionStorage.setItem(chosen, JSON.stringify(Object.fromEntries(controls().map(([name, control]) => [name, state(control)]))));
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
  const states = JSON.parse(sessionStorage.getItem(chosen) || "{}");
  for (const [name, control] of controls()) if (name in states && states[name] !== state(control)) restore(control, states[name]);
  setTimeout(again, 1000 * seconds);
}
