/**
 * `normrope_args` as bytes.
 *
 * In: values by the paths of their fields, such as `eps` and `q.in`. Out: the struct, laid out by the table of inputs, with
 * all that is not set NULL or 0. Checks nothing: the C interface does.
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

  /** Addresses are bigints; numbers of a field of 64 bits are whole. */
  set(path: string, value: number | bigint): void {
    const { offset, input } = fieldAt(path);
    if (input.type === "float") this.#view.setFloat32(offset, Number(value), true);
    else if (input.type === "uint32_t") this.#view.setUint32(offset, Number(value), true);
    else if (typeof value === "bigint") this.#view.setBigInt64(offset, value, true);
    else {
      // As two words: to make a bigint of every number would take as long as all else of a call.
      this.#view.setInt32(offset, value % 2 ** 32, true);
      this.#view.setInt32(offset + 4, Math.floor(value / 2 ** 32), true);
    }
  }
}
