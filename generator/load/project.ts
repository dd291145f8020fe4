/**
 * A config file as a type-checked syntax tree.
 *
 * In: the path of a config. Out: its source file with the running package's `normrope/dsl` behind it, and
 * TypeScript's own complaints. The user's tsconfig is not consulted and nothing of the file is run.
 */
import { readFileSync, statSync } from "node:fs";
import { dirname, join, relative, resolve } from "node:path";
import { type Node, Project, type SourceFile, ts } from "ts-morph";
import { type Diagnostic, quoted, reasonOf, type Span, type UserError, userError } from "../diagnostics.js";
import { PACKAGE_ROOT } from "../package_root.js";

const DSL_FOLDER = join(PACKAGE_ROOT, "dsl");
const DSL_INDEX = join(DSL_FOLDER, "index.ts");

/** A config has some hundred lines. A larger file is no config, and ts-morph would take minutes to read it. */
const CONFIG_BYTES_MAX = 2 ** 17;

/** @throws UserError `config-not-found`, `config-unreadable`. */
export function openConfig(path: string): SourceFile {
  return parseConfig(path, readConfig(path));
}

/** A project for all configs that import only `normrope/dsl`: TypeScript checks the language and its library once. */
let shared: { readonly project: Project; config?: SourceFile } | undefined;

/**
 * Parses a config's text that is not on disk. It may invalidate the nodes of the config that was parsed before.
 */
export function parseConfig(path: string, text: string): SourceFile {
  return withinStack(path, () => {
    // The user's files may change between two reads, so they do not stay in the project.
    if (!importsDslAlone(text))
      return newProject().createSourceFile(resolve(path), text, { overwrite: true });
    shared ??= { project: newProject() };
    shared.config?.forget();
    delete shared.config;
    shared.config = shared.project.createSourceFile(resolve(path), text, { overwrite: true });
    return shared.config;
  });
}

function importsDslAlone(text: string): boolean {
  const { importedFiles, referencedFiles, typeReferenceDirectives, libReferenceDirectives } =
    ts.preProcessFile(text);
  const others = importedFiles.filter(({ fileName }) => fileName !== "normrope/dsl");
  return [others, referencedFiles, typeReferenceDirectives, libReferenceDirectives].every(
    ({ length }) => length === 0,
  );
}

function newProject(): Project {
  return new Project({
    skipAddingFilesFromTsConfig: true,
    skipLoadingLibFiles: false,
    compilerOptions: {
      strict: true,
      exactOptionalPropertyTypes: true,
      noEmit: true,
      skipLibCheck: true,
      target: ts.ScriptTarget.ES2022,
      module: ts.ModuleKind.ESNext,
      moduleResolution: ts.ModuleResolutionKind.Bundler,
      lib: ["lib.es2015.d.ts"],
      types: [],
      paths: { "normrope/dsl": [DSL_INDEX] },
    },
  });
}

/** TypeScript recurses into nested code. @throws UserError `config-unreadable` if the nesting is too deep. */
export function withinStack<T>(path: string, read: () => T): T {
  try {
    return read();
  } catch (error) {
    shared = undefined; // TypeScript's state is unknown now
    if (error instanceof RangeError) throw unreadable(path, "is nested too deeply");
    throw error;
  }
}

function readConfig(path: string): string {
  const bytes = readBytes(path);
  try {
    const text = new TextDecoder("utf-8", { fatal: true }).decode(bytes);
    if (!text.includes("\0")) return text;
  } catch {
    // not UTF-8
  }
  throw unreadable(path, "is no text in UTF-8");
}

function readBytes(path: string): Buffer {
  try {
    const stat = statSync(path);
    if (!stat.isFile()) throw unreadable(path, stat.isDirectory() ? "is a folder" : "is not a file");
    if (stat.size <= CONFIG_BYTES_MAX) return readFileSync(path);
    throw unreadable(path, `has ${stat.size} bytes, and a config at most ${CONFIG_BYTES_MAX}`);
  } catch (error) {
    if (!(error instanceof Error && "code" in error)) throw error;
    if (error.code === "ENOENT" || error.code === "ENOTDIR") {
      throw userError(
        "config-not-found",
        `there is no ${quoted(path)}`,
        "run `normrope init` to write one, or name yours with --config FILE",
      );
    }
    throw userError(
      "config-unreadable",
      `${quoted(path)} cannot be read: ${reasonOf(error)}`,
      "make the file readable",
    );
  }
}

function unreadable(path: string, what: string): UserError {
  return userError("config-unreadable", `${quoted(path)} ${what}`, "name the config file with --config FILE");
}

export interface TypeError {
  readonly diagnostic: Diagnostic;
  readonly file: SourceFile;
  readonly start: number;
  /** The text is no TypeScript, so nothing else can be said of it. */
  readonly isSyntax: boolean;
}

/** Whether a file belongs to the running package. */
export function isOfDsl(file: SourceFile): boolean {
  return [DSL_FOLDER, join(DSL_FOLDER, "stages")].includes(dirname(file.getFilePath()));
}

/** TypeScript's errors in the config and its imports, without libraries. */
export function typeErrors(config: SourceFile): TypeError[] {
  const program = config.getProject().getProgram();
  // Text that is no TypeScript has as many type errors as words.
  const syntax = program.getSyntacticDiagnostics();
  return (syntax.length > 0 ? syntax : semanticErrors(config)).flatMap((found) => {
    const file = found.getSourceFile();
    const start = found.getStart();
    if (file === undefined || start === undefined) return [];
    const { line, column } = placeOf(file, start);
    const message = ts.flattenDiagnosticMessageText(found.compilerObject.messageText, " ");
    const diagnostic: Diagnostic = {
      code: "type-error",
      message: `TypeScript (TS${found.getCode()}): ${message}`,
      fix: "make the file type-check; an editor shows what `normrope/dsl` expects here",
      span: { file: displayPath(file.getFilePath()), line, column },
    };
    return [{ diagnostic, file, start, isSyntax: found.getCode() < 2000 }];
  });
}

function semanticErrors(config: SourceFile) {
  const project = config.getProject();
  if (!importsDslAlone(config.getFullText())) return project.getPreEmitDiagnostics();
  const program = project.getProgram();
  return [...program.getGlobalDiagnostics(), ...program.getSemanticDiagnostics(config)];
}

export function spanOf(node: Node): Span {
  const file = node.getSourceFile();
  return { file: displayPath(file.getFilePath()), ...placeOf(file, node.getStart()) };
}

/** Uses TypeScript's line table: ts-morph counts lines each time. */
function placeOf(file: SourceFile, position: number): { line: number; column: number } {
  const { line, character } = ts.getLineAndCharacterOfPosition(file.compilerNode, position);
  return { line: line + 1, column: character + 1 };
}

/** A path as a user would type it: relative if the file is below the working directory. */
function displayPath(path: string): string {
  const fromHere = relative(process.cwd(), path);
  return fromHere === "" || fromHere.startsWith("..") ? path : fromHere;
}

/** A path as headers of emitted files name it: the same on every machine. */
export function portablePath(path: string, configPath: string): string {
  const inPackage = relative(PACKAGE_ROOT, path);
  return inPackage.startsWith("..") ? relative(dirname(resolve(configPath)), path) : inPackage;
}
