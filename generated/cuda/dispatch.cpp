// Kernel table and launch. Emitted from templates/cuda/dispatch.cpp.hbs by `normrope emit`.
#include <cuda_runtime_api.h>

#include <algorithm>
#include <initializer_list>

#include "abi.hpp"
#include "layout.hpp"
#include "params.hpp"

// On the host a kernel's symbol is a function that launches it. So this file needs no device compiler, whose passes take a
// second.
extern "C" void qk_norm_rope__bf16_d64_r64_interleaved(normrope::Params<2> params);
extern "C" void qk_norm_rope__bf16_d64_r64_interleaved__dependent(normrope::Params<2> params);
extern "C" void qk_norm_rope__bf16_d64_r64_interleaved__throughput(normrope::Params<2> params);
extern "C" void qk_norm_rope__bf16_d64_r64_interleaved__throughput__dependent(normrope::Params<2> params);
extern "C" void qk_norm_rope__bf16_d64_r64_neox(normrope::Params<2> params);
extern "C" void qk_norm_rope__bf16_d64_r64_neox__dependent(normrope::Params<2> params);
extern "C" void qk_norm_rope__bf16_d64_r64_neox__throughput(normrope::Params<2> params);
extern "C" void qk_norm_rope__bf16_d64_r64_neox__throughput__dependent(normrope::Params<2> params);
extern "C" void qk_norm_rope__bf16_d128_r128_interleaved(normrope::Params<2> params);
extern "C" void qk_norm_rope__bf16_d128_r128_interleaved__dependent(normrope::Params<2> params);
extern "C" void qk_norm_rope__bf16_d128_r128_interleaved__throughput(normrope::Params<2> params);
extern "C" void qk_norm_rope__bf16_d128_r128_interleaved__throughput__dependent(normrope::Params<2> params);
extern "C" void qk_norm_rope__bf16_d128_r128_neox(normrope::Params<2> params);
extern "C" void qk_norm_rope__bf16_d128_r128_neox__dependent(normrope::Params<2> params);
extern "C" void qk_norm_rope__bf16_d128_r128_neox__throughput(normrope::Params<2> params);
extern "C" void qk_norm_rope__bf16_d128_r128_neox__throughput__dependent(normrope::Params<2> params);
extern "C" void qk_norm_rope__bf16_d256_r256_interleaved(normrope::Params<2> params);
extern "C" void qk_norm_rope__bf16_d256_r256_interleaved__dependent(normrope::Params<2> params);
extern "C" void qk_norm_rope__bf16_d256_r256_interleaved__throughput(normrope::Params<2> params);
extern "C" void qk_norm_rope__bf16_d256_r256_interleaved__throughput__dependent(normrope::Params<2> params);
extern "C" void qk_norm_rope__bf16_d256_r256_neox(normrope::Params<2> params);
extern "C" void qk_norm_rope__bf16_d256_r256_neox__dependent(normrope::Params<2> params);
extern "C" void qk_norm_rope__bf16_d256_r256_neox__throughput(normrope::Params<2> params);
extern "C" void qk_norm_rope__bf16_d256_r256_neox__throughput__dependent(normrope::Params<2> params);

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

template <class P>
const void *entry(void (*kernel)(P)) { return reinterpret_cast<const void *>(kernel); }

const Launch LAUNCHES[] = {
    { { 0, 1 }, 2, 128,
      { entry(qk_norm_rope__bf16_d64_r64_interleaved), entry(qk_norm_rope__bf16_d64_r64_interleaved__dependent), 4, 1 },
      { entry(qk_norm_rope__bf16_d64_r64_interleaved__throughput), entry(qk_norm_rope__bf16_d64_r64_interleaved__throughput__dependent), 4, 1 },
    },
    { { 0, 1 }, 2, 128,
      { entry(qk_norm_rope__bf16_d64_r64_neox), entry(qk_norm_rope__bf16_d64_r64_neox__dependent), 4, 1 },
      { entry(qk_norm_rope__bf16_d64_r64_neox__throughput), entry(qk_norm_rope__bf16_d64_r64_neox__throughput__dependent), 4, 1 },
    },
    { { 0, 1 }, 2, 128,
      { entry(qk_norm_rope__bf16_d128_r128_interleaved), entry(qk_norm_rope__bf16_d128_r128_interleaved__dependent), 2, 1 },
      { entry(qk_norm_rope__bf16_d128_r128_interleaved__throughput), entry(qk_norm_rope__bf16_d128_r128_interleaved__throughput__dependent), 2, 1 },
    },
    { { 0, 1 }, 2, 128,
      { entry(qk_norm_rope__bf16_d128_r128_neox), entry(qk_norm_rope__bf16_d128_r128_neox__dependent), 2, 1 },
      { entry(qk_norm_rope__bf16_d128_r128_neox__throughput), entry(qk_norm_rope__bf16_d128_r128_neox__throughput__dependent), 2, 1 },
    },
    { { 0, 1 }, 2, 128,
      { entry(qk_norm_rope__bf16_d256_r256_interleaved), entry(qk_norm_rope__bf16_d256_r256_interleaved__dependent), 1, 1 },
      { entry(qk_norm_rope__bf16_d256_r256_interleaved__throughput), entry(qk_norm_rope__bf16_d256_r256_interleaved__throughput__dependent), 1, 1 },
    },
    { { 0, 1 }, 2, 128,
      { entry(qk_norm_rope__bf16_d256_r256_neox), entry(qk_norm_rope__bf16_d256_r256_neox__dependent), 1, 1 },
      { entry(qk_norm_rope__bf16_d256_r256_neox__throughput), entry(qk_norm_rope__bf16_d256_r256_neox__throughput__dependent), 1, 1 },
    },
};

