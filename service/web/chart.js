// Lines and bands over time or index, with zoom, hover, a legend, and the numbers as a table.

import { html, useEffect, useRef, useState } from "./html.js";
import { saveCsv, savePng } from "./download.js";
import { formatNumber, formatStamp } from "./format.js";
import { DataTable } from "./table.js";
import { fade, resolveColor } from "./theme.js";
import uPlot from "./vendor/uplot/uPlot.esm.js";

const BAND_ALPHA = 0.2;
const ZOOM_STEP = 0.75;
const LEAST_POINTS = 4;
// Beside the labels of the vertical axis.
const AXIS_MARGIN = 16;
const WALL_TIME = (seconds) => uPlot.tzDate(new Date(seconds * 1000), "UTC");

/**
 * Args:
 *   title: what it shows; the name of downloads as well.
 *   x: positions of all points, ascending; seconds since 1970 where `timed`.
 *   lines: [{label, values, color, dash?, points?, width?}], each as long as `x`, null where there is no value.
 *   bands: [{label, lower, upper, color}].
 *   view: [from, to] of `x` that are shown at first; all by default.
 *   split: where the forecast begins, a dashed line.
 *   xLabel, yLabel: what the axes show.
 */
export function Chart({ title, x, lines, bands = [], timed = false, view = null, split = null, height = 320,
  xLabel = timed ? "time" : "point", yLabel = "", downloads = true, compact = false, logY = false }) {
  const place = useRef(null);
  const plot = useRef(null);
  const readout = useRef(null);
  const zoom = useRef({ key: "", range: null });
  const [hidden, setHidden] = useState(() => new Set());
  const [theme, setTheme] = useState(0);

  useEffect(() => {
    const redraw = () => setTheme((count) => count + 1);
    window.addEventListener("themechange", redraw);
    return () => window.removeEventListener("themechange", redraw);
  }, []);

  const labels = lines.map((line) => line.label).join("|") + bands.map((band) => band.label).join("|");
  useEffect(() => {
    const key = `${title}|${x.length && x[0]}`;
    if (zoom.current.key !== key) zoom.current = { key, range: null };
    const shown = lines.filter((line) => !hidden.has(line.label));
    const shownBands = bands.filter((band) => !hidden.has(band.label) && !hidden.has(band.of));
    const { options, data } = configure({ x, lines: shown, bands: shownBands, timed, split, height, compact, logY });
    options.width = Math.max(place.current.clientWidth, 100);
    options.hooks.setCursor = [(u) => describe(u, readout.current, shown, timed, xLabel)];
    const built = new uPlot(options, data, place.current);
    plot.current = built;
    const range = zoom.current.range || view;
    if (range && x.length) built.setScale("x", { min: range[0], max: range[1] });
    built.hooks.setScale = [(u, scale) => {
      const { min, max } = u.scales.x;
      // Who sees all goes on seeing all, also of longer data.
      if (scale === "x" && u === plot.current) zoom.current.range = min <= x[0] && max >= x[x.length - 1] ? null : [min, max];
    }];
    const resize = new ResizeObserver(() => {
      const width = place.current?.clientWidth;
      if (width && width !== built.width) built.setSize({ width, height });
    });
    resize.observe(place.current);
    const wheel = (event) => {
      if (!event.ctrlKey && !event.shiftKey) return;
      event.preventDefault();
      const left = event.clientX - built.over.getBoundingClientRect().left;
      scaleAround(built, built.posToVal(left, "x"), (event.deltaY || event.deltaX) < 0 ? ZOOM_STEP : 1 / ZOOM_STEP);
    };
    built.over.addEventListener("wheel", wheel, { passive: false });
    return () => {
      resize.disconnect();
      built.destroy();
      if (plot.current === built) plot.current = null;
    };
  }, [x, labels, lines, bands, hidden, timed, height, theme, split]);

  const toggle = (label) => setHidden((before) => {
    const after = new Set(before);
    if (!after.delete(label)) after.add(label);
    return after;
  });
  // Of many points it takes a while, and most people never ask for them.
  const columns = () => toColumns(x, lines, bands, timed, xLabel);
  const last = lines.length ? summarize(lines) : "";
  return html`
    <figure class=${compact ? "chart compact" : "chart"}>
      <figcaption class=${compact ? "chart-title" : "visually-hidden"}>${title}</figcaption>
      <div class="chart-area" ref=${place} tabindex=${compact ? undefined : 0} role="img"
        aria-label=${`${title}. ${last}`}
        onKeyDown=${compact ? undefined : (event) => onKey(event, plot.current)} aria-describedby=${compact ? undefined : "chart-keys"}></div>
      <div class="readout" ref=${readout} aria-live=${compact ? "off" : "polite"}></div>
      ${!compact && html`<div class="chart-bar">
        <${Legend} lines=${lines} bands=${bands} hidden=${hidden} onToggle=${toggle} yLabel=${yLabel} />
        <div class="chart-tools">
          <button type="button" class="quiet" onClick=${() => zoomBy(plot.current, ZOOM_STEP)} aria-label="Zoom in" title="Zoom in (or drag over a part)">+</button>
          <button type="button" class="quiet" onClick=${() => zoomBy(plot.current, 1 / ZOOM_STEP)} aria-label="Zoom out" title="Zoom out">−</button>
          <button type="button" class="quiet" onClick=${() => showAll(plot.current)} title="Show all (0)">All</button>
          ${downloads && html`
            <button type="button" class="quiet" onClick=${() => saveCsv(`${title}.csv`, columns())}>CSV</button>
            <button type="button" class="quiet" onClick=${() => savePng(`${title}.png`, plot.current, title, lines)}>PNG</button>`}
        </div>
      </div>`}
      <${DataTable} columns=${columns} caption=${title} />
    </figure>`;
}

