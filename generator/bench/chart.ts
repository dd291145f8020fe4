/**
 * Line charts as SVG text.
 *
 * In: series of points, labels, and whether y is logarithmic (x always is). Out: one SVG element that stands alone in a
 * file or inside a page. Its attributes hold the light colours, for every renderer; its style holds the dark ones.
 * Pure: text widths are estimated, with room to spare.
 */
import { linearScale, logScale, type Scale } from "./chart_scale.js";

export interface Point {
  readonly x: number;
  readonly y: number;
}

export interface Series {
  readonly name: string;
  readonly points: readonly Point[];
  /** The series to compare with, drawn dashed in the same colour. */
  readonly reference?: readonly Point[] | undefined;
}

export interface Chart {
  readonly title: string;
  readonly subtitle: string;
  readonly xLabel: string;
  readonly yLabel: string;
  readonly y: "log" | "linear";
  readonly series: readonly Series[];
  /** The legend of the dashed lines. */
  readonly referenceName: string;
  /** A value of y, drawn as a dashed line across the plot. */
  readonly referenceY?: number | undefined;
}

const WIDTH = 520;
const PLOT = { left: 58, right: 502, top: 66, bottom: 314 } as const;
const Y_LABEL = { x: 16, right: 24 } as const;
const TICK_GAP = 8;
const LEGEND = { top: 376, lineHeight: 22, left: 20, swatch: 26, gap: 20 } as const;

/** An upper estimate of a character's width in a tick's label, for any usual sans-serif font. */
const CHARACTER_WIDTH = 8;

const LIGHT = {
  ...{ paper: "#ffffff", ink: "#1b2330", soft: "#556070", grid: "#e3e7ed" },
  series: ["#0b62c4", "#b3470b", "#0f7b4f", "#8a2da8", "#a3154c", "#5d6300"],
} as const;
const DARK = {
  ...{ paper: "#171e28", ink: "#e8ecf2", soft: "#a3aebd", grid: "#2b3441" },
  series: ["#6db3ff", "#ffa45c", "#5fd39b", "#d79bf0", "#ff8fb1", "#cfd45a"],
} as const;

const STYLE = `<style>@media (prefers-color-scheme:dark){
.chart-paper{fill:${DARK.paper}}
.chart text{fill:${DARK.ink}}
.chart .chart-tick,.chart .chart-soft{fill:${DARK.soft}}
.chart-grid{stroke:${DARK.grid}}
.chart-axis,.chart-reference{stroke:${DARK.soft}}
${DARK.series.map((color, i) => `.chart-s${i}{stroke:${color}}.chart-m${i}{fill:${color}}`).join("")}
}</style>`;

/** The kinds of path: their colour outside of series, and other attributes. */
const PATHS = {
  "chart-grid": [LIGHT.grid, ""],
  "chart-axis": [LIGHT.soft, ""],
  "chart-reference": [LIGHT.soft, ' stroke-width="1.5" stroke-dasharray="5 4"'],
  "chart-line": [LIGHT.soft, ' stroke-width="2" stroke-linejoin="round"'],
} as const;

/** The kinds of text, with attributes. */
const TEXTS = {
  "chart-title": `font-size="15" font-weight="600" fill="${LIGHT.ink}"`,
  "chart-label": `font-size="13" fill="${LIGHT.ink}"`,
  "chart-soft": `font-size="13" fill="${LIGHT.soft}"`,
  "chart-tick": `font-size="12.5" fill="${LIGHT.soft}"`,
} as const;

export function chartSvg(chart: Chart): string {
  const { title, subtitle, xLabel, yLabel, series, referenceName, referenceY } = chart;
  const name = `${title}: ${subtitle}`;
  const all = series.flatMap(({ points, reference = [] }) => [...points, ...reference]);
  const ys = [...all.map(({ y }) => y), ...(referenceY === undefined ? [] : [referenceY])];
  const yScale = (chart.y === "log" ? logScale : linearScale)(ys, PLOT.bottom, PLOT.top);
  const labelsWidth = CHARACTER_WIDTH * Math.max(...yScale.ticks.map(({ label }) => label.length));
  const left = Math.max(PLOT.left, Y_LABEL.right + labelsWidth + TICK_GAP);
  const xs = all.map(({ x }) => x);
  const xScale = logScale(xs, left, PLOT.right);
  const hasReference = referenceY !== undefined || series.some(({ reference }) => reference !== undefined);
  const legend = legendOf(
    series.map(({ name }) => name),
    hasReference ? referenceName : undefined,
  );
  return [
    `<svg class="chart" xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${legend.height}" font-family="system-ui,-apple-system,Segoe UI,Roboto,sans-serif" role="img" aria-label="${escapeXml(name)}">`,
    `<title>${escapeXml(name)}</title>`,
    STYLE,
    `<rect class="chart-paper" width="${WIDTH}" height="${legend.height}" fill="${LIGHT.paper}"/>`,
    text("chart-title", LEGEND.left, 24, title, "start"),
    text("chart-soft", LEGEND.left, 44, subtitle, "start"),
    ...axes(xScale, yScale, left),
    text("chart-label", (left + PLOT.right) / 2, PLOT.bottom + 42, xLabel),
    `<text class="chart-label" ${TEXTS["chart-label"]} transform="translate(${Y_LABEL.x} ${(PLOT.top + PLOT.bottom) / 2}) rotate(-90)" text-anchor="middle">${escapeXml(yLabel)}</text>`,
    ...(referenceY === undefined
      ? []
      : [path("chart-reference", `M${left} ${round(yScale.at(referenceY))}H${PLOT.right}`)]),
    ...series.flatMap((one, i) => drawSeries(one, i, xScale, yScale, chart)),
    ...legend.items,
    "</svg>",
  ].join("\n");
}

