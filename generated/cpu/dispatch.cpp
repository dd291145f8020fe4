// Kernel table and call. Emitted from templates/cpu/dispatch.cpp.hbs by `normrope emit`.
#include "abi.hpp"
#include "threads.hpp"

extern "C" void qk_norm_rope__bf16_d64_r64_interleaved(const normrope_args &args, int64_t first_token, int64_t end_token);
extern "C" void qk_norm_rope__bf16_d64_r64_neox(const normrope_args &args, int64_t first_token, int64_t end_token);
extern "C" void qk_norm_rope__bf16_d128_r128_interleaved(const normrope_args &args, int64_t first_token, int64_t end_token);
extern "C" void qk_norm_rope__bf16_d128_r128_neox(const normrope_args &args, int64_t first_token, int64_t end_token);
extern "C" void qk_norm_rope__bf16_d256_r256_interleaved(const normrope_args &args, int64_t first_token, int64_t end_token);
extern "C" void qk_norm_rope__bf16_d256_r256_neox(const normrope_args &args, int64_t first_token, int64_t end_token);

namespace normrope {

const KernelEntry KERNELS[] = {
    { "qk_norm_rope__bf16_d64_r64_interleaved", 64, 2, 32, 4, 2, 1, 0,
      { { 7, 0, 0, 0 }, { 7, 0, 0, 0 }, { 0, 0, 0, 0 } }, { 29, 0, 0, 0 } },
    { "qk_norm_rope__bf16_d64_r64_neox", 64, 2, 32, 4, 4, 1, 0,
      { { 7, 0, 0, 0 }, { 7, 0, 0, 0 }, { 0, 0, 0, 0 } }, { 29, 0, 0, 0 } },
    { "qk_norm_rope__bf16_d128_r128_interleaved", 128, 2, 64, 4, 2, 1, 0,
      { { 7, 0, 0, 0 }, { 7, 0, 0, 0 }, { 0, 0, 0, 0 } }, { 29, 0, 0, 0 } },
    { "qk_norm_rope__bf16_d128_r128_neox", 128, 2, 64, 4, 4, 1, 0,
      { { 7, 0, 0, 0 }, { 7, 0, 0, 0 }, { 0, 0, 0, 0 } }, { 29, 0, 0, 0 } },
    { "qk_norm_rope__bf16_d256_r256_interleaved", 256, 2, 128, 4, 2, 1, 0,
      { { 7, 0, 0, 0 }, { 7, 0, 0, 0 }, { 0, 0, 0, 0 } }, { 29, 0, 0, 0 } },
    { "qk_norm_rope__bf16_d256_r256_neox", 256, 2, 128, 4, 4, 1, 0,
      { { 7, 0, 0, 0 }, { 7, 0, 0, 0 }, { 0, 0, 0, 0 } }, { 29, 0, 0, 0 } },
};
const int KERNEL_COUNT = 6;

const char *const MANIFEST =
    R"json({"abi":2,"compiler":"normrope 0.1.0","ops":[{"name":"qk_norm_rope","axes":[{"name":"headDim","kind":"integer","step":8,"min":16,"max":1024,"tag":"d","isImplied":true},{"name":"rotaryDim","kind":"integer","step":2,"min":0,"max":1024,"tag":"r","within":"headDim","follows":"headDim","isImplied":true},{"name":"rope","kind":"enum","values":["neox","interleaved"],"aliases":{"gptneox":"neox","rotatehalf":"neox","gptj":"interleaved"},"when":{"rotaryDim":{"kind":"integer","step":2,"min":2,"max":1024}}},{"name":"dtype","kind":"enum","values":["bf16","f16"],"aliases":{"bfloat16":"bf16","float16":"f16","fp16":"f16","half":"f16"},"leads":true,"isImplied":true},{"name":"norm","kind":"enum","values":["rms","layer","none"],"default":"rms","tags":{"layer":"layernorm","none":"nonorm"},"aliases":{"rmsnorm":"rms","layernorm":"layer"}},{"name":"weight","kind":"enum","values":["plain","one_plus","none"],"default":"plain","tags":{"one_plus":"w1p","none":"noweight"},"when":{"norm":{"kind":"enum","values":["rms","layer"]}}},{"name":"weightDtype","kind":"enum","values":["same","f32"],"default":"same","tags":{"f32":"w32"},"aliases":{"float32":"f32"},"isImplied":true,"when":{"norm":{"kind":"enum","values":["rms","layer"]},"weight":{"kind":"enum","values":["plain","one_plus"]}}},{"name":"bias","kind":"enum","values":["none","add"],"default":"none","tags":{"add":"bias"},"isImplied":true,"when":{"norm":{"kind":"enum","values":["layer"]}}},{"name":"normRounding","kind":"enum","values":["once","before_weight","after_weight","scale"],"default":"once","tags":{"before_weight":"nearly","after_weight":"nlate","scale":"nscale"},"when":{"norm":{"kind":"enum","values":["rms","layer"]}}},{"name":"rotaryAt","kind":"enum","values":["leading","trailing"],"default":"leading","when":{"rotaryDim":{"kind":"integer","step":2,"min":2,"max":1024}}},{"name":"angles","kind":"enum","values":["table","cos_sin","cos_sin_f32"],"default":"table","tags":{"cos_sin":"cs16","cos_sin_f32":"cs32"},"isImplied":true,"when":{"rotaryDim":{"kind":"integer","step":2,"min":2,"max":1024}}},{"name":"positionAxes","kind":"integer","step":1,"min":1,"max":4,"default":1,"tag":"p","isImplied":true,"when":{"rotaryDim":{"kind":"integer","step":2,"min":2,"max":1024}}},{"name":"ropeRounding","kind":"enum","values":["once","products","sum"],"default":"once","tags":{"products":"rproducts","sum":"rsum"},"when":{"rotaryDim":{"kind":"integer","step":2,"min":2,"max":1024}}},{"name":"value","kind":"enum","values":["none","copy","norm"],"default":"none","tags":{"copy":"vcopy","norm":"vnorm"}},{"name":"cache","kind":"enum","values":["none","same","e4m3"],"default":"none","tags":{"same":"kv","e4m3":"kv8"},"aliases":{"fp8":"e4m3","fp8e4m3":"e4m3","float8e4m3fn":"e4m3"},"isImplied":true},{"name":"out","kind":"enum","values":["same","e4m3"],"default":"same","tags":{"e4m3":"out8"},"aliases":{"fp8":"e4m3","fp8e4m3":"e4m3","float8e4m3fn":"e4m3"},"isImplied":true}],"stages":{"q":[{"name":"norm","args":{}},{"name":"rotate","args":{}}],"k":[{"name":"norm","args":{}},{"name":"rotate","args":{}},{"name":"cache","args":{}}],"v":[{"name":"value","args":{}},{"name":"cache","args":{}}]}}],"sourcesSha256":"9ebe618bff1628b3fb2a31cdd2386e0775f9a51b6a1e75cd54711f6e4587aa5d","kernels":[{"id":"qk_norm_rope__bf16_d64_r64_interleaved","op":"qk_norm_rope","point":{"headDim":64,"rotaryDim":64,"rope":"interleaved","dtype":"bf16","norm":"rms","weight":"plain","weightDtype":"same","normRounding":"once","rotaryAt":"leading","angles":"table","positionAxes":1,"ropeRounding":"once","value":"none","cache":"none","out":"same"},"inputs":["positions","rope_table","attention_factor","eps","q.in","q.out","q.weight","k.in","k.out","k.weight"],"optionalInputs":[],"inputDtypes":{},"copiedSides":[],"positionAxes":1,"pairing":{"rope":"interleaved","rotaryDim":64,"start":0},"vectorElements":4,"fragments":8,"lanesPerHead":8,"fragmentsPerLane":1,"headsPerWarp":4,"throughputHeadsPerWarp":4,"blockThreads":128},{"id":"qk_norm_rope__bf16_d64_r64_neox","op":"qk_norm_rope","point":{"headDim":64,"rotaryDim":64,"rope":"neox","dtype":"bf16","norm":"rms","weight":"plain","weightDtype":"same","normRounding":"once","rotaryAt":"leading","angles":"table","positionAxes":1,"ropeRounding":"once","value":"none","cache":"none","out":"same"},"inputs":["positions","rope_table","attention_factor","eps","q.in","q.out","q.weight","k.in","k.out","k.weight"],"optionalInputs":[],"inputDtypes":{},"copiedSides":[],"positionAxes":1,"pairing":{"rope":"neox","rotaryDim":64,"start":0},"vectorElements":4,"fragments":8,"lanesPerHead":8,"fragmentsPerLane":1,"headsPerWarp":4,"throughputHeadsPerWarp":4,"blockThreads":128},{"id":"qk_norm_rope__bf16_d128_r128_interleaved","op":"qk_norm_rope","point":{"headDim":128,"rotaryDim":128,"rope":"interleaved","dtype":"bf16","norm":"rms","weight":"plain","weightDtype":"same","normRounding":"once","rotaryAt":"leading","angles":"table","positionAxes":1,"ropeRounding":"once","value":"none","cache":"none","out":"same"},"inputs":["positions","rope_table","attention_factor","eps","q.in","q.out","q.weight","k.in","k.out","k.weight"],"optionalInputs":[],"inputDtypes":{},"copiedSides":[],"positionAxes":1,"pairing":{"rope":"interleaved","rotaryDim":128,"start":0},"vectorElements":4,"fragments":16,"lanesPerHead":16,"fragmentsPerLane":1,"headsPerWarp":2,"throughputHeadsPerWarp":2,"blockThreads":128},{"id":"qk_norm_rope__bf16_d128_r128_neox","op":"qk_norm_rope","point":{"headDim":128,"rotaryDim":128,"rope":"neox","dtype":"bf16","norm":"rms","weight":"plain","weightDtype":"same","normRounding":"once","rotaryAt":"leading","angles":"table","positionAxes":1,"ropeRounding":"once","value":"none","cache":"none","out":"same"},"inputs":["positions","rope_table","attention_factor","eps","q.in","q.out","q.weight","k.in","k.out","k.weight"],"optionalInputs":[],"inputDtypes":{},"copiedSides":[],"positionAxes":1,"pairing":{"rope":"neox","rotaryDim":128,"start":0},"vectorElements":4,"fragments":16,"lanesPerHead":16,"fragmentsPerLane":1,"headsPerWarp":2,"throughputHeadsPerWarp":2,"blockThreads":128},{"id":"qk_norm_rope__bf16_d256_r256_interleaved","op":"qk_norm_rope","point":{"headDim":256,"rotaryDim":256,"rope":"interleaved","dtype":"bf16","norm":"rms","weight":"plain","weightDtype":"same","normRounding":"once","rotaryAt":"leading","angles":"table","positionAxes":1,"ropeRounding":"once","value":"none","cache":"none","out":"same"},"inputs":["positions","rope_table","attention_factor","eps","q.in","q.out","q.weight","k.in","k.out","k.weight"],"optionalInputs":[],"inputDtypes":{},"copiedSides":[],"positionAxes":1,"pairing":{"rope":"interleaved","rotaryDim":256,"start":0},"vectorElements":4,"fragments":32,"lanesPerHead":32,"fragmentsPerLane":1,"headsPerWarp":1,"throughputHeadsPerWarp":1,"blockThreads":128},{"id":"qk_norm_rope__bf16_d256_r256_neox","op":"qk_norm_rope","point":{"headDim":256,"rotaryDim":256,"rope":"neox","dtype":"bf16","norm":"rms","weight":"plain","weightDtype":"same","normRounding":"once","rotaryAt":"leading","angles":"table","positionAxes":1,"ropeRounding":"once","value":"none","cache":"none","out":"same"},"inputs":["positions","rope_table","attention_factor","eps","q.in","q.out","q.weight","k.in","k.out","k.weight"],"optionalInputs":[],"inputDtypes":{},"copiedSides":[],"positionAxes":1,"pairing":{"rope":"neox","rotaryDim":256,"start":0},"vectorElements":4,"fragments":32,"lanesPerHead":32,"fragmentsPerLane":1,"headsPerWarp":1,"throughputHeadsPerWarp":1,"blockThreads":128}]})json";

namespace {

using Function = void (*)(const normrope_args &, int64_t first_token, int64_t end_token);
const Function FUNCTIONS[] = {
    qk_norm_rope__bf16_d64_r64_interleaved,
    qk_norm_rope__bf16_d64_r64_neox,
    qk_norm_rope__bf16_d128_r128_interleaved,
    qk_norm_rope__bf16_d128_r128_neox,
    qk_norm_rope__bf16_d256_r256_interleaved,
    qk_norm_rope__bf16_d256_r256_neox,
};

struct Call {
  Function run;
  const normrope_args *args;
};

}  // namespace
}  // namespace normrope

