/* The C interface of a normrope library, the same for the CUDA and the CPU target. Emitted by `normrope emit`.
 *
 * A kernel applies its op's stages to every head of a batch of tokens. It computes in float32 and rounds once, to the kernel's
 * dtype, unless its point says that it rounds where a model's code does. The op that ships does this to query and key heads:
 *
 *     y = rotate(x * rsqrt(mean(x^2) + eps) * weight, position)
 *
 * A kernel is made for one point of the op's config space (head_dim, rotary_dim, rope style, dtype, ...). It takes any number
 * of tokens and heads, any strides and any positions. A head's result does not depend on its batch.
 *
 * Statuses   0 is success; a negative status is an error. normrope_status_text names it. normrope_last_error has the field
 *            and its value, or the CUDA call and its error. After an error of normrope_run nothing was launched or written.
 *            A copy may also report an error of an earlier launch in its stream.
 * Memory     Pointers to data are device pointers for the CUDA target and host pointers for the CPU target. Structs,
 *            strings and results that a function writes through a pointer are in host memory. The library keeps nothing
 *            that a caller passes: args may be changed or freed as soon as normrope_run returns.
 * Threads    Any thread may call any function, several at once too. The current device and the last error are those of
 *            the calling thread. No function throws.
 * Streams    A stream is a cudaStream_t of the current device; NULL is the default stream. On the CPU target, work is done
 *            when a call returns.
 * Capture    normrope_run can be captured in a CUDA graph once normrope_prepare has run for the kernel on the device.
 *            The graph keeps the contents of args: pointers, sizes, strides, eps. Each replay reads anew what the pointers
 *            lead to, positions, slots and table included.
 */
#ifndef NORMROPE_H
#define NORMROPE_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Version of this interface. Do not call a library whose normrope_abi() differs. */
#define NORMROPE_ABI 2

#define NORMROPE_OK 0
#define NORMROPE_ERROR_INVALID_ARGUMENT (-1)
#define NORMROPE_ERROR_NO_SUCH_KERNEL (-2)
#define NORMROPE_ERROR_NO_DEVICE (-3) /* no GPU, or no driver of the library's generation */
#define NORMROPE_ERROR_OUT_OF_MEMORY (-4)
#define NORMROPE_ERROR_DEVICE (-5)    /* a CUDA call failed */

/* Flag of normrope_args: use programmatic dependent launch. It needs a device and library code of sm_90 or newer; elsewhere
 * the launch is an ordinary one. The kernel reads weights, biases, pair_axes and the table before it waits for the kernel
 * before it, and positions, slots, scales, cos_sin and data after the wait. So no unfinished kernel since the last ordinary launch in the
 * stream may write what is read before. */
#define NORMROPE_PDL 1u

/* All the heads of a side: the query heads, the key heads, or the value heads. If num_heads is 0, the inputs that the kernel
 * takes are ignored.
 *
 * Inputs     A kernel takes the inputs of its op's stages. "inputs" of the manifest lists them, such as "q.weight" and
 *            "positions". Any other input must be NULL or 0, with its lengths and strides: every field of a side that the
 *            kernel does not work on, a weight, positions and table, eps and attention_factor.
 * Layout     Element e of head h of token t is at in + t * in_token_stride + h * in_head_stride + e, and likewise for
 *            out. A head is contiguous. Strides are in elements and may be negative. In packed rows of
 *            [q heads | k heads | v heads], in and out are the side's first head, the head stride is head_dim, and the
 *            token stride is the number of all heads times head_dim.
 * Lengths    If a tensor's length is given, every element must lie within it, and strides must not be negative.
 * Alignment  Pointers are multiples of the kernel's vector in bytes, and strides are multiples of it in elements. A stride
 *            over a single token or head may be anything. The vector is at most 4 elements: 8 bytes, 16 of float32, 4 of
 *            FP8. For NeoX it is gcd(rotary_dim / 2, 4). `normrope explain` shows it. cos_sin, its rows and pair_axes are at
 *            multiples of the pairs that are loaded at once: a vector for NeoX, 2 or 1 for interleaved pairs.
 * Angles     A kernel rotates by the table, or by rows of cos_sin: the row of a token's position, or the token's own if
 *            positions is NULL. With several position axes, positions has a row for each, and pair_axes names the axis of each
 *            pair. On the CPU target a position without a row and an axis that does not exist are refused. On CUDA they cannot be
 *            seen: a position must have a row, and an axis that does not exist is the last one.
 * Cache      Slot s of a token is slot s % block_size of block s / block_size: element e of head h is at cache +
 *            block * cache_block_stride + slot * cache_slot_stride + h * cache_head_stride + e. A slot below 0 is not written,
 *            and out is written all the same. Where a kernel writes a cache, out of k and v may be NULL. Tokens that share a
 *            slot leave vectors of either there. No two slots share an element, and a cache lies apart from heads and from
 *            the other cache. On the CPU target slots beyond the cache and scales out of range are refused. On CUDA they cannot
 *            be seen.
 * Aliasing   In place, out equals in, with the same strides. Otherwise a written head must not overlap any other head that
 *            is read or written, of any side. No written head may overlap another input of the call. A call
 *            checks this. If rows of different strides interleave, it may refuse heads that are apart, too. Sides may share
 *            rows. Nothing but heads and caches is written.
 * NULL or 0  A field that is documented as NULL or 0 is for later kernels, and must be so. */