function axes(xScale: Scale, yScale: Scale, left: number): string[] {
  return [
    ...xScale.ticks.flatMap(({ value, label }) => {
      const x = round(xScale.at(value));
      return [
        path("chart-grid", `M${x} ${PLOT.top}V${PLOT.bottom}`),
        ...(label === "" ? [] : [text("chart-tick", x, PLOT.bottom + 20, label)]),
      ];
    }),
    ...yScale.ticks.flatMap(({ value, label }) => {
      const y = round(yScale.at(value));
      return [
        path("chart-grid", `M${left} ${y}H${PLOT.right}`),
        ...(label === "" ? [] : [text("chart-tick", left - TICK_GAP, y + 4, label, "end")]),
      ];
    }),
    path("chart-axis", `M${left} ${PLOT.top}V${PLOT.bottom}H${PLOT.right}`),
  ];
}

function drawSeries(
  { name, points, reference = [] }: Series,
  index: number,
  xScale: Scale,
  yScale: Scale,
  { xLabel, yLabel }: Chart,
): string[] {
  const place = ({ x, y }: Point) => `${round(xScale.at(x))} ${round(yScale.at(y))}`;
  const line = (kind: keyof typeof PATHS, of: readonly Point[]) =>
    of.length < 2 ? [] : [path(kind, `M${of.map(place).join("L")}`, index)];
  return [
    ...line("chart-reference", reference),
    ...line("chart-line", points),
    ...points.map((point) => {
      const what = `${name}: ${xLabel} ${point.x}, ${yLabel} ${Number(point.y.toPrecision(4))}`;
      return markOf(index, place(point), `<title>${escapeXml(what)}</title>`);
    }),
  ];
}

/** Shapes, so that series can be told apart without their colours. */
const MARKS = [
  "M-3.5 0a3.5 3.5 0 1 0 7 0a3.5 3.5 0 1 0-7 0Z",
  "M-3.2-3.2H3.2V3.2H-3.2Z",
  "M0-4.4L4.2 3.2H-4.2Z",
  "M0-4.6L4.6 0L0 4.6L-4.6 0Z",
] as const;

function markOf(index: number, place: string, inside = ""): string {
  const color = index % LIGHT.series.length;
  const shape = MARKS[index % MARKS.length];
  return `<path class="chart-mark chart-m${color}" fill="${LIGHT.series[color]}" transform="translate(${place})" d="${shape}">${inside}</path>`;
}

function path(kind: keyof typeof PATHS, d: string, series?: number): string {
  const [own, more] = PATHS[kind];
  const color = series === undefined ? undefined : series % LIGHT.series.length;
  const [name, stroke] = color === undefined ? [kind, own] : [`${kind} chart-s${color}`, LIGHT.series[color]];
  return `<path class="${name}" fill="none" stroke="${stroke}"${more} d="${d}"/>`;
}

/** The legend: names in rows below the plot, each after a piece of its line. */
function legendOf(names: readonly string[], reference: string | undefined) {
  const items: string[] = [];
  let x: number = LEGEND.left;
  let y: number = LEGEND.top;
  const add = (name: string, sample: string) => {
    const width = LEGEND.swatch + CHARACTER_WIDTH * name.length;
    if (x > LEGEND.left && x + width > WIDTH) [x, y] = [LEGEND.left, y + LEGEND.lineHeight];
    items.push(
      `<g transform="translate(${x} ${y})">${sample}</g>`,
      text("chart-tick", x + LEGEND.swatch, y + 4, name, "start"),
    );
    x += width + LEGEND.gap;
  };
  names.forEach((name, i) => {
    add(name, path("chart-line", "M0 0H20", i) + markOf(i, "10 0"));
  });
  if (reference !== undefined) add(reference, path("chart-reference", "M0 0H20"));
  return { items, height: y + 16 };
}

function text(kind: keyof typeof TEXTS, x: number, y: number, value: string, anchor = "middle"): string {
  return `<text class="${kind}" ${TEXTS[kind]} x="${x}" y="${y}" text-anchor="${anchor}">${escapeXml(value)}</text>`;
}

function round(value: number): number {
  return Math.round(value * 10) / 10;
}

function escapeXml(value: string): string {
  return value
    .replaceAll("&", "&amp;")
    .replaceAll("<", "&lt;")
    .replaceAll(">", "&gt;")
    .replaceAll('"', "&quot;");
}
