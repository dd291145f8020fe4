/** What the tests of the report ask of its page; runs in the browser, as the body of a function. */
const all = (selector, within = document) => [...within.querySelectorAll(selector)];

const headingLevels = () => all("h1, h2, h3, h4, h5, h6").map(({ tagName }) => Number(tagName[1]));

const scrollWidth = () => document.documentElement.scrollWidth;

const ink = (selector) => getComputedStyle(document.querySelector(selector)).fill;

/** Ids that are there twice, and ids that something names and that are not there. */
function brokenIds() {
  const ids = all("[id]").map(({ id }) => id);
  const named = all("[aria-labelledby]").map((one) => one.getAttribute("aria-labelledby"));
  return [...ids.filter((id, i) => ids.indexOf(id) !== i), ...named.filter((id) => !ids.includes(id))];
}

/** Of every picture: its kernel, how many cells it has, and whether all of it can be seen. */
function pictures() {
  return all("svg.picture").map((picture) => {
    const outer = picture.getBoundingClientRect();
    const cells = all(".cell", picture);
    const inside = cells.every((cell) => {
      const box = cell.getBoundingClientRect();
      return box.width > 20 && box.right <= outer.right && box.bottom <= outer.bottom;
    });
    const [id] = picture.getAttribute("aria-label").split(":");
    return { id, cells: cells.length, inside, drawn: outer.width > 50 && outer.height > 50 };
  });
}

/** The text and the colour of each cell of a kernel's picture. */
function cells(id) {
  return all(`svg.picture[aria-label^="${id}:"] .cell`).map((cell) => ({
    text: all("text", cell)
      .map(({ textContent }) => textContent)
      .join(""),
    fill: getComputedStyle(cell.querySelector("rect")).fill,
  }));
}

/** Texts of charts that touch one another, or reach out of their chart. */
function clashesInCharts() {
  return all("svg.chart").flatMap((chart) => {
    const outer = chart.getBoundingClientRect();
    const texts = all("text", chart).map((text) => ({
      text: text.textContent,
      box: text.getBoundingClientRect(),
    }));
    const outside = texts.filter(
      ({ box }) =>
        box.left < outer.left || box.right > outer.right || box.top < outer.top || box.bottom > outer.bottom,
    );
    const touching = texts.flatMap(({ text, box: a }, i) =>
      texts
        .slice(i + 1)
        .filter(({ box: b }) => a.left < b.right && b.left < a.right && a.top < b.bottom && b.top < a.bottom)
        .map((other) => `${text} | ${other.text}`),
    );
    return [...outside.map(({ text }) => `${text} is outside`), ...touching];
  });
}

/** Texts whose contrast with what is behind them is below 4.5, as WCAG counts it. */
function faintTexts() {
  const context = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
  const luminance = (color) => {
    context.fillStyle = color;
    context.fillRect(0, 0, 1, 1);
    const [r, g, b] = [...context.getImageData(0, 0, 1, 1).data].map((byte) => {
      const c = byte / 255;
      return c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4;
    });
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const backgroundOf = (element) => {
    for (let at = element; at !== null; at = at.parentElement) {
      const rect = at.classList.contains("cell") ? at.querySelector("rect") : null;
      const fill = rect === null ? "none" : getComputedStyle(rect).fill;
      if (fill !== "none") return fill;
      const { backgroundColor } = getComputedStyle(at);
      if (backgroundColor !== "rgba(0, 0, 0, 0)") return backgroundColor;
    }
    return "white";
  };
  const hasText = ({ tagName, childNodes }) =>
    tagName !== "title" &&
    tagName !== "style" &&
    [...childNodes].some((node) => node.nodeType === Node.TEXT_NODE && node.textContent.trim() !== "");
  return all("body *")
    .filter(hasText)
    .flatMap((element) => {
      const style = getComputedStyle(element);
      const text = luminance(element instanceof SVGElement ? style.fill : style.color);
      const behind = luminance(backgroundOf(element));
      const contrast = (Math.max(text, behind) + 0.05) / (Math.min(text, behind) + 0.05);
      return contrast >= 4.5 ? [] : [`${element.tagName} ${element.textContent}: ${contrast.toFixed(2)}`];
    });
}

globalThis.pageChecks = {
  headingLevels,
  scrollWidth,
  ink,
  brokenIds,
  pictures,
  cells,
  clashesInCharts,
  faintTexts,
};
