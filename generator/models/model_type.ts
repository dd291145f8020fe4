/**
 * The form of a row of `model_types`: what a model type does to q and k, and where its configs say what differs.
 *
 * In: nothing. Out: types alone.
 */
import type { Facts, OtherLimit, Rounding } from "./facts.js";

/** Which of a model's layers have attention, and what differs between them. All of it names fields of the config. */
export interface LayerRule {
  /** Without `layer_types`: every n-th layer is `full_attention`, the others sliding; n, or the field that holds it. */
  readonly fullEvery?: number | string;
  /** Without `layer_types`: the field that lists the `full_attention` layers; the others are `conv`. */
  readonly fullListed?: string;
  /** The last layer is `full_attention` whatever the config says. */
  readonly lastIsFull?: true;
  /** `full_attention` layers have the norm and no RoPE; unless the field is null, where one is named. */
  readonly fullHasNoRope?: { readonly unlessNull?: string };
  /** The field that counts the last layers, which take k from an earlier one. */
  readonly sharedKv?: string;
  /** Fields that `full_attention` layers read for others; `gate` must be true for it. */
  readonly fullFields?: Readonly<Record<string, { readonly field: string; readonly gate?: string }>>;
  /** The field that decides, in a way that is not read here, which layers have attention at all. */
  readonly someBy?: string;
}

export interface ModelType {
  /** `model_type` of the config, and of the text config in it; `/` and its class where models share a type. */
  readonly types: readonly string[];
  /** Where the facts were read. */
  readonly source: string;
  readonly facts: Partial<Facts>;
  readonly also?: readonly OtherLimit[];
  readonly rounding?: Rounding;
  /** The field without which there is no norm of q and k. */
  readonly normSwitch?: string;
  /** What the config calls a field otherwise. */
  readonly names?: Readonly<Record<string, string>>;
  /** What the model's own code takes for fields that a config leaves out; kv heads that are null are the q heads. */
  readonly defaults?: Readonly<Record<string, unknown>>;
  /** Whether the model's own code reads `partial_rotary_factor`. */
  readonly partial?: true;
  /** The fields of which one must say how much of a head rotates: versions of the code differ where none does. */
  readonly rotaryStatedBy?: readonly string[];
  /** The config's old fields for the base of the layer types that `rope_theta` and `rope_scaling` are not for. */
  readonly thetaOf?: Readonly<Record<string, string>>;
  readonly layers?: LayerRule;
  /** What a caller must know beside it. */
  readonly remarks?: readonly Remark[];
}

/** A remark on every model of a type, or on those whose config has a field at true. */
type Remark = string | { readonly where: string; readonly text: string };
