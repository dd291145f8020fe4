/**
 * A model's config.json → the part of it that describes the attention of text.
 *
 * In: the path of a file that may hold anything. Out: the fields as written, and the names of the model. Does not interpret
 * them: `fields` and `rope` do.
 */
import { existsSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { quoted, reasonOf, show, type UserError, userError } from "../diagnostics.js";

/** Fields of a JSON object. */
export type Fields = Readonly<Record<string, unknown>>;

export interface ModelConfig {
  readonly path: string;
  /** `model_type`, or the `_class_name` of a diffusers config; undefined if it has neither. */
  readonly type: string | undefined;
  /** `architectures`, the names of its classes. */
  readonly classes: readonly string[];
  /** The type of the whole config, if the text model is only a part of it. */
  readonly outerType: string | undefined;
  /** What messages put before a field's name: empty, or `text_config.` */
  readonly prefix: string;
  readonly fields: Fields;
  /** The whole config. */
  readonly outer: Fields;
}

/** Configs are some kilobytes; the largest, with lists for each layer and frequency, some hundred. */
const CONFIG_BYTES_MAX = 2 ** 22;

/** Where a multimodal model keeps the config of its text model. */
const TEXT_CONFIGS = "thinker_config.text_config text_config llm_config language_config".split(" ");

/** @throws UserError `model-config-unreadable`, `bad-model-config`. */
export function readModelConfig(path: string): ModelConfig {
  const outer = parse(path, readText(path));
  const outerType = typeName(path, "", outer);
  const textAt = (place: string) =>
    place.split(".").reduce<Fields | undefined>((at, name) => at && objectAt(path, at, name), outer);
  const place = TEXT_CONFIGS.find((each) => textAt(each) !== undefined);
  const fields = place === undefined ? outer : (textAt(place) ?? outer);
  const prefix = place === undefined ? "" : `${place}.`;
  // Not every text config repeats its type.
  const type = typeName(path, prefix, fields) ?? outerType;
  const classes = classesOf(fields);
  return { path, type, classes, outerType: place && outerType, prefix, fields, outer };
}

function typeName(path: string, prefix: string, fields: Fields): string | undefined {
  const name = Object.hasOwn(fields, "model_type") ? "model_type" : "_class_name";
  const value = fields[name];
  if (value === undefined || value === null) return undefined;
  if (typeof value === "string" && value !== "") return value;
  throw badField({ path, prefix }, name, value, "the name of an architecture, such as qwen3");
}

function classesOf({ architectures }: Fields): string[] {
  return Array.isArray(architectures) ? architectures.filter((name) => typeof name === "string") : [];
}

function objectAt(path: string, fields: Fields, name: string): Fields | undefined {
  const value = Object.hasOwn(fields, name) ? fields[name] : undefined;
  if (value === undefined || value === null) return undefined;
  if (isObject(value)) return value;
  throw badField({ path, prefix: "" }, name, value, "an object, the config of the text model");
}

/** The error `bad-model-config` for a value that a field cannot have. */
export function badField(
  { path, prefix }: Pick<ModelConfig, "path" | "prefix">,
  field: string,
  value: unknown,
  want: string,
): UserError {
  const what = `${quoted(prefix + field)} ${value === undefined ? "is missing" : `is ${show(value)}`}`;
  return userError("bad-model-config", `${quoted(path)}: ${what}`, `it must be ${want}`);
}

export function isObject(value: unknown): value is Fields {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** Common mistakes in texts that are not JSON, and their fixes. */
const SLIPS: readonly (readonly [RegExp, string])[] = [
  [/^\s*$/, "it is empty: download it again, or name the config.json of a Hugging Face model"],
  [/^\s*<(!doctype|html)/i, "it is a web page: download the file itself, not the page that shows it"],
  [/^version https:\/\/git-lfs/, "it is a pointer of Git LFS: run `git lfs pull`"],
  // An object, with comments before it or in it.
  [/^\s*((\/\/|#)[^\n]*\n\s*|\/\*((?!\*\/)[\s\S])*\*\/\s*)+\{/, "JSON has no comments: take them out"],
  [/^\s*\{[\s\S]*[{[,\n][ \t]*(\/\/|\/\*|#)/, "JSON has no comments: take them out"],
];
/** Only the start of a text is searched for slips. */
const SLIP_WITHIN = 10_000;

function parse(path: string, text: string): Fields {
  let value: unknown;
  try {
    value = parsePython(text);
  } catch (cause) {
    const start = text.slice(0, SLIP_WITHIN);
    const fix = SLIPS.find(([slip]) => slip.test(start))?.[1];
    throw unreadable(path, `is not JSON: ${reasonOf(cause)}`, fix);
  }
  if (isObject(value)) return value;
  throw unreadable(path, `holds ${show(value)}, and a config is an object`);
}

/** Strings, and the numbers that Python writes although JSON lacks them. The numbers are read as strings. */
const TEXT_OR_NUMBER = /"(?:[^"\\]|\\.)*"|-?\bInfinity\b|\bNaN\b/g;

/** JSON as Python writes it. @throws SyntaxError. */
function parsePython(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    const json = text.replace(TEXT_OR_NUMBER, (found) => (found.startsWith('"') ? found : `"${found}"`));
    if (json === text) throw error;
    return JSON.parse(json);
  }
}

function readText(path: string): string {
  try {
    const stat = statSync(path);
    if (stat.isDirectory()) {
      const inside = join(path, "config.json");
      throw unreadable(
        path,
        "is a folder",
        `name ${existsSync(inside) ? quoted(inside) : "the config.json in it"}`,
      );
    }
    if (!stat.isFile()) throw unreadable(path, "is not a file");
    if (stat.size > CONFIG_BYTES_MAX) {
      throw unreadable(path, `has ${stat.size} bytes, and a config at most ${CONFIG_BYTES_MAX}`);
    }
    return new TextDecoder("utf-8", { fatal: true }).decode(readFileSync(path));
  } catch (error) {
    if (error instanceof TypeError && !("syscall" in error) && "code" in error) {
      const isBytes = error.code !== "ERR_INVALID_ARG_VALUE";
      if (isBytes) throw unreadable(path, "is no text in UTF-8", "write it as UTF-8");
      throw unreadable(path, "is no path");
    }
    if (error instanceof Error && "syscall" in error)
      throw unreadable(path, `cannot be read: ${reasonOf(error)}`);
    throw error;
  }
}

function unreadable(
  path: string,
  what: string,
  fix = "name the config.json of a Hugging Face model",
): UserError {
  return userError("model-config-unreadable", `${quoted(path)} ${what}`, fix);
}
