/**
 * The state that an open library shares with everything made from it, and the base class of its handles.
 *
 * In: the functions of a loaded library. Out: handles that are freed once, at the latest on close, and that refuse use
 * after. Does not know what a handle stands for.
 */
/// <reference lib="esnext.disposable" preserve="true" />

import type { Target } from "../dsl/manifest.js";
import { NormropeError } from "./errors.js";
import { type Address, bytesOf, checkStatus, type NativeFunctions } from "./library.js";

export interface Session {
  readonly functions: NativeFunctions;
  readonly target: Target;
  /** Everything to be freed on close. */
  readonly owned: Set<Owned>;
  closed: boolean;
  /** Calls that were launched, by kernel id. */
  readonly launches: Map<string, number>;
}

/** A handle of the library: used while open, freed once. */
export abstract class Owned implements Disposable {
  readonly #session: Session;
  readonly #what: string;
  readonly #release: (address: Address) => number;
  readonly #address: Address;
  #isFreed = false;

  constructor(session: Session, what: string, address: Address, release: (address: Address) => number) {
    this.#session = session;
    this.#what = what;
    this.#address = address;
    this.#release = release;
    session.owned.add(this);
  }

  protected get session(): Session {
    return this.#session;
  }

  protected get functions(): NativeFunctions {
    return this.#session.functions;
  }

  /** @throws NormropeError `closed` after it was freed. `field` names it in the message. */
  requireAlive(field = `the ${this.#what}`): void {
    if (this.#isFreed) throw new NormropeError("closed", `${field} was freed`, `Make a new ${this.#what}`);
  }

  /** Its address. @throws NormropeError `closed` after it was freed. */
  get address(): Address {
    this.requireAlive();
    return this.#address;
  }

  /** False for an object that only looks like a handle. */
  belongsTo(session: Session): boolean {
    return #session in this && this.#session === session;
  }

  /** Frees it. A second call does nothing. */
  free(): void {
    if (this.#isFreed) return;
    this.#isFreed = true;
    this.#session.owned.delete(this);
    checkStatus(this.functions, this.#release(this.#address));
  }

  [Symbol.dispose](): void {
    this.free();
  }
}

/** Takes the handle that a C function writes. @throws NormropeError `closed`, or the function's error. */
export function takeHandle(session: Session, create: (out: Uint8Array) => number): Address {
  requireOpen(session);
  const out = new BigUint64Array(1);
  checkStatus(session.functions, create(bytesOf(out)));
  return out[0] ?? 0n;
}

export function requireOpen(session: Session): void {
  if (session.closed) throw new NormropeError("closed", "the library was closed", "Open it again");
}