typedef struct normrope_heads {
  const void *in;                 /* [num_tokens, num_heads, head_dim], strided: head 0 of token 0 */
  int64_t in_length;              /* elements from in on; 0: not known */
  void *out;                      /* the same shape, the kernel's dtype or e4m3; may be NULL for k and v where the
                                   * kernel writes a cache */
  int64_t out_length;             /* elements from out on; 0: not known */
  int64_t in_token_stride;        /* in elements */
  int64_t in_head_stride;         /* in elements */
  int64_t out_token_stride;       /* in elements */
  int64_t out_head_stride;        /* in elements */
  int64_t num_heads;              /* 0 or more; with 0 the inputs of the side are ignored */
  int64_t heads_per_group;        /* 0: heads lie in no groups */
  int64_t in_group_stride;        /* 0 */
  int64_t out_group_stride;       /* 0 */
  const void *weight;             /* [head_dim], or [num_heads, head_dim] with weight_head_stride; the kernel's dtype,
                                   * or float32 */
  int64_t weight_length;          /* elements from weight on; 0: not known */
  int64_t weight_head_stride;     /* in elements; 0: one weight for all heads */
  const void *bias;               /* the same shape as the weight, of its dtype */
  int64_t bias_length;            /* elements from bias on; 0: not known */
  int64_t bias_head_stride;       /* in elements; 0: one bias for all heads */
  void *cache;                    /* k and v: [blocks, block_size, num_heads, head_dim], strided: the paged KV cache;
                                   * the kernel's dtype, or e4m3 */
  int64_t cache_length;           /* elements from cache on; 0: not known */
  int64_t cache_block_stride;     /* in elements */
  int64_t cache_slot_stride;      /* in elements */
  int64_t cache_head_stride;      /* in elements */
  const float *cache_scale;       /* [1], or [num_heads] with its stride: an e4m3 number is value / scale; a scale is
                                   * from 2^-126 to 2^100; NULL: 1 */
  int64_t cache_scale_length;     /* elements from cache_scale on; 0: not known */
  int64_t cache_scale_head_stride;/* in elements; 0: one scale for all heads */
  const float *out_scale;         /* [1], or [num_heads] with its stride: an e4m3 number is value / scale; a scale is
                                   * from 2^-126 to 2^100; NULL: 1 */
  int64_t out_scale_length;       /* elements from out_scale on; 0: not known */
  float *row_sum;                 /* NULL */
  int64_t row_sum_length;         /* 0 */
  int64_t row_sum_stride;         /* 0 */
  int64_t norm_width;             /* 0 */
  int64_t out_scale_head_stride;  /* in elements; 0: one scale for all heads */
  int64_t reserved[7];            /* 0: the struct never grows, since k lies behind q */
} normrope_heads;

/* struct_size is the size of the caller's struct. No more bytes are read.
 *
 * Zero the struct before filling it in, so that omitted fields are NULL or 0. Later versions of the library append fields;
 * struct_size shows that the caller lacks them. */
typedef struct normrope_args {
  uint32_t struct_size;           /* sizeof(normrope_args) */
  uint32_t flags;                 /* 0 or NORMROPE_PDL */
  normrope_heads q, k, v;
  int64_t num_tokens;             /* 0 or more; 0 succeeds at once; num_tokens * num_heads is at most 2^30 for each
                                   * side */
  const void *positions;          /* [num_tokens] or [position_axes, num_tokens], signed. Any value with a table:
                                   * angles are reduced exactly, and the table's rounding adds at most |position| 2^-65
                                   * turns. With cos_sin the index of a row, and NULL if rows are those of the tokens */
  int64_t positions_length;       /* elements from positions on; 0: not known */
  int64_t position_bits;          /* 32 or 64 */
  int64_t position_axis_stride;   /* in elements; 0 if a token has one position */
  const uint8_t *pair_axes;       /* [rotary_dim / 2]: the axis whose position turns each pair */
  int64_t pair_axes_length;       /* its exact number of elements; 0: not known */
  const uint64_t *rope_table;     /* [rotary_dim / 2], 16-byte aligned: normrope_rope_table makes it */
  int64_t rope_table_length;      /* its exact number of elements; 0: not known */
  float attention_factor;         /* multiplies cosine and sine; finite; 1 without YaRN or longrope */
  float eps;                      /* added to the mean of squares; 0, or from 2^-126 on */
  const void *cos_sin;            /* [rows, rotary_dim]: cosines, then sines, of a position, or of a token if positions
                                   * is NULL; the kernel's dtype, or float32 */
  int64_t cos_sin_length;         /* elements from cos_sin on; 0: not known */
  int64_t cos_sin_row_stride;     /* in elements */
  const void *slots;              /* [num_tokens], signed: slot s of a cache is slot s % block_size of block s /
                                   * block_size; below 0: not written to a cache */
  int64_t slots_length;           /* elements from slots on; 0: not known */
  int64_t slot_bits;              /* 32 or 64 */
  int64_t block_size;             /* the slots of a block; 1: the cache has no blocks */
} normrope_args;

