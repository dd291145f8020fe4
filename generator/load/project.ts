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

/** A config is some hundred lines: what is larger is another file, and ts-morph would take minutes to read it. */
const CONFIG_BYTES_MAX = 2 ** 17;

/** @throws UserError `config-not-found`, `config-unreadable`. */
export function openConfig(path: string): SourceFile {
  return parseConfig(path, readConfig(path));
}

/** Reads every config that imports `normrope/dsl` alone: TypeScript works out once what it knows of that and of its library. */
let shared: { readonly project: Project; config?: SourceFile } | undefined;

/**
 * A config that is not on disk in this form. The nodes of the config that was parsed before may be gone afterwards.
 */
export function parseConfig(path: string, text: string): SourceFile {
  return withinStack(path, () => {
    // Files of the user's may change between two reads, which a project that knows them would not see.
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

/** TypeScript follows what is nested by calls. @throws UserError `config-unreadable` where these are too many. */
export function withinStack<T>(path: string, read: () => T): T {
  try {
    return read();
  } catch (error) {
    shared = undefined; // whatever TypeScript was in the middle of
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
  /** The text is not TypeScript at all, so that nothing else can be said of it. */
  readonly isSyntax: boolean;
}

/** Whether a file is one of the package that the language is written in. */
export function isOfDsl(file: SourceFile): boolean {
  return [DSL_FOLDER, join(DSL_FOLDER, "stages")].includes(dirname(file.getFilePath()));
}

/** What TypeScript finds wrong in the config and everything it imports, the libraries left out. */
export function typeErrors(config: SourceFile): TypeError[] {
  const program = config.getProject().getProgram();
  // What is no TypeScript has as many type errors as words.
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

/** TypeScript keeps the places of the line ends; ts-morph counts them each time. */
function placeOf(file: SourceFile, position: number): { line: number; column: number } {
  const { line, character } = ts.getLineAndCharacterOfPosition(file.compilerNode, position);
  return { line: line + 1, column: character + 1 };
}

/** A path as a user would type it: relative where the file lies below the working folder. */
function displayPath(path: string): string {
  const fromHere = relative(process.cwd(), path);
  return fromHere === "" || fromHere.startsWith("..") ? path : fromHere;
}

/** A path as headers of emitted files name it: the same on every machine. */
export function portablePath(path: string, configPath: string): string {
  const inPackage = relative(PACKAGE_ROOT, path);
  return inPackage.startsWith("..") ? relative(dirname(resolve(configPath)), path) : inPackage;
}
