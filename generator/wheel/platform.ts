/**
 * The platform tag of a library: the oldest Linux that it runs on.
 *
 * In: what readelf says of a library. Out: a tag of PEP 600, such as manylinux_2_34_x86_64. Pure.
 */
import { internalError } from "../diagnostics.js";

/** PEP 425's names for Node's names of CPUs. */
const ARCHS: Readonly<Record<string, string>> = { x64: "x86_64", arm64: "aarch64" };

/** What every Linux has, with the versions below. */
const SYSTEM_LIBRARIES =
  /^(libc\.so\.6|libm\.so\.6|libdl\.so\.2|librt\.so\.1|libpthread\.so\.0|libgcc_s\.so\.1|libstdc\+\+\.so\.6|ld-linux.*)$/;

/** The newest symbols of libstdc++ where there is a version 2.x of glibc, by the policies of auditwheel. */
const POLICIES = [
  { glibc: 17, glibcxx: 19, cxxabi: 7 },
  { glibc: 24, glibcxx: 22, cxxabi: 10 },
  { glibc: 28, glibcxx: 24, cxxabi: 11 },
  { glibc: 31, glibcxx: 28, cxxabi: 12 },
  { glibc: 34, glibcxx: 29, cxxabi: 13 },
  { glibc: 35, glibcxx: 30, cxxabi: 13 },
  { glibc: 39, glibcxx: 33, cxxabi: 15 },
];

/**
 * The tag of a library by the output of `readelf --dynamic --version-info`. If no policy covers what the library needs,
 * the tag promises no more than the CPU.
 */
export function platformTag(readelf: string, cpuArch: string = process.arch): string {
  const arch = ARCHS[cpuArch];
  if (arch === undefined) throw internalError("wheel", `no name of PEP 425 for the CPU ${cpuArch}`);
  const libraries = [...readelf.matchAll(/\(NEEDED\).*\[(.*)\]/g)].map(([, name = ""]) => name);
  const newest = (name: string) => {
    const minors = [...readelf.matchAll(new RegExp(`Name: ${name}\\.(\\d+)`, "g"))].map(([, minor]) =>
      Number(minor),
    );
    return Math.max(0, ...minors);
  };
  const [glibc, glibcxx, cxxabi] = [newest("GLIBC_2"), newest("GLIBCXX_3\\.4"), newest("CXXABI_1\\.3")];
  const policy = POLICIES.find((each) => glibcxx <= each.glibcxx && cxxabi <= each.cxxabi);
  if (glibc === 0 || policy === undefined || !libraries.every((name) => SYSTEM_LIBRARIES.test(name))) {
    return `linux_${arch}`;
  }
  return `manylinux_2_${Math.max(glibc, policy.glibc)}_${arch}`;
}
