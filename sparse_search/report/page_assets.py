"""The style sheet and the script of the page: no fonts, no requests, no libraries."""

CSS = """
:root { color-scheme: light; overflow-y: scroll; }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 70rem; padding: 2.5rem 1.25rem 4rem; background: #fff;
  color: #1a1a1a; font: 16px/1.55 system-ui, -apple-system, "Segoe UI", sans-serif; }
header p.kicker { margin: 0; color: #5a5a5a; font-size: .85rem; letter-spacing: .04em; }
h1 { font-size: 1.3rem; margin: .15rem 0 1rem; font-weight: 650; }
h2 { font-size: 1.1rem; margin: 2.75rem 0 .5rem; padding-top: .6rem;
  border-top: 1px solid #d9d9d9; font-weight: 650; }
h3 { font-size: .95rem; margin: 1.5rem 0 .4rem; font-weight: 650; }
.verdict p { font-size: 1.18rem; line-height: 1.45; margin: .5rem 0; max-width: 48rem;
  overflow-wrap: anywhere; }
.verdict p:nth-child(n+3) { font-size: 1rem; color: #333; margin: .3rem 0; }
p, li, dd { max-width: 48rem; }
.counts { color: #5a5a5a; font-size: .9rem; margin-top: 1rem; }
figure { margin: 1rem 0; }
figcaption { color: #444; font-size: .88rem; max-width: 48rem; margin-top: .4rem; }
.scroll { overflow-x: auto; }
.wide { min-width: 44rem; }
figure img { display: block; width: 100%; height: auto; }
figure img.column { max-width: 34rem; margin: 0 auto; }
table { border-collapse: collapse; font-size: .8rem; width: 100%;
  font-variant-numeric: tabular-nums; }
th, td { padding: .28rem .5rem; text-align: right; border-bottom: 1px solid #ececec;
  white-space: nowrap; vertical-align: top; }
th { white-space: normal; vertical-align: bottom; line-height: 1.25;
  font-weight: 600; border-bottom: 1.5px solid #1a1a1a; background: #fff; }
td.name, th.name { text-align: left; }
.free { text-align: left; white-space: normal; min-width: 13rem;
  overflow-wrap: anywhere; }
td small { color: #5a5a5a; font-size: .92em; }
.chip { display: inline-block; padding: 0 .45rem; border-radius: .2rem;
  border: 1px solid #b5b5b5; }
#trials { max-height: 30rem; overflow: auto; border: 1px solid #ececec; }
#trials th { position: sticky; top: 0; padding: 0; }
#trials th button { all: unset; cursor: pointer; padding: .35rem .6rem; }
#trials th button:focus-visible { outline: 2px solid #0072B2; }
.more { margin: .6rem 0; font: inherit; font-size: .88rem; }
dt { font-weight: 600; margin-top: .6rem; }
dd { margin: 0; }
code, pre { font-family: ui-monospace, Menlo, Consolas, monospace; font-size: .86em; }
pre { background: #f6f6f6; padding: .7rem .9rem; overflow-x: auto; }
a { color: #00507d; }
@media (max-width: 40rem) {
  body { padding-top: 1.25rem; } .verdict p { font-size: 1.05rem; } }
"""

# Draws the figures, and the trials table: sorted by a click, 200 rows until asked for
# all, because thousands of rows would make a phone wait.
JS = """
"use strict";
const read = (id) => JSON.parse(document.getElementById(id).textContent);
for (const box of document.querySelectorAll("[data-figure]")) {
  const figure = read(box.dataset.figure);
  Plotly.newPlot(box, figure.data, figure.layout,
    {responsive: true, displaylogo: false,
      modeBarButtons: [["toImage", "zoom2d", "pan2d", "resetScale2d"]]});
}
const box = document.getElementById("trials");
if (box) {
  const {columns, rows} = read("trials-data");
  const more = document.getElementById("trials-more");
  const table = box.appendChild(document.createElement("table"));
  const head = table.createTHead().insertRow();
  const body = table.createTBody();
  let limit = 200, sorted = -1, direction = 1;
  const draw = () => {
    body.replaceChildren(...rows.slice(0, limit).map((row) => {
      const line = document.createElement("tr");
      row.forEach((value, place) => {
        const cell = line.insertCell();
        cell.textContent = value === null ? "" :
          Number.isInteger(value) ? value.toLocaleString("en-US") : String(value);
        if (columns[place].text) cell.className = "name";
      });
      return line;
    }));
    more.hidden = rows.length <= limit;
  };
  columns.forEach((column, place) => {
    const cell = head.appendChild(document.createElement("th"));
    if (column.text) cell.className = "name";
    cell.scope = "col";
    const button = cell.appendChild(document.createElement("button"));
    button.textContent = column.name;
    button.addEventListener("click", () => {
      direction = sorted === place ? -direction : 1;
      sorted = place;
      rows.sort((a, b) => {
        const [x, y] = [a[place], b[place]];
        if (x === null || y === null) return (x === null) - (y === null);
        return direction * (typeof x === "number" ? x - y : x < y ? -1 : x > y ? 1 : 0);
      });
      for (const other of head.cells) other.removeAttribute("aria-sort");
      cell.setAttribute("aria-sort", direction > 0 ? "ascending" : "descending");
      draw();
    });
  });
  more.addEventListener("click", () => { limit = rows.length; draw(); });
  draw();
}
"""
