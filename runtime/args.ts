/**
 * `normrope_args` as bytes.
 *
 * In: values by the paths of their fields, such as `eps` and `q.in`. Out: the struct, laid out by the table of inputs;
 * fields that are not set are 0. Checks nothing: C does.
 */
import { argsLayout, type Field } from "../dsl/inputs.js";

const LAYOUT = argsLayout();

function fieldAt(path: string): Field {
  const field = LAYOUT.fields.get(path);
  if (field === undefined) throw new RangeError(`normrope_args has no ${path}`);
  return field;
}

/** One call's arguments. */
export class Args {
  readonly bytes = new Uint8Array(LAYOUT.bytes);
  readonly #view = new DataView(this.bytes.buffer);

  constructor() {
    this.set("struct_size", LAYOUT.bytes);
  }

  /** Addresses are bigints. Numbers for 64-bit fields must be whole. */
  set(path: string, value: number | bigint): void {
    const { offset, input } = fieldAt(path);
    if (input.type === "float") this.#view.setFloat32(offset, Number(value), true);
    else if (input.type === "uint32_t") this.#view.setUint32(offset, Number(value), true);
    else if (typeof value === "bigint") this.#view.setBigInt64(offset, value, true);
    else {
      // Two words: making a bigint of every number would take as long as the rest of a call.
      this.#view.setInt32(offset, value % 2 ** 32, true);
      this.#view.setInt32(offset + 4, Math.floor(value / 2 ** 32), true);
    }
  }
}