function Legend({ lines, bands, hidden, onToggle, yLabel }) {
  return html`<ul class="legend" aria-label="Legend: shows and hides">
    ${yLabel && html`<li class="legend-unit">${yLabel}</li>`}
    ${[...lines, ...bands].map((item) => html`<li key=${item.label}>
      <button type="button" aria-pressed=${String(!hidden.has(item.label))} onClick=${() => onToggle(item.label)}>
        <span class=${"lower" in item ? "swatch band" : item.dash ? "swatch dashed" : "swatch"} style=${{ color: `var(${item.color})` }}></span>
        ${item.label}
      </button></li>`)}
  </ul>`;
}

function configure({ x, lines, bands, timed, split, height, compact, logY }) {
  const ink = resolveColor("--muted");
  const grid = resolveColor("--line");
  const font = `${compact ? 10 : 12}px system-ui, sans-serif`;
  const data = [x];
  const series = [{}];
  const pairs = [];
  for (const band of bands) {
    const color = resolveColor(band.color);
    data.push(band.upper, band.lower);
    series.push({ stroke: fade(color, 0.35), width: 1, points: { show: false } },
      { stroke: fade(color, 0.35), width: 1, points: { show: false } });
    pairs.push({ series: [series.length - 2, series.length - 1], fill: fade(color, BAND_ALPHA) });
  }
  for (const line of lines) {
    const color = resolveColor(line.color);
    data.push(line.values);
    series.push({ label: line.label, stroke: color, width: line.width || (compact ? 1.25 : 2), dash: line.dash,
      points: { show: line.points ?? false, size: 5, fill: color } });
  }
  const axis = { stroke: ink, font, grid: { stroke: grid, width: 1 }, ticks: { stroke: grid, width: 1 } };
  const options = {
    height, series, bands: pairs, legend: { show: false }, tzDate: WALL_TIME,
    scales: { x: { time: timed }, y: logY ? { distr: 3 } : {} },
    padding: [8, 8, 0, 0],
    cursor: { drag: { x: !compact, y: false, dist: 5 }, points: { size: 7 }, y: false },
    axes: [
      { ...axis, space: compact ? 60 : 70, size: timed ? 46 : compact ? 26 : 34, values: timed ? undefined : (u, ticks) => ticks.map((tick) => (Number.isInteger(tick) ? tick.toLocaleString("en") : "")) },
      { ...axis, size: (u, words) => AXIS_MARGIN + Math.max(0, ...(words || []).map((word) => word.length)) * (compact ? 6 : 7), values: (u, ticks) => ticks.map((tick) => (tick === null ? "" : formatNumber(tick))) },
    ],
    hooks: {
      drawClear: [(u) => split !== null && drawSplit(u, split, ink)],
    },
  };
  return { options, data };
}