/* Dispatch's decisions for a call; all 0 if there is nothing to launch. */
typedef struct normrope_launch {
  int32_t layout;                 /* 0 for the latency layout, 1 for the throughput layout; 0 on the CPU */
  int32_t heads_per_task;         /* the most heads of a task; 1 on the CPU. In the throughput layout a side whose heads leave a */
                                  /* quarter or more of the places in its warps empty has tasks of one head */
  int32_t slices;                 /* slices of the tokens, launched one after the other; 1 on the CPU */
  int32_t is_dependent;           /* whether it is a programmatic dependent launch */
  int32_t reserved[4];            /* 0 */
} normrope_launch;

typedef struct normrope_device_info {
  char name[256];
  int32_t major, minor;         /* compute capability; 0 on the CPU */
  int32_t multiprocessors;      /* hardware threads on the CPU */
  int32_t driver_version;       /* as CUDA encodes it: 13000 for 13.0; 0 on the CPU */
  int64_t l2_bytes;             /* 0 if unknown */
  int64_t memory_bytes;
} normrope_device_info;

/* The NORMROPE_ABI that the library was built with. */
int normrope_abi(void);
/* JSON: the ops, the kernels, and the hash of the sources that the library was built from. Valid forever. */
const char *normrope_manifest(void);

int normrope_kernel_count(void);
/* Index of a kernel by its id, such as "qk_norm_rope__bf16_d128_r128_neox", or NORMROPE_ERROR_NO_SUCH_KERNEL. */
int normrope_find(const char *kernel_id);
/* Id of a kernel by its index, valid forever; NULL if there is no such kernel. */
const char *normrope_kernel_id(int kernel);
/* Loads the kernel on the current device, so that a first run can be captured in a CUDA graph. */
int normrope_prepare(int kernel);
/* Checks everything that normrope_run checks, and launches nothing. On the CPU target it reads positions and pair_axes. */
int normrope_check(int kernel, const normrope_args *args);
/* Tells what normrope_run would launch for the arguments on the current device. Reads no data and launches nothing. */
int normrope_launch_info(int kernel, const normrope_args *args, normrope_launch *launch);
/* Launches on a stream and returns the status of this launch. Never synchronises. Allocates nothing except, before the
 * kernel's first run without normrope_prepare, memory for its code. */
int normrope_run(int kernel, const normrope_args *args, void *stream);

/* A few words for a status, valid forever. */
const char *normrope_status_text(int status);
/* The message of this thread's last error, valid until its next error; "" before the first. */
const char *normrope_last_error(void);
/* The parts of the message if a field of the arguments was wrong: "q.in_token_stride", "66", and "a multiple of this
 * kernel's vector, 4 elements". Otherwise "". */
const char *normrope_last_error_field(void);
const char *normrope_last_error_value(void);
const char *normrope_last_error_wanted(void);

/* table[i] = round(frac(inv_freq[i] / 2 pi) * 2^64), exact: the turns for each step of position as a 0.64 fixed
 * point number. inv_freq: [n], radians per position, finite, from 0 up to below 2^64. table: [n]. Both are in host
 * memory; n is rotary_dim / 2. A RoPE scaling (linear, NTK, YaRN, llama3, longrope, ...) only changes inv_freq. */
int normrope_rope_table(const double *inv_freq, int32_t n, uint64_t *table);

/* Devices, memory, streams and events, so that a caller needs no CUDA binding. The CPU target has one device, all work is
 * done when a call returns, and streams are NULL. Sizes are in bytes. */
int normrope_device_count(int *count); /* 0 without a GPU or a driver */
int normrope_device_get(int *device);
int normrope_device_set(int device); /* for this thread */
int normrope_device_get_info(int device, normrope_device_info *info);

int normrope_memory_allocate(size_t bytes, void **memory); /* 256-byte aligned; *memory is NULL if it fails */
int normrope_memory_free(void *memory); /* NULL is allowed */
int normrope_memory_fill(void *memory, int byte, size_t bytes, void *stream);
int normrope_copy_to_device(void *device, const void *host, size_t bytes, void *stream); /* returns when done */
int normrope_copy_to_host(void *host, const void *device, size_t bytes, void *stream); /* returns when done */
int normrope_copy_on_device(void *to, const void *from, size_t bytes, void *stream);

int normrope_stream_create(void **stream); /* does not wait for the default stream */
int normrope_stream_destroy(void *stream);
int normrope_stream_synchronize(void *stream);
int normrope_event_create(void **event);
int normrope_event_destroy(void *event);
int normrope_event_record(void *event, void *stream);
int normrope_event_elapsed(float *milliseconds, void *start, void *end); /* waits for end */

#ifdef __cplusplus
}
#endif

#endif