int fail_cuda(cudaError_t error, const char *call) {
  cudaGetLastError();  // clears the error: the caller's next check must not find it
  const bool no_device = error == cudaErrorNoDevice || error == cudaErrorInsufficientDriver;
  return fail(no_device ? NORMROPE_ERROR_NO_DEVICE : NORMROPE_ERROR_DEVICE, "%s: %s", call, cudaGetErrorString(error));
}

Divisor divisor_of(uint32_t d) {
  uint32_t shift = 0;
  while ((uint64_t{1} << shift) < d) ++shift;
  return {static_cast<uint32_t>((((uint64_t{1} << shift) - d) << 32) / d + 1), shift};
}

WideDivisor wide_divisor_of(uint64_t d) {
  uint32_t shift = 0;
  while ((uint64_t{1} << shift) < d) ++shift;
  const auto rest = static_cast<unsigned __int128>((uint64_t{1} << shift) - d) << 64;
  return {static_cast<uint64_t>(rest / d + 1), shift};
}

// Dependent launch needs kernels that wait: code for an architecture from sm_90 up to the device's.
cudaError_t can_be_dependent(int device, bool *can) {
  int major, minor;
  cudaError_t error = cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, device);
  if (error == cudaSuccess) error = cudaDeviceGetAttribute(&minor, cudaDevAttrComputeCapabilityMinor, device);
  if (error != cudaSuccess) return error;
  constexpr int ARCHITECTURES[] = {__CUDA_ARCH_LIST__};
  *can = false;
  for (int architecture : ARCHITECTURES) {
    *can = *can || (architecture >= 900 && architecture <= 100 * major + 10 * minor);
  }
  return cudaSuccess;
}

// Whether each head has its own inputs.
bool differ(const normrope_heads &heads) {
  if (heads.num_heads == 0) return false;
  if (heads.weight_head_stride != 0) return true;
  if (heads.bias_head_stride != 0) return true;
  if (heads.cache_scale_head_stride != 0) return true;
  if (heads.out_scale_head_stride != 0) return true;
  return false;
}

// Work that exceeds three quarters of the L2 cache runs in slices of tokens, each with one side after the other. So few pages
// of memory are in use at a time (H100, November 2026: 16384 tokens of 32 q and 8 k heads of 128 take 1.016 times the floor,
// and 1.040 with all of q before all of k). Smaller work gains nothing from slices, and ends more evenly on the short blocks of k.
uint32_t slices_of(const normrope_args &args, int64_t head_bytes, int64_t blocks, int multiprocessors, int l2_bytes) {
  constexpr int64_t BLOCKS_PER_MULTIPROCESSOR = 5;
  constexpr int64_t GRID_Y_MAX = 65535;
  const auto rows_of = [](const normrope_heads &heads) { return heads.num_heads * (heads.cache != nullptr ? 2 : 1); };
  const int64_t bytes = args.num_tokens * (rows_of(args.q) + rows_of(args.k) + rows_of(args.v)) * head_bytes;
  if (bytes < l2_bytes / 4 * int64_t{3}) return 1;
  const int64_t blocks_per_slice = BLOCKS_PER_MULTIPROCESSOR * multiprocessors;
  return static_cast<uint32_t>(std::clamp(blocks / blocks_per_slice, int64_t{1}, GRID_Y_MAX));
}

// The launch of a call, decided from its sizes and the device.
struct Decision {
  const Layout *layout;
  bool is_throughput;
  int heads_per_task;
  uint32_t slices;
  bool is_dependent;
};

// In the throughput layout a side is flat if its heads leave lanes of a warp idle: each head is a task, and a warp takes several
// tasks, of any tokens.
bool is_flat(const normrope_heads &heads, const Decision &decision) {
  return decision.is_throughput && leave_lanes_idle(heads, *decision.layout);
}

