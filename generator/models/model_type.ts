/**
 * The form of a row of `model_types`: what a model type does to each head of q, k and v, as an op that ships and values of its
 * axes, and which fields of its configs hold what differs between models.
 *
 * In: the axes of the language. Out: types, and the axes that no config gives.
 */
import { AXES, type AxisName, type AxisValues } from "../../dsl/axes.js";
import type { Axis } from "../../dsl/axis.js";
import type { PairAxesOptions } from "../../runtime/pair_axes.js";
import type { LackName } from "./lacks.js";

/** The axes whose values configs give. */
const READ = { headDim: true, rotaryDim: true, dtype: true } satisfies { readonly [N in AxisName]?: true };

export type SaidAxis = Exclude<AxisName, keyof typeof READ>;

/** The other axes. Each has a flag for models that are not known. */
export const SAID_AXES: readonly Axis[] = AXES.filter(({ name }) => !Object.hasOwn(READ, name));

/** The name of an axis's flag: `position-axes` for `positionAxes`. */
export const flagOf = ({ name }: Axis): string =>
  name.replaceAll(/[A-Z]/g, (upper) => `-${upper.toLowerCase()}`);

/** Which of a model's layers have attention, and how layers differ. Every string but `others` and `allAre` names a field of the config. */
export interface LayerRule {
  /** Without `layer_types`, every layer is of this type. Default: `full_attention`. */
  readonly allAre?: "sliding_attention";
  /** Without `layer_types`, every n-th layer is `full_attention`. This is n, or the field that holds it. */
  readonly fullEvery?: number | string;
  /** Without `layer_types`, the first layer is `full_attention` too. */
  readonly firstIsFull?: true;
  /** Without `layer_types`, this field lists the `full_attention` layers. */
  readonly fullListed?: string;
  /** The type of the other layers then. Default: `sliding_attention`. */
  readonly others?: string;
  /** What the model's own code takes a type of `layer_types` for. */
  readonly readAs?: Readonly<Record<string, string>>;
  /** Without `layer_types`, this field holds a number for each layer, and these are the types that they stand for. */
  readonly coded?: { readonly field: string; readonly types: Readonly<Record<string, string>> };
  /** The last layer is `full_attention` whatever the config says. */
  readonly lastIsFull?: true;
  /** `full_attention` layers do not rotate, unless the field `unlessNull` is null. */
  readonly fullHasNoRope?: { readonly unlessNull?: string };
  /** Without `no_rope_layers`, every n-th layer does not rotate. This is the field that holds n. */
  readonly noRopeEvery?: string;
  /** Layers that do not rotate have no norm either. */
  readonly noRopeNoNorm?: true;
  /** The field with the number of last layers that take k and v from an earlier layer. */
  readonly sharedKv?: string;
  /** Fields that `full_attention` layers read instead of the usual ones. A `gate` must be true for it. */
  readonly fullFields?: Readonly<Record<string, { readonly field: string; readonly gate?: string }>>;
  /** Fields with a number of heads for each layer. */
  readonly perLayer?: { readonly [N in "num_attention_heads" | "num_key_value_heads"]?: string };
  /** How many times as many kv heads `sliding_attention` layers have. */
  readonly slidingKv?: number;
  /** Set if `import` cannot tell which layers have attention. */
  readonly uncounted?: true;
}

/** The values of the axes that say where the model's own code rounds. */
export type Rounding = { readonly [N in "normRounding" | "angles" | "ropeRounding"]?: AxisValues[N] };

export interface ModelType {
  /** `model_type` of the config, and of the text config in it. If models share a type, `/` and the class follow. */
  readonly types: readonly string[];
  /** The source that the row's facts were read in. */
  readonly source: string;
  /** The op that ships and does it. Default: `qk_norm_rope`. */
  readonly op?: "qk_rope_norm" | "q_norm_kv_norm_rope";
  /** Values of the op's axes, unless they are the default. */
  readonly axes?: { readonly [Name in SaidAxis]?: AxisValues[Name] };
  /** What no op can do. Such a model is refused. */
  readonly lacks?: readonly LackName[];
  /** Where the model's own code rounds, or why no values are like it. Undefined if it is not known. */
  readonly rounding?: Rounding | string;
  /** The field that switches the norm on. */
  readonly normSwitch?: string;
  /** The config's own names of usual fields. */
  readonly names?: Readonly<Record<string, string>>;
  /** The defaults of the model's own code. For kv heads, null means as many as q heads. */
  readonly defaults?: Readonly<Record<string, unknown>>;
  /** The eps, if no field gives it. */
  readonly eps?: number;
  /** Whether the model's own code reads `partial_rotary_factor`. */
  readonly partial?: true;
  /** One of these fields must say how much of a head rotates, because versions of the code have other defaults. */
  readonly rotaryStatedBy?: readonly string[];
  /** The values of `rope_type` that the model's own code knows. Default: all. */
  readonly ropeTypes?: readonly string[];
  /** Whether the model's own code reads `alpha` of a dynamic scaling. */
  readonly alpha?: true;
  /** The model's own code has no layer types, so parameters of RoPE by layer type say nothing to it. */
  readonly oneTable?: true;
  /** The model's own code reads `rope_parameters` by layer type, and none of the fields beside them. */
  readonly byTypeAlone?: true;
  /** The old field for the base of each layer type. */
  readonly thetaOf?: Readonly<Record<string, string>>;
  /** The names under which `rope_parameters` holds the parameters of each layer type. Others have no scaling. */
  readonly tableOf?: { readonly scaled: string; readonly types: Readonly<Record<string, string>> };
  /** How the pairs follow the axes of positions, unless the config says other `sections`. */
  readonly pairAxes?: PairAxesOptions;
  /** The model rotates by the negative angle. */
  readonly backwards?: true;
  /** How the rows of cosine and sine are made that a call gives, for models without a table. */
  readonly rows?: string;
  readonly layers?: LayerRule;
  /** What a caller must know besides: for every model of the type, or for those whose config has the field `where` at true. */
  readonly remarks?: readonly (string | { readonly where: string; readonly text: string })[];
}
