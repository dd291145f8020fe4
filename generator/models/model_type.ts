/**
 * The form of a row of `model_types`: what a model type does to each head of q and k, and which fields of its configs hold
 * what differs between models.
 *
 * In: the stages and axes of the language. Out: types, and the axes that no config gives.
 */
import { AXES, type AxisName, type AxisValues } from "../../dsl/axes.js";
import type { Axis } from "../../dsl/axis.js";
import type * as stages from "../../dsl/stages/index.js";
import type { LackName } from "./lacks.js";

type StageName = keyof typeof stages;

/** The axes whose values configs give. */
const READ = { headDim: true, rotaryDim: true, dtype: true } satisfies { readonly [N in AxisName]?: true };

export type SaidAxis = Exclude<AxisName, keyof typeof READ>;

/** The other axes. Each has a flag for models that are not known. */
export const SAID_AXES: readonly Axis[] = AXES.filter(({ name }) => !Object.hasOwn(READ, name));

/** The name of an axis's flag: `position-axes` for `positionAxes`. */
export const flagOf = ({ name }: Axis): string =>
  name.replaceAll(/[A-Z]/g, (upper) => `-${upper.toLowerCase()}`);

/** Which of a model's layers have attention, and how layers differ. Every string but `others` names a field of the config. */
export interface LayerRule {
  /** Without `layer_types`, every n-th layer is `full_attention`. This is n, or the field that holds it. */
  readonly fullEvery?: number | string;
  /** Without `layer_types`, this field lists the `full_attention` layers. */
  readonly fullListed?: string;
  /** The type of the other layers then. Default: `sliding_attention`. */
  readonly others?: string;
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
  /** Set if `import` cannot tell which layers have attention. */
  readonly uncounted?: true;
}

export interface ModelType {
  /** `model_type` of the config, and of the text config in it. If models share a type, `/` and the class follow. */
  readonly types: readonly string[];
  /** The source that the row's facts were read in. */
  readonly source: string;
  /** The stages of each head of q and k, as in an op. Every row without `lacks` has it. */
  readonly head?: `${StageName}(x)` | `${StageName}(${StageName}(x))`;
  /** Values of these stages' axes, unless they are the default. */
  readonly axes?: { readonly [Name in SaidAxis]?: AxisValues[Name] };
  /** What the language has no stage for. Such a model is refused. */
  readonly lacks?: readonly LackName[];
  /** What the model's own code rounds in each stage, with DTYPE for its dtype. Undefined if it is not known. */
  readonly rounding?: { readonly [Name in StageName]?: string };
  /** The field that switches the norm on. */
  readonly normSwitch?: string;
  /** The config's own names of usual fields. */
  readonly names?: Readonly<Record<string, string>>;
  /** The defaults of the model's own code. For kv heads, null means as many as q heads. */
  readonly defaults?: Readonly<Record<string, unknown>>;
  /** Whether the model's own code reads `partial_rotary_factor`. */
  readonly partial?: true;
  /** One of these fields must say how much of a head rotates, because versions of the code have other defaults. */
  readonly rotaryStatedBy?: readonly string[];
  /** The values of `rope_type` that the model's own code knows. Default: all. */
  readonly ropeTypes?: readonly string[];
  /** Whether the model's own code reads `alpha` of a dynamic scaling. */
  readonly alpha?: true;
  /** The old field for the base of each layer type. */
  readonly thetaOf?: Readonly<Record<string, string>>;
  readonly layers?: LayerRule;
  /** What a caller must know besides: for every model of the type, or for those whose config has the field `where` at true. */
  readonly remarks?: readonly (string | { readonly where: string; readonly text: string })[];
}
