/** Positions, and given cosines and sines, of a benchmark. In: an open library, a kernel, tokens. Out: buffers. */
import type { ManifestKernel } from "../../dsl/manifest.js";
import { bytesOf, encode } from "../../runtime/dtype.js";
import type { DeviceBuffer, Library } from "../../runtime/index.js";

export interface GivenAngles extends Disposable {
  /** Undefined if any positions do. */
  readonly positions: DeviceBuffer | undefined;
  readonly pairAxes: DeviceBuffer | undefined;
  readonly rows: DeviceBuffer | undefined;
  /** Bytes of cosines and sines that are read for a token. */
  readonly bytesPerToken: number;
}

/** Positions of several axes, and rows of cosine 1 and sine 0 by position. */
export function givenAngles(library: Library, entry: ManifestKernel, tokens: number): GivenAngles {
  const { positionAxes, inputs, inputDtypes, point } = entry;
  const rotaryDim = entry.pairing?.rotaryDim ?? 0;
  const owned: DeviceBuffer[] = [];
  const own = <B extends DeviceBuffer>(buffer: B): B => {
    owned.push(buffer);
    return buffer;
  };
  const takesRows = inputs.includes("cos_sin");
  const isFloat32 = inputDtypes.cos_sin === "f32";
  const row = Array.from({ length: rotaryDim }, (_, i) => (i < rotaryDim / 2 ? 1 : 0));
  const rows = () => {
    const bits = isFloat32
      ? Float32Array.from(row)
      : Uint16Array.from(row, (one) => encode(point.dtype, one));
    const all = new (isFloat32 ? Float32Array : Uint16Array)(tokens * rotaryDim);
    for (let token = 0; token < tokens; token++) all.set(bits, token * rotaryDim);
    return own(library.upload(isFloat32 ? "float32" : point.dtype, all as never));
  };
  const indices = () =>
    own(
      library.upload(
        "int32",
        Int32Array.from({ length: positionAxes * tokens }, (_, i) => i % tokens),
      ),
    );
  const axes = () =>
    own(
      library.upload(
        "uint8",
        Uint8Array.from({ length: rotaryDim / 2 }, (_, i) => i % positionAxes),
      ),
    );
  return {
    positions: takesRows || positionAxes > 1 ? indices() : undefined,
    pairAxes: positionAxes > 1 ? axes() : undefined,
    rows: takesRows ? rows() : undefined,
    bytesPerToken: takesRows ? rotaryDim * (isFloat32 ? 4 : bytesOf(point.dtype)) : 0,
    [Symbol.dispose]: () => {
      for (const buffer of owned) buffer.free();
    },
  };
}
