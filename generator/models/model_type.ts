/**
 * The form of a row of `model_types`: what a model type does to each head of q and k, in the words of the language, and
 * where its configs say what differs.
 *
 * In: the stages and axes of the language. Out: types, and the axes that no config says.
 */
import { AXES, type AxisName, type AxisValues } from "../../dsl/axes.js";
import type { Axis } from "../../dsl/axis.js";
import type * as stages from "../../dsl/stages/index.js";
import type { LackName } from "./lacks.js";

type StageName = keyof typeof stages;

/** Configs say these. */
const READ = { headDim: true, rotaryDim: true, dtype: true } satisfies { readonly [N in AxisName]?: true };

export type SaidAxis = Exclude<AxisName, keyof typeof READ>;

/** The others: a flag says each of a model that is not known. */
export const SAID_AXES: readonly Axis[] = AXES.filter(({ name }) => !Object.hasOwn(READ, name));

/** `positionAxes` is said by `--position-axes`. */
export const flagOf = ({ name }: Axis): string =>
  name.replaceAll(/[A-Z]/g, (upper) => `-${upper.toLowerCase()}`);

/** Which of a model's layers have attention, and what differs between them. All of it names fields of the config. */
export interface LayerRule {
  /** Without `layer_types`: every n-th layer is `full_attention`; n, or the field that holds it. */
  readonly fullEvery?: number | string;
  /** Without `layer_types`: the field that lists the `full_attention` layers. */
  readonly fullListed?: string;
  /** The type of the layers that are not `full_attention` then. Default: `sliding_attention`. */
  readonly others?: string;
  /** The last layer is `full_attention` whatever the config says. */
  readonly lastIsFull?: true;
  /** `full_attention` layers do not rotate; unless the field is null, where one is named. */
  readonly fullHasNoRope?: { readonly unlessNull?: string };
  /** Without `no_rope_layers`: the field that holds n, and every n-th layer does not rotate. */
  readonly noRopeEvery?: string;
  /** Layers that do not rotate have no norm either. */
  readonly noRopeNoNorm?: true;
  /** The field that counts the last layers, which take k from an earlier one. */
  readonly sharedKv?: string;
  /** Fields that `full_attention` layers read for others; `gate` must be true for it. */
  readonly fullFields?: Readonly<Record<string, { readonly field: string; readonly gate?: string }>>;
  /** Which layers have attention at all is not read. */
  readonly uncounted?: true;
}

export interface ModelType {
  /** `model_type` of the config, and of the text config in it; `/` and its class where models share a type. */
  readonly types: readonly string[];
  /** Where the row's facts were read. */
  readonly source: string;
  /** What is done to each head of q and k, as an op has it; each row without `lacks` has one. */
  readonly head?: `${StageName}(x)` | `${StageName}(${StageName}(x))`;
  /** Values of the axes of these stages, where they are not the default. */
  readonly axes?: { readonly [Name in SaidAxis]?: AxisValues[Name] };
  /** What the language has no word for: such a model is refused. */
  readonly lacks?: readonly LackName[];
  /** What the model's own code rounds in a stage, with DTYPE for its dtype. Left out: it is not known. */
  readonly rounding?: { readonly [Name in StageName]?: string };
  /** The field without which there is no `norm`. */
  readonly normSwitch?: string;
  /** What the config calls a field otherwise. */
  readonly names?: Readonly<Record<string, string>>;
  /** What the model's own code takes for fields that a config leaves out; kv heads that are null are the q heads. */
  readonly defaults?: Readonly<Record<string, unknown>>;
  /** Whether the model's own code reads `partial_rotary_factor`. */
  readonly partial?: true;
  /** The fields of which one must say how much of a head rotates: versions of the code differ where none does. */
  readonly rotaryStatedBy?: readonly string[];
  /** The values of `rope_type` that the model's own code reads as they are named. Default: all. */
  readonly ropeTypes?: readonly string[];
  /** Whether the model's own code reads `alpha` of a dynamic scaling. */
  readonly alpha?: true;
  /** The config's old fields for the base of the layer types that `rope_theta` and `rope_scaling` are not for. */
  readonly thetaOf?: Readonly<Record<string, string>>;
  readonly layers?: LayerRule;
  /** What a caller must know beside it: of every model of the type, or of those whose config has a field at true. */
  readonly remarks?: readonly (string | { readonly where: string; readonly text: string })[];
}
