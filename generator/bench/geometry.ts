/** Which axes set the rows of a benchmark apart, and where. Pure. */
import { AXES } from "../../dsl/axes.js";

/** Of charts: what leads ids, the dtype, sets lines of one chart apart. */
export const GEOMETRY = AXES.filter(({ leads }) => !leads);
export const LEADING = AXES.filter(({ leads }) => leads);

/** What kernels of all sizes have in common: peers are apart in it, too. */
export const STYLE = GEOMETRY.filter(({ kind }) => kind === "enum");