function drawSplit(u, split, color) {
  const at = Math.round(u.valToPos(split, "x", true)) + 0.5;
  if (at < u.bbox.left || at > u.bbox.left + u.bbox.width) return;
  const { ctx } = u;
  ctx.save();
  ctx.strokeStyle = color;
  ctx.setLineDash([4, 4]);
  ctx.beginPath();
  ctx.moveTo(at, u.bbox.top);
  ctx.lineTo(at, u.bbox.top + u.bbox.height);
  ctx.stroke();
  ctx.restore();
}

/** The values below the pointer. */
function describe(u, place, lines, timed, xLabel) {
  if (!place) return;
  const { idx } = u.cursor;
  if (idx === null || idx === undefined) {
    place.textContent = "";
    return;
  }
  const at = u.data[0][idx];
  const first = u.data.length - lines.length;
  const parts = lines.map((line, i) => [line.label, u.data[first + i][idx]]).filter(([, value]) => value !== null && value !== undefined);
  place.textContent = [timed ? formatStamp(at) : `${xLabel} ${at}`, ...parts.map(([label, value]) => `${label} ${formatNumber(value, 6)}`)].join("  ·  ");
}

function onKey(event, u) {
  if (!u || event.ctrlKey || event.metaKey || event.altKey) return;
  const actions = {
    "+": () => zoomBy(u, ZOOM_STEP), "=": () => zoomBy(u, ZOOM_STEP), "-": () => zoomBy(u, 1 / ZOOM_STEP),
    0: () => showAll(u),
    ArrowLeft: () => (event.shiftKey ? move(u, -1) : point(u, -1)), ArrowRight: () => (event.shiftKey ? move(u, 1) : point(u, 1)),
  };
  if (!actions[event.key]) return;
  event.preventDefault();
  actions[event.key]();
}

function zoomBy(u, factor) {
  if (u) scaleAround(u, (u.scales.x.min + u.scales.x.max) / 2, factor);
}

function scaleAround(u, center, factor) {
  const x = u.data[0];
  const [first, last] = [x[0], x[x.length - 1]];
  const least = ((last - first) / Math.max(x.length - 1, 1)) * LEAST_POINTS;
  let { min, max } = u.scales.x;
  [min, max] = [center - (center - min) * factor, center + (max - center) * factor];
  if (max - min < least) return;
  u.setScale("x", { min: Math.max(min, first), max: Math.min(max, last) });
}

function move(u, direction) {
  const x = u.data[0];
  const { min, max } = u.scales.x;
  const step = ((max - min) / 10) * direction;
  const shift = direction < 0 ? Math.max(step, x[0] - min) : Math.min(step, x[x.length - 1] - max);
  u.setScale("x", { min: min + shift, max: max + shift });
}

/** Puts the pointer on the next point, whose values are then read out. */
function point(u, direction) {
  const x = u.data[0];
  const from = u.cursor.idx ?? (direction > 0 ? -1 : x.length);
  const at = Math.min(Math.max(from + direction, 0), x.length - 1);
  const { min, max } = u.scales.x;
  if (x[at] < min || x[at] > max) move(u, direction);
  u.setCursor({ left: u.valToPos(x[at], "x"), top: 0 });
}

function showAll(u) {
  if (u) u.setScale("x", { min: u.data[0][0], max: u.data[0][u.data[0].length - 1] });
}

function toColumns(x, lines, bands, timed, xLabel) {
  const columns = [{ name: xLabel, values: timed ? Array.from(x, formatStamp) : Array.from(x) }];
  for (const line of lines) columns.push({ name: line.label, values: line.values });
  for (const band of bands) {
    columns.push({ name: `${band.label} lower`, values: band.lower }, { name: `${band.label} upper`, values: band.upper });
  }
  return columns;
}

function summarize(lines) {
  return `${lines.map((line) => {
    const values = line.values.filter((value) => value !== null && value !== undefined);
    if (!values.length) return `${line.label}: no values`;
    let [low, high] = [Infinity, -Infinity];
    for (const value of values) [low, high] = [Math.min(low, value), Math.max(high, value)];
    return `${line.label}: ${values.length} values from ${formatNumber(low)} to ${formatNumber(high)}, the last ${formatNumber(values[values.length - 1])}`;
  }).join("; ")}.`;
}
