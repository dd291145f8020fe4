/**
 * The scale and ticks of a chart's axis.
 *
 * In: the values that an axis must show, and its two ends. Out: a scale that begins and ends on round numbers.
 * Pure, and draws nothing. Values of a logarithmic axis must be positive.
 */
export interface Scale {
  readonly at: (value: number) => number;
  /** In rising order. A tick without a label is only a grid line. */
  readonly ticks: readonly { readonly value: number; readonly label: string }[];
}

/** More labels than this crowd an axis. */
const LABELS_MAX = 7;

/** Powers of ten, and 2 and 5 times them if they are few. */
export function logScale(values: readonly number[], from: number, to: number): Scale {
  const [smallest, largest] = extent(values);
  const steps = oneTwoFive(Math.floor(Math.log10(smallest)) - 1, Math.ceil(Math.log10(largest)) + 1);
  const low = steps.findLast((step) => step <= smallest * (1 + 1e-9)) ?? smallest;
  const high = steps.find((step) => step >= largest * (1 - 1e-9) && step > low) ?? largest;
  const shown = steps.filter((step) => step >= low && step <= high);
  const powers = shown.filter((step) => String(step.toExponential()).startsWith("1e"));
  const every = Math.ceil(powers.length / LABELS_MAX);
  const labelled = new Set(shown.length <= LABELS_MAX ? shown : powers.filter((_, i) => i % every === 0));
  const span = Math.log(high / low);
  return {
    at: (value) => from + ((to - from) * Math.log(value / low)) / span,
    ticks: shown
      .filter((step) => labelled.has(step) || powers.includes(step))
      .map((value) => ({ value, label: labelled.has(value) ? short(value) : "" })),
  };
}

/** Steps of 1, 2 or 5 times a power of ten, all labelled. */
export function linearScale(values: readonly number[], from: number, to: number): Scale {
  const [smallest, largest] = extent(values);
  const room = Math.max(largest - smallest, 1e-2 * Math.abs(largest), 1e-9);
  const power = Math.floor(Math.log10(room / LABELS_MAX));
  const step = oneTwoFive(power, power + 2).find((candidate) => candidate >= room / (LABELS_MAX - 2)) ?? room;
  const first = Math.floor(smallest / step + 1e-9);
  const last = Math.max(Math.ceil(largest / step - 1e-9), first + 1);
  const digits = Math.max(0, -Math.floor(Math.log10(step) + 1e-9));
  return {
    at: (value) => from + ((to - from) * (value / step - first)) / (last - first),
    ticks: Array.from({ length: last - first + 1 }, (_, i) => ({
      value: (first + i) * step,
      label: ((first + i) * step).toFixed(digits),
    })),
  };
}

function oneTwoFive(lowestPower: number, highestPower: number): number[] {
  return Array.from({ length: highestPower - lowestPower + 1 }, (_, i) =>
    [1, 2, 5].map((digit) => Number(`${digit}e${lowestPower + i}`)),
  ).flat();
}

/** The extent of the values; 1 to 10 if there are none. */
function extent(values: readonly number[]): [number, number] {
  return values.length === 0 ? [1, 10] : [Math.min(...values), Math.max(...values)];
}

function short(value: number): string {
  if (value >= 1e6) return `${value / 1e6}M`;
  return value >= 1e3 ? `${value / 1e3}k` : `${value}`;
}