void set_heads(Heads &to, const normrope_heads &from, const KernelEntry &kernel, const Inputs &inputs, int64_t num_tokens, const Decision &decision) {
  const int heads_per_task = is_flat(from, decision) ? 1 : decision.heads_per_task;
  const int64_t in_bytes = element_bytes(kernel, inputs, 0), out_bytes = element_bytes(kernel, inputs, 1);
  to.in = static_cast<const char *>(from.in);
  to.out = static_cast<char *>(from.out);
  to.weight = static_cast<const char *>(from.weight);
  to.weight_head_stride = from.weight_head_stride * element_bytes(kernel, inputs, 2);
  to.in_token_stride = from.in_token_stride * in_bytes;
  to.in_head_stride = from.in_head_stride * in_bytes;
  to.out_token_stride = from.out_token_stride * out_bytes;
  to.out_head_stride = from.out_head_stride * out_bytes;
  to.num_heads = static_cast<uint32_t>(from.num_heads);
  to.tasks_per_token = divide_up(from.num_heads, heads_per_task);
  to.by_tasks_per_token = divisor_of(to.tasks_per_token > 0 ? to.tasks_per_token : 1);
  to.num_tasks = static_cast<uint32_t>(num_tokens * to.tasks_per_token);
}

void set_inputs(SideInputs &to, const normrope_heads &from, const KernelEntry &kernel, const Inputs &inputs) {
  to.bias = static_cast<const char *>(from.bias);
  to.bias_head_stride = from.bias_head_stride * element_bytes(kernel, inputs, 3);
}

void set_stores(Stores &to, const normrope_heads &from, const KernelEntry &kernel, const Inputs &inputs) {
  to.cache = static_cast<char *>(from.cache);
  to.cache_block_stride = from.cache_block_stride * element_bytes(kernel, inputs, 4);
  to.cache_slot_stride = from.cache_slot_stride * element_bytes(kernel, inputs, 4);
  to.cache_head_stride = from.cache_head_stride * element_bytes(kernel, inputs, 4);
  to.cache_scale = static_cast<const float *>(from.cache_scale);
  to.cache_scale_head_stride = from.cache_scale_head_stride * 1;
  to.out_scale = static_cast<const float *>(from.out_scale);
  to.out_scale_head_stride = from.out_scale_head_stride * 1;
}

// What is of the whole call.
void set_call(StoreParams<SIDES> &params, const normrope_args &args, const KernelEntry &kernel) {
  const auto set_width = [](int64_t bits, uint32_t &bytes, uint32_t &high_byte, uint32_t &shift) {
    bytes = bits == 64 ? 8 : 4, high_byte = bits == 64 ? 4 : 0, shift = bits == 64 ? 0 : 31;
  };
  params.positions = static_cast<const char *>(args.positions);
  set_width(args.position_bits, params.position_bytes, params.position_high_byte, params.position_shift);
  params.slots = static_cast<const char *>(args.slots);
  set_width(args.slot_bits, params.slot_bytes, params.slot_high_byte, params.slot_shift);
  params.block_size = args.block_size;
  if (args.block_size > 0) params.by_block_size = wide_divisor_of(args.block_size);
  params.position_axis_stride = args.position_axis_stride * params.position_bytes;
  const Inputs &inputs = kernel.call;
  params.rope_table = static_cast<const uint64_t *>(args.rope_table);
  params.pair_axes = static_cast<const uint8_t *>(args.pair_axes);
  params.cos_sin = static_cast<const char *>(args.cos_sin);
  params.cos_sin_row_stride = args.cos_sin_row_stride * element_bytes(kernel, inputs, 5);
  params.eps = args.eps;
  params.attention_factor = args.attention_factor;
}

int64_t blocks_of(const normrope_heads &heads, int64_t num_tokens, const Decision &decision, int block_threads) {
  const int64_t warps = is_flat(heads, decision) ? divide_up(num_tokens * heads.num_heads, decision.layout->heads_per_warp)
                                                 : num_tokens * divide_up(heads.num_heads, decision.heads_per_task);
  return divide_up(warps, block_threads / 32);
}

