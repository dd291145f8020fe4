// The kernels of this project, as types. Emitted from templates/ts/kernels.ts.hbs by `normrope emit`.
import { type Library, type OpenOptions, open as openAny } from "normrope/runtime";

/** The points that kernels were emitted for, by kernel id; an axis at its default may be left out. */
export interface Points {
  readonly qk_norm_rope__bf16_d64_r64_interleaved: {
    readonly op?: "qk_norm_rope";
    readonly headDim: 64;
    readonly rotaryDim?: 64;
    readonly rope: "interleaved";
    readonly dtype: "bf16";
    readonly norm?: "rms";
    readonly weight?: "plain";
    readonly weightDtype?: "same";
    readonly normRounding?: "once";
    readonly rotaryAt?: "leading";
    readonly angles?: "table";
    readonly positionAxes?: 1;
    readonly ropeRounding?: "once";
    readonly value?: "none";
    readonly cache?: "none";
    readonly out?: "same";
  };
  readonly qk_norm_rope__bf16_d64_r64_neox: {
    readonly op?: "qk_norm_rope";
    readonly headDim: 64;
    readonly rotaryDim?: 64;
    readonly rope: "neox";
    readonly dtype: "bf16";
    readonly norm?: "rms";
    readonly weight?: "plain";
    readonly weightDtype?: "same";
    readonly normRounding?: "once";
    readonly rotaryAt?: "leading";
    readonly angles?: "table";
    readonly positionAxes?: 1;
    readonly ropeRounding?: "once";
    readonly value?: "none";
    readonly cache?: "none";
    readonly out?: "same";
  };
  readonly qk_norm_rope__bf16_d128_r128_interleaved: {
    readonly op?: "qk_norm_rope";
    readonly headDim: 128;
    readonly rotaryDim?: 128;
    readonly rope: "interleaved";
    readonly dtype: "bf16";
    readonly norm?: "rms";
    readonly weight?: "plain";
    readonly weightDtype?: "same";
    readonly normRounding?: "once";
    readonly rotaryAt?: "leading";
    readonly angles?: "table";
    readonly positionAxes?: 1;
    readonly ropeRounding?: "once";
    readonly value?: "none";
    readonly cache?: "none";
    readonly out?: "same";
  };
  readonly qk_norm_rope__bf16_d128_r128_neox: {
    readonly op?: "qk_norm_rope";
    readonly headDim: 128;
    readonly rotaryDim?: 128;
    readonly rope: "neox";
    readonly dtype: "bf16";
    readonly norm?: "rms";
    readonly weight?: "plain";
    readonly weightDtype?: "same";
    readonly normRounding?: "once";
    readonly rotaryAt?: "leading";
    readonly angles?: "table";
    readonly positionAxes?: 1;
    readonly ropeRounding?: "once";
    readonly value?: "none";
    readonly cache?: "none";
    readonly out?: "same";
  };
  readonly qk_norm_rope__bf16_d256_r256_interleaved: {
    readonly op?: "qk_norm_rope";
    readonly headDim: 256;
    readonly rotaryDim?: 256;
    readonly rope: "interleaved";
    readonly dtype: "bf16";
    readonly norm?: "rms";
    readonly weight?: "plain";
    readonly weightDtype?: "same";
    readonly normRounding?: "once";
    readonly rotaryAt?: "leading";
    readonly angles?: "table";
    readonly positionAxes?: 1;
    readonly ropeRounding?: "once";
    readonly value?: "none";
    readonly cache?: "none";
    readonly out?: "same";
  };
  readonly qk_norm_rope__bf16_d256_r256_neox: {
    readonly op?: "qk_norm_rope";
    readonly headDim: 256;
    readonly rotaryDim?: 256;
    readonly rope: "neox";
    readonly dtype: "bf16";
    readonly norm?: "rms";
    readonly weight?: "plain";
    readonly weightDtype?: "same";
    readonly normRounding?: "once";
    readonly rotaryAt?: "leading";
    readonly angles?: "table";
    readonly positionAxes?: 1;
    readonly ropeRounding?: "once";
    readonly value?: "none";
    readonly cache?: "none";
    readonly out?: "same";
  };
}

export type KernelId = keyof Points;
export type Point = Points[KernelId];

/** `open` of normrope/runtime, for these points only: any other is a compile error. */
export function open(options?: OpenOptions): Promise<Library<Point>> {
  return openAny<Point>(options);
}
