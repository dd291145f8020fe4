/* Normalises and rotates the q and k heads of two packed rows with a normrope library, and checks every element.
 *
 *     normrope build --target cpu
 *     cc qk_norm_rope.c -I generated/include -L build/cpu -lnormrope -lm -o qk_norm_rope
 *     LD_LIBRARY_PATH=build/cpu ./qk_norm_rope
 *
 * The same program runs on a GPU with the library in build/cuda: all device memory is the library's. */
#include <math.h>
#include <normrope.h>
#include <stdio.h>
#include <stdlib.h>

enum { TOKENS = 2, Q_HEADS = 4, K_HEADS = 2, V_HEADS = 2, HEAD_DIM = 128, PAIRS = HEAD_DIM / 2 };
enum { ROW = (Q_HEADS + K_HEADS + V_HEADS) * HEAD_DIM };
static const char KERNEL[] = "qk_norm_rope__bf16_d128_r128_neox";
static const double BASE = 1e6, EPS = 1e-6;

static void require(int status, const char *what) {
  if (status >= 0) return;
  fprintf(stderr, "%s: %s: %s\n", what, normrope_status_text(status), normrope_last_error());
  exit(1);
}

/* bf16 is the upper half of a float; the values here need no rounding. */
static uint16_t to_bf16(float x) {
  union { float f; uint32_t u; } bits = {.f = x};
  return (uint16_t)(bits.u >> 16);
}
static double from_bf16(uint16_t x) {
  union { uint32_t u; float f; } bits = {.u = (uint32_t)x << 16};
  return bits.f;
}

static void *to_device(const void *host, size_t bytes) {
  void *device;
  require(normrope_memory_allocate(bytes, &device), "allocate");
  require(normrope_copy_to_device(device, host, bytes, NULL), "copy");
  return device;
}

int main(void) {
  static uint16_t before[TOKENS][ROW], after[TOKENS][ROW], weight[HEAD_DIM];
  const int32_t positions[TOKENS] = {7, 4096};
  double inv_freq[PAIRS];
  uint64_t table[PAIRS];
  for (int t = 0; t < TOKENS; ++t)
    for (int i = 0; i < ROW; ++i) before[t][i] = to_bf16((float)((i * 37 + t * 11) % 256 - 128) / 64);
  for (int i = 0; i < HEAD_DIM; ++i) weight[i] = to_bf16(0.5f + (float)(i % 8) / 8);
  for (int i = 0; i < PAIRS; ++i) inv_freq[i] = pow(BASE, -2.0 * i / HEAD_DIM);

  if (normrope_abi() != NORMROPE_ABI) return fprintf(stderr, "the header is not the library's\n"), 1;
  const int kernel = normrope_find(KERNEL);
  require(kernel, KERNEL);
  require(normrope_rope_table(inv_freq, PAIRS, table), "table");

  uint16_t *const qkv = to_device(before, sizeof before);
  const void *const weights = to_device(weight, sizeof weight);
  normrope_args args = {.struct_size = sizeof args, .num_tokens = TOKENS, .position_bits = 32};
  args.eps = (float)EPS;
  args.attention_factor = 1;
  args.positions = to_device(positions, sizeof positions);
  args.rope_table = to_device(table, sizeof table);
  args.q = (normrope_heads){.in = qkv, .out = qkv, .weight = weights, .num_heads = Q_HEADS};
  args.q.in_token_stride = args.q.out_token_stride = ROW;
  args.q.in_head_stride = args.q.out_head_stride = HEAD_DIM;
  args.k = args.q;
  args.k.in = args.k.out = qkv + Q_HEADS * HEAD_DIM;
  args.k.num_heads = K_HEADS;
  require(normrope_run(kernel, &args, NULL), "run");
  require(normrope_copy_to_host(after, qkv, sizeof after, NULL), "copy");

  int wrong = 0;
  for (int t = 0; t < TOKENS; ++t)
    for (int h = 0; h < Q_HEADS + K_HEADS; ++h) {
      const uint16_t *x = before[t] + h * HEAD_DIM, *y = after[t] + h * HEAD_DIM;
      double squares = 0;
      for (int i = 0; i < HEAD_DIM; ++i) squares += from_bf16(x[i]) * from_bf16(x[i]);
      const double scale = 1 / sqrt(squares / HEAD_DIM + EPS);
      for (int i = 0; i < PAIRS; ++i) {
        const double a = from_bf16(x[i]) * scale * from_bf16(weight[i]);
        const double b = from_bf16(x[i + PAIRS]) * scale * from_bf16(weight[i + PAIRS]);
        const double c = cos(positions[t] * inv_freq[i]), s = sin(positions[t] * inv_freq[i]);
        const double first = a * c - b * s, second = a * s + b * c;
        /* Half a unit in the last of bf16's 8 bits, and what float32 may add where terms cancel. */
        wrong += fabs(from_bf16(y[i]) - first) > fabs(first) / 256 + 1e-5;
        wrong += fabs(from_bf16(y[i + PAIRS]) - second) > fabs(second) / 256 + 1e-5;
      }
    }
  for (int t = 0; t < TOKENS; ++t)
    for (int i = (Q_HEADS + K_HEADS) * HEAD_DIM; i < ROW; ++i) wrong += before[t][i] != after[t][i];
  printf("%s: %d of %d elements are wrong\n", KERNEL, wrong, TOKENS * ROW);

  const void *const all[] = {qkv, weights, args.positions, args.rope_table};
  for (int i = 0; i < 4; ++i) require(normrope_memory_free((void *)all[i]), "free");
  return wrong != 0;
}