using namespace normrope;

int normrope_prepare(int kernel) { return check_kernel(kernel); }

int normrope_launch_info(int kernel, const normrope_args *args, normrope_launch *launch) {
  if (launch == nullptr) return fail(NORMROPE_ERROR_INVALID_ARGUMENT, "launch is NULL");
  normrope_args storage;
  if (int status = read_args(kernel, args, storage)) return status;
  *launch = {};
  if (is_empty(*args)) return NORMROPE_OK;
  launch->heads_per_task = launch->slices = 1;
  return NORMROPE_OK;
}

int normrope_run(int kernel, const normrope_args *args, void *) {
  normrope_args storage;
  if (int status = read_args(kernel, args, storage)) return status;
  if (is_empty(*args)) return NORMROPE_OK;
  if (int status = check_data(KERNELS[kernel], *args)) return status;
  const int64_t heads = args->q.num_heads + args->k.num_heads + args->v.num_heads;
  const Call call = {FUNCTIONS[kernel], args};
  const auto run = [](const void *context, int64_t first, int64_t end) {
    const auto &[function, args] = *static_cast<const Call *>(context);
    function(*args, first, end);
  };
  for_ranges(args->num_tokens, heads * KERNELS[kernel].head_dim, run, &call);
  return NORMROPE_OK;
}
