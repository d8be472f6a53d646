// Numbers behind a chart, made when somebody opens them.

import { html, useState } from "./html.js";
import { formatNumber } from "./format.js";

const MOST_ROWS = 500;

/** Args: `columns` gives [{name, values}] of one length; the last rows are shown, downloads have all. */
export function DataTable({ columns, caption }) {
  const [isOpen, setOpen] = useState(false);
  return html`<details class="data-table" onToggle=${(event) => setOpen(event.currentTarget.open)}>
    <summary>The numbers<span class="visually-hidden"> of ${caption}</span></summary>
    ${isOpen && html`<${Rows} columns=${columns()} caption=${caption} />`}
  </details>`;
}

function Rows({ columns, caption }) {
  const count = columns[0].values.length;
  const first = Math.max(0, count - MOST_ROWS);
  return html`<div class="scroll" tabindex="0" role="region" aria-label=${`Table: ${caption}`}>
      <table>
        <caption>${first ? `The last ${MOST_ROWS} of ${count.toLocaleString("en")} rows, the newest first. The CSV has all.` : `${caption}, the newest first`}</caption>
        <thead><tr>${columns.map((column) => html`<th scope="col">${column.name}</th>`)}</tr></thead>
        <tbody>${Array.from({ length: count - first }, (_, i) => html`<tr key=${i}>
          ${columns.map((column, j) => (j === 0
            ? html`<th scope="row">${column.values[count - 1 - i]}</th>`
            : html`<td>${formatNumber(column.values[count - 1 - i], 6)}</td>`))}
        </tr>`)}</tbody>
      </table>
    </div>`;
}
