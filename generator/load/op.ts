/**
 * Reads an op: its name, the stages of its sides, and the ranges that it narrows.
 *
 * In: the object given to `defineOp`. Out: the op, or undefined and reports.
 */
import { type CallExpression, Node } from "ts-morph";
import { SIDES, type Side } from "../../dsl/inputs.js";
import { stageRejection } from "../../dsl/legality.js";
import { openAxes, type SideStages, type StageCall } from "../../dsl/sides.js";
import { show } from "../diagnostics.js";
import type { Op } from "../ir.js";
import { OP_NAME } from "../kernel_id.js";
import { readExpression, type WrittenStage } from "./expression.js";
import { areKnown, type Property, type Report, readProperties, readScalar } from "./literals.js";
import { portablePath, spanOf } from "./project.js";
import { readRanges } from "./ranges.js";

export function readOp(call: CallExpression, configPath: string, reportTo: Report): Op | undefined {
  const [definition] = call.getArguments();
  if (!Node.isExpression(definition)) return undefined;
  let isRead = true;
  const report: Report = (diagnostic) => {
    isRead = false;
    reportTo(diagnostic);
  };
  const properties = readProperties(definition, report);
  if (
    properties === undefined ||
    !areKnown("an op", properties, ["name", "ranges", "head", ...SIDES], report)
  )
    return undefined;
  const name = properties.get("name");
  if (name === undefined) {
    const fix = 'give it one, such as `name: "my_op"`';
    if (isRead) report({ code: "bad-op", message: "the op has no `name`", fix, span: spanOf(definition) });
    return undefined;
  }

  const located = readScalar(name.value, report);
  if (located === undefined) return undefined;
  if (typeof located.value !== "string" || !OP_NAME.test(located.value)) {
    report({
      code: "bad-op",
      message: `${show(located.value)} cannot be the name of an op`,
      fix: "use lower-case words joined by single underscores, such as qk_norm_rope",
      span: located.span,
    });
    return undefined;
  }
  if (!isRead) return undefined; // do not report a missing part twice
  const stages = readSides(definition, properties, report);
  if (stages === undefined) return undefined;
  const axes = readRanges(properties.get("ranges"), openAxes(stages), report);
  if (axes === undefined) return undefined;
  const source = portablePath(call.getSourceFile().getFilePath(), configPath);
  return { name: located.value, source, axes, stages };
}

/** The stages of each side that has any. */
function readSides(
  definition: Node,
  properties: ReadonlyMap<string, Property>,
  report: Report,
): SideStages | undefined {
  const bad = (node: Node, message: string, fix: string) => {
    report({ code: "bad-op", message, fix, span: spanOf(node) });
    return undefined;
  };
  const head = properties.get("head");
  const doubled = head && (properties.get("q") ?? properties.get("k"));
  if (doubled !== undefined) {
    const message = `the op has \`head\`, which is short for q and k, and \`${doubled.name}\``;
    return bad(doubled.node, message, "write `q` and `k`, or `head` alone");
  }
  const written = new Map<Side, WrittenStage[]>();
  for (const side of SIDES) {
    const property = properties.get(side) ?? (side === "v" ? undefined : head);
    if (property === undefined) continue;
    const read = readExpression(property, report);
    if (read === undefined) return undefined;
    if (read.length > 0) written.set(side, read);
  }
  const stages: Record<string, StageCall[]> = {};
  for (const [side, read] of written) stages[side] = read.map(({ call }) => call);
  const rejection = stageRejection(stages);
  if (rejection === undefined) return stages;
  const { rule, reason, fix, at } = rejection;
  const node = at && written.get(at.side)?.[at.index]?.node;
  return bad(node ?? definition, `${reason} (rule ${rule})`, fix);
}