int decide(int kernel, const normrope_args &args, Decision &decision) {
  int device, multiprocessors, l2_bytes;
  cudaError_t error = cudaGetDevice(&device);
  if (error != cudaSuccess) return fail_cuda(error, "cudaGetDevice");
  error = cudaDeviceGetAttribute(&multiprocessors, cudaDevAttrMultiProcessorCount, device);
  if (error == cudaSuccess) error = cudaDeviceGetAttribute(&l2_bytes, cudaDevAttrL2CacheSize, device);
  decision.is_dependent = false;
  if (error == cudaSuccess && (args.flags & NORMROPE_PDL) != 0) error = can_be_dependent(device, &decision.is_dependent);
  if (error != cudaSuccess) return fail_cuda(error, "cudaDeviceGetAttribute");

  const Launch &launch = LAUNCHES[kernel];
  const bool heads_differ = differ(args.q) || differ(args.k) || differ(args.v);
  const Choice choice = choose(launch, KERNELS[kernel], args, heads_differ, multiprocessors, decision.is_dependent);
  decision.layout = choice.layout;
  decision.is_throughput = choice.layout == &launch.throughput;
  decision.heads_per_task = static_cast<int>(choice.rounds_per_task) * choice.layout->heads_per_warp;
  const int64_t head_bytes = KERNELS[kernel].head_dim * KERNELS[kernel].element_bytes;
  int64_t blocks = 0;
  for (int side = 0; side < SIDES; ++side) {
    blocks += blocks_of(heads_of(args, side), args.num_tokens, decision, launch.block_threads);
  }
  decision.slices = slices_of(args, head_bytes, blocks, multiprocessors, l2_bytes);
  return NORMROPE_OK;
}

}  // namespace

// Data is on the device, out of the host's sight.
int check_data(const KernelEntry &, const normrope_args &) { return NORMROPE_OK; }

}  // namespace normrope

using namespace normrope;

int normrope_prepare(int kernel) {
  if (int status = check_kernel(kernel)) return status;
  const Layout &latency = LAUNCHES[kernel].latency, &throughput = LAUNCHES[kernel].throughput;
  for (const void *const function : {latency.function, latency.dependent, throughput.function, throughput.dependent}) {
    cudaFuncAttributes attributes;
    const cudaError_t error = cudaFuncGetAttributes(&attributes, function);
    if (error != cudaSuccess) return fail_cuda(error, "cudaFuncGetAttributes");
  }
  return NORMROPE_OK;
}

int normrope_launch_info(int kernel, const normrope_args *args, normrope_launch *launch) {
  if (launch == nullptr) return fail(NORMROPE_ERROR_INVALID_ARGUMENT, "launch is NULL");
  normrope_args storage;
  if (int status = read_args(kernel, args, storage)) return status;
  *launch = {};
  if (is_empty(*args)) return NORMROPE_OK;
  Decision decision;
  if (int status = decide(kernel, *args, decision)) return status;
  launch->layout = decision.is_throughput;
  launch->heads_per_task = decision.heads_per_task;
  launch->slices = static_cast<int32_t>(decision.slices);
  launch->is_dependent = decision.is_dependent;
  return NORMROPE_OK;
}

int normrope_run(int kernel, const normrope_args *args, void *stream) {
  normrope_args storage;
  if (int status = read_args(kernel, args, storage)) return status;
  if (is_empty(*args)) return NORMROPE_OK;
  Decision decision;
  if (int status = decide(kernel, *args, decision)) return status;

  const KernelEntry &kernel_entry = KERNELS[kernel];
  const int side_count = LAUNCHES[kernel].side_count, block_threads = LAUNCHES[kernel].block_threads;
  StoreParams<SIDES> params = {};
  Heads *const heads = params.heads + SIDES - side_count;  // a kernel of fewer sides takes the end of the full struct
  const auto inputs_of = [&](int i) -> const Inputs & { return kernel_entry.sides[LAUNCHES[kernel].sides[i]]; };
  uint32_t blocks_per_slice = 0;
  for (int i = 0; i < side_count; ++i) {
    const normrope_heads &side = heads_of(*args, LAUNCHES[kernel].sides[i]);
    set_heads(heads[i], side, kernel_entry, inputs_of(i), args->num_tokens, decision);
    set_inputs(params.inputs[i], side, kernel_entry, inputs_of(i));
    set_stores(params.stores[i], side, kernel_entry, inputs_of(i));
    const int64_t blocks = blocks_of(side, args->num_tokens, decision, block_threads);
    heads[i].blocks_per_slice = divide_up(blocks, decision.slices);
    blocks_per_slice += heads[i].blocks_per_slice;
  }
  params.heads_per_task = decision.heads_per_task;
  set_call(params, *args, kernel_entry);

  cudaLaunchAttribute attribute = {};
  attribute.id = cudaLaunchAttributeProgrammaticStreamSerialization;
  attribute.val.programmaticStreamSerializationAllowed = 1;
  cudaLaunchConfig_t config = {};
  config.gridDim = dim3(blocks_per_slice, decision.slices);
  config.blockDim = dim3(block_threads);
  config.stream = static_cast<cudaStream_t>(stream);
  config.attrs = &attribute;
  config.numAttrs = decision.is_dependent ? 1 : 0;
  void *arguments[] = {heads};
  const Layout &layout = *decision.layout;
  const void *const function = decision.is_dependent ? layout.dependent : layout.function;
  const cudaError_t error = cudaLaunchKernelExC(&config, function, arguments);
  return error == cudaSuccess ? NORMROPE_OK : fail_cuda(error, "cudaLaunchKernelExC");
}
