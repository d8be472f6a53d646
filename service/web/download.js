// Files that the page makes.

import { resolveColor } from "./theme.js";

const TITLE_HEIGHT = 56;

function save(name, blob) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = name.replace(/[^\w.-]+/g, "-").replace(/-+(?=\.)/g, "");
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
}

/** Args: `columns` are [{name, values}] of one length; null becomes an empty cell. */
export function saveCsv(name, columns) {
  const quote = (cell) => (/[",\n\r]/.test(cell) ? `"${cell.replace(/"/g, '""')}"` : cell);
  // A spreadsheet would run a name that begins like a formula.
  const write = (cell) => (cell === null || cell === undefined ? "" : quote(typeof cell === "string" ? cell.replace(/^(?=[=+@\t])/, "'") : String(cell)));
  const rows = [columns.map((column) => write(column.name)).join(",")];
  const count = columns[0].values.length;
  for (let i = 0; i < count; i += 1) rows.push(columns.map((column) => write(column.values[i])).join(","));
  save(name, new Blob([`${rows.join("\n")}\n`], { type: "text/csv" }));
}

/** A chart as it is seen, below its title and the names of its lines. */
export function savePng(name, plot, title, lines) {
  const ratio = devicePixelRatio || 1;
  const source = plot.ctx.canvas;
  const canvas = document.createElement("canvas");
  canvas.width = source.width;
  canvas.height = source.height + TITLE_HEIGHT * ratio;
  const ctx = canvas.getContext("2d");
  ctx.fillStyle = resolveColor("--surface");
  ctx.fillRect(0, 0, canvas.width, canvas.height);
  ctx.scale(ratio, ratio);
  ctx.fillStyle = resolveColor("--ink");
  ctx.font = "600 15px system-ui, sans-serif";
  ctx.fillText(title, 12, 22);
  ctx.font = "12px system-ui, sans-serif";
  let left = 12;
  for (const line of lines) {
    ctx.fillStyle = resolveColor(line.color);
    ctx.fillRect(left, 38, 14, 3);
    ctx.fillStyle = resolveColor("--muted");
    ctx.fillText(line.label, left + 18, 44);
    left += 34 + ctx.measureText(line.label).width;
  }
  ctx.setTransform(1, 0, 0, 1, 0, 0);
  ctx.drawImage(source, 0, TITLE_HEIGHT * ratio);
  canvas.toBlob((blob) => save(name, blob), "image/png");
}
