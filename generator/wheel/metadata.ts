/**
 * The Python package's own description → the files of a wheel's `.dist-info`.
 *
 * In: python/pyproject.toml, which is the one place for it. Out: METADATA and entry_points.txt, as PEP 566 and the
 * specification of entry points have them. Pure.
 */
import { parse } from "smol-toml";
import { z } from "zod";

const pyproject = z.object({
  project: z.object({
    name: z.string(),
    description: z.string(),
    license: z.object({ text: z.string() }),
    "requires-python": z.string(),
    keywords: z.array(z.string()),
    classifiers: z.array(z.string()),
    "optional-dependencies": z.record(z.string(), z.array(z.string())),
    "entry-points": z.record(z.string(), z.record(z.string(), z.string())),
  }),
});

export type PythonProject = z.infer<typeof pyproject>["project"];

export function parseProject(toml: string): PythonProject {
  return pyproject.parse(parse(toml)).project;
}

/** `readme` is Markdown. */
export function metadata(project: PythonProject, version: string, readme: string): string {
  const extras = Object.entries(project["optional-dependencies"]);
  const fields: readonly (readonly [name: string, value: string])[] = [
    ["Metadata-Version", "2.1"],
    ["Name", project.name],
    ["Version", version],
    ["Summary", project.description],
    ["License", project.license.text],
    ["Keywords", project.keywords.join(",")],
    ...project.classifiers.map((classifier) => ["Classifier", classifier] as const),
    ["Requires-Python", project["requires-python"]],
    ["Description-Content-Type", "text/markdown"],
    ...extras.flatMap(([extra, requirements]) => [
      ["Provides-Extra", extra] as const,
      ...requirements.map((own) => ["Requires-Dist", `${own}; extra == "${extra}"`] as const),
    ]),
  ];
  return `${fields.map(([name, value]) => `${name}: ${value}\n`).join("")}\n${readme}`;
}

export function entryPoints(project: PythonProject): string {
  const groups = Object.entries(project["entry-points"]).map(([group, entries]) => {
    const lines = Object.entries(entries).map(([name, target]) => `${name} = ${target}\n`);
    return `[${group}]\n${lines.join("")}`;
  });
  return groups.join("\n");
}
