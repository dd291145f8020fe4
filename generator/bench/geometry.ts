/** The axes by which the rows of a benchmark differ. Pure. */
import { AXES } from "../../dsl/axes.js";

/** The axes that separate charts. The axis that leads ids, dtype, separates lines of one chart. */
export const GEOMETRY = AXES.filter(({ leads }) => !leads);
export const LEADING = AXES.filter(({ leads }) => leads);

/** The axes that are no size. They separate peers too. */
export const STYLE = GEOMETRY.filter(({ kind }) => kind === "enum");
