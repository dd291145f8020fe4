/**
 * Line charts as SVG text.
 *
 * In: series of points, labels, and whether y is logarithmic (x always is). Out: one SVG element that stands alone in a
 * file or inside a page, and follows the reader's light or dark scheme. Pure: text is measured by estimate, so there is
 * room to spare.
 */
import { linearScale, logScale, type Scale } from "./chart_scale.js";

export interface Point {
  readonly x: number;
  readonly y: number;
}

export interface Series {
  readonly name: string;
  readonly points: readonly Point[];
  /** What the series is held against, drawn dashed in the same colour. */
  readonly reference?: readonly Point[] | undefined;
}

export interface Chart {
  readonly title: string;
  readonly subtitle: string;
  readonly xLabel: string;
  readonly yLabel: string;
  readonly y: "log" | "linear";
  readonly series: readonly Series[];
  /** What the dashed lines are, for the legend. */
  readonly referenceName: string;
  /** A value of y that is drawn as a dashed line from side to side. */
  readonly referenceY?: number | undefined;
}

const WIDTH = 520;
const PLOT = { left: 58, right: 506, top: 66, bottom: 314 } as const;
const LEGEND = { top: 376, lineHeight: 22, left: 20, swatch: 26, gap: 20 } as const;
const COLORS = 6;

/** Wider than the mean character of any usual sans-serif font at this size. */
const CHARACTER_WIDTH = 7.6;

export function chartSvg(chart: Chart): string {
  const { title, subtitle, xLabel, yLabel, series, referenceName, referenceY } = chart;
  const name = `${title}: ${subtitle}`;
  const all = series.flatMap(({ points, reference = [] }) => [...points, ...reference]);
  const ys = [...all.map(({ y }) => y), ...(referenceY === undefined ? [] : [referenceY])];
  const xScale = logScale(
    all.map(({ x }) => x),
    PLOT.left,
    PLOT.right,
  );
  const yScale = (chart.y === "log" ? logScale : linearScale)(ys, PLOT.bottom, PLOT.top);
  const hasReference = referenceY !== undefined || series.some(({ reference }) => reference !== undefined);
  const legend = legendOf(
    series.map(({ name }) => name),
    hasReference ? referenceName : undefined,
  );
  return [
    `<svg class="chart" xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${legend.height}" role="img" aria-label="${escapeXml(name)}">`,
    `<title>${escapeXml(name)}</title>`,
    STYLE,
    text("chart-title", LEGEND.left, 24, title, "start"),
    text("chart-label chart-soft", LEGEND.left, 44, subtitle, "start"),
    ...axes(xScale, yScale),
    text("chart-label", (PLOT.left + PLOT.right) / 2, PLOT.bottom + 40, xLabel),
    `<text class="chart-label" transform="translate(16 ${(PLOT.top + PLOT.bottom) / 2}) rotate(-90)" text-anchor="middle">${escapeXml(yLabel)}</text>`,
    ...(referenceY === undefined
      ? []
      : [`<path class="chart-reference" d="M${PLOT.left} ${round(yScale.at(referenceY))}H${PLOT.right}"/>`]),
    ...series.flatMap((one, i) => drawSeries(one, i, xScale, yScale, chart)),
    ...legend.items,
    "</svg>",
  ].join("\n");
}

function axes(xScale: Scale, yScale: Scale): string[] {
  return [
    ...xScale.ticks.flatMap(({ value, label }) => {
      const x = round(xScale.at(value));
      return [
        `<path class="chart-grid" d="M${x} ${PLOT.top}V${PLOT.bottom}"/>`,
        ...(label === "" ? [] : [text("chart-tick", x, PLOT.bottom + 18, label)]),
      ];
    }),
    ...yScale.ticks.flatMap(({ value, label }) => {
      const y = round(yScale.at(value));
      return [
        `<path class="chart-grid" d="M${PLOT.left} ${y}H${PLOT.right}"/>`,
        ...(label === "" ? [] : [text("chart-tick", PLOT.left - 8, y + 4, label, "end")]),
      ];
    }),
    `<path class="chart-axis" d="M${PLOT.left} ${PLOT.top}V${PLOT.bottom}H${PLOT.right}"/>`,
  ];
}

function drawSeries(
  { name, points, reference = [] }: Series,
  index: number,
  xScale: Scale,
  yScale: Scale,
  { xLabel, yLabel }: Chart,
): string[] {
  const color = `chart-s${index % COLORS}`;
  const place = ({ x, y }: Point) => `${round(xScale.at(x))} ${round(yScale.at(y))}`;
  const line = (kind: string, of: readonly Point[]) =>
    of.length < 2 ? [] : [`<path class="${kind} ${color}" d="M${of.map(place).join("L")}"/>`];
  return [
    ...line("chart-reference", reference),
    ...line("chart-line", points),
    ...points.map((point) => {
      const what = `${name}: ${xLabel} ${point.x}, ${yLabel} ${Number(point.y.toPrecision(4))}`;
      return `<path class="chart-mark ${color}" transform="translate(${place(point)})" d="${markOf(index)}"><title>${escapeXml(what)}</title></path>`;
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
const markOf = (index: number) => MARKS[index % MARKS.length] ?? MARKS[0];

/** Names in rows below the plot, each behind a piece of its line. */
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
    const color = `chart-s${i % COLORS}`;
    const mark = `<path class="chart-mark ${color}" transform="translate(10 0)" d="${markOf(i)}"/>`;
    add(name, `<path class="chart-line ${color}" d="M0 0H20"/>${mark}`);
  });
  if (reference !== undefined) add(reference, '<path class="chart-reference" d="M0 0H20"/>');
  return { items, height: y + 16 };
}

function text(kind: string, x: number, y: number, value: string, anchor = "middle"): string {
  return `<text class="${kind}" x="${x}" y="${y}" text-anchor="${anchor}">${escapeXml(value)}</text>`;
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

const LIGHT = ["#0b62c4", "#b3470b", "#0f7b4f", "#8a2da8", "#a3154c", "#5d6300"];
const DARK = ["#6db3ff", "#ffa45c", "#5fd39b", "#d79bf0", "#ff8fb1", "#cfd45a"];
const colors = (list: readonly string[]) =>
  list.map((color, i) => `.chart-s${i}{stroke:${color};--mark:${color}}`).join("");

const STYLE = `<style>
.chart{--ink:#1b2330;--soft:#556070;--grid:#e3e7ed;color-scheme:light dark;font-family:system-ui,-apple-system,"Segoe UI",Roboto,sans-serif}
.chart text{fill:var(--ink);stroke:none}
.chart-title{font-size:15px;font-weight:600}
.chart-label{font-size:13px}
.chart-tick{font-size:12.5px}
.chart text:is(.chart-tick,.chart-soft){fill:var(--soft)}
.chart-grid{stroke:var(--grid);stroke-width:1;fill:none}
.chart-axis{stroke:var(--soft);stroke-width:1;fill:none}
.chart-reference{stroke:var(--soft);stroke-width:1.5;stroke-dasharray:5 4;fill:none}
.chart-line{stroke-width:2;stroke-linejoin:round;fill:none}
.chart-mark{stroke-width:0;fill:var(--mark)}
${colors(LIGHT)}
@media (prefers-color-scheme:dark){.chart{--ink:#e8ecf2;--soft:#a3aebd;--grid:#2b3441}${colors(DARK)}}
</style>`;
