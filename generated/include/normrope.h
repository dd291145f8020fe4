/* The C interface of a normrope library, the same for the CUDA and the CPU target. Emitted by `normrope emit`.
 *
 * A kernel does what its op says to every head of a batch of tokens, float32 inside, rounded once to the kernel's dtype. The
 * op that ships is, for query and key heads,
 *
 *     y = rotate(x * rsqrt(mean(x^2) + eps) * weight, position)
 *
 * A kernel is made for one point of the op's config space (head_dim, rotary_dim, rope style, dtype, ...) and takes any
 * number of tokens and heads, any strides and any positions. A head's result does not depend on the batch that it comes in.
 *
 * Statuses   0 is success, everything negative an error. normrope_status_text names it, normrope_last_error says which
 *            field with which value, or which CUDA call and its error. After an error of normrope_run nothing was
 *            launched or written; a copy may also report what went wrong in an earlier launch of its stream.
 * Memory     Pointers to data are device pointers for the CUDA target and host pointers for the CPU target; structs,
 *            strings and what a function returns through a pointer are in host memory. Nothing is kept of what a
 *            caller passes: args may be changed or freed as soon as normrope_run returns.
 * Threads    Every function may be called from any thread, also from several at once. The current device and the
 *            last error are those of the calling thread. No function throws.
 * Streams    A stream is a cudaStream_t of the current device; NULL is the default stream. The CPU target has
 *            finished when a call returns.
 * Capture    normrope_run can be captured in a CUDA graph once normrope_prepare has run for the kernel on the device.
 *            The graph keeps what args held: pointers, sizes, strides, eps. What the pointers lead to, positions and
 *            table included, is read anew at each replay.
 */
#ifndef NORMROPE_H
#define NORMROPE_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Version of this interface: a library whose normrope_abi() differs must not be called. */
#define NORMROPE_ABI 2

#define NORMROPE_OK 0
#define NORMROPE_ERROR_INVALID_ARGUMENT (-1)
#define NORMROPE_ERROR_NO_SUCH_KERNEL (-2)
#define NORMROPE_ERROR_NO_DEVICE (-3) /* no GPU, or no driver of the library's generation */
#define NORMROPE_ERROR_OUT_OF_MEMORY (-4)
#define NORMROPE_ERROR_DEVICE (-5)    /* a CUDA call failed */

/* Flag of normrope_args: launch with programmatic dependent launch, where the device and the library's code for it
 * are sm_90 or newer; elsewhere an ordinary launch. The weights and the table are read before the kernel waits for the
 * one in front of it: no kernel that may still be unfinished, back to the last ordinary launch in the stream, may
 * write them. Positions and data are read after the wait. */
#define NORMROPE_PDL 1u

/* All the heads of a side: the query heads, the key heads, or the value heads. Where num_heads is 0, what a kernel takes is
 * ignored.
 *
 * Inputs     A kernel takes the inputs of its op's stages, which "inputs" of the manifest lists for it, such as "q.weight"
 *            and "positions". What it does not take must be NULL or 0: a side that it does not work on, a weight, positions
 *            and table, eps and attention_factor, with their lengths and strides.
 * Layout     Element e of head h of token t is at in + t * in_token_stride + h * in_head_stride + e, and likewise for
 *            out: a head is contiguous, everything else may be strided, in elements, also negative. A packed row of
 *            [q heads | k heads | v heads] has in = out = the row's first head of the side, a head stride of head_dim
 *            and a token stride of all heads times head_dim.
 * Lengths    Where a tensor's length is given, every element must lie within it, and strides must not be negative.
 * Alignment  Pointers must be multiples of the kernel's vector in bytes and strides, where there is more than one token
 *            or head for them, in elements: 4 elements, 8 bytes, at most. For NeoX it is gcd(rotary_dim / 2, 4);
 *            `normrope explain` shows it.
 * Aliasing   In place: out equal to in, with the same strides. Otherwise no head that is written may overlap another
 *            that is read or written, of any side, nor a weight, the positions or the table: that is checked, and where
 *            rows of different strides lie in each other heads that are apart may be refused too. Sides may lie in
 *            the same rows. Nothing but the heads is written.
 * NULL or 0  A field that is said to be NULL or 0 is for kernels that are still to come, and must be that. */
typedef struct normrope_heads {
  const void *in;                 /* [num_tokens, num_heads, head_dim], strided: head 0 of token 0 */
  int64_t in_length;              /* how many elements there are from in on; 0: not known */
  void *out;                      /* the same shape */
  int64_t out_length;             /* how many elements there are from out on; 0: not known */
  int64_t in_token_stride;        /* in elements */
  int64_t in_head_stride;         /* in elements */
  int64_t out_token_stride;       /* in elements */
  int64_t out_head_stride;        /* in elements */
  int64_t num_heads;              /* from 0, with which all else is ignored */
  int64_t heads_per_group;        /* 0: heads lie in no groups */
  int64_t in_group_stride;        /* 0 */
  int64_t out_group_stride;       /* 0 */
  const void *weight;             /* [head_dim], or [num_heads, head_dim] with weight_head_stride; the kernel's dtype */
  int64_t weight_length;          /* how many elements there are from weight on; 0: not known */
  int64_t weight_head_stride;     /* in elements; 0: one weight for all heads */
  const void *bias;               /* NULL */
  int64_t bias_length;            /* 0 */
  int64_t bias_head_stride;       /* 0 */
  void *cache;                    /* NULL */
  int64_t cache_length;           /* 0 */
  int64_t cache_block_stride;     /* 0 */
  int64_t cache_slot_stride;      /* 0 */
  int64_t cache_head_stride;      /* 0 */
  const float *cache_scale;       /* NULL */
  int64_t cache_scale_length;     /* 0 */
  int64_t cache_scale_head_stride;/* 0 */
  const float *out_scale;         /* NULL */
  int64_t out_scale_length;       /* 0 */
  float *row_sum;                 /* NULL */
  int64_t row_sum_length;         /* 0 */
  int64_t row_sum_stride;         /* 0 */
  int64_t norm_width;             /* 0 */
  int64_t reserved[8];            /* 0: the struct never grows, since k lies behind q */
} normrope_heads;

/* struct_size must be the size of the struct that the caller has: as many bytes are read.
 *
 * Zero it before filling it in, so that what is not given is NULL or 0. Later versions of the library append fields: a
 * caller that was built against this one says by struct_size that it has none of them. */
typedef struct normrope_args {
  uint32_t struct_size;           /* sizeof(normrope_args) */
  uint32_t flags;                 /* 0 or NORMROPE_PDL */
  normrope_heads q, k, v;
  int64_t num_tokens;             /* from 0, which succeeds at once; times num_heads at most 2^30 for each side */
  const void *positions;          /* [num_tokens], signed; any value: angles are reduced exactly, and the table's
                                   * rounding adds at most |position| 2^-65 turns */
  int64_t positions_length;       /* how many elements there are from positions on; 0: not known */
  int64_t position_bits;          /* 32 or 64 */
  int64_t position_axis_stride;   /* 0 */
  const uint8_t *pair_axes;       /* NULL */
  int64_t pair_axes_length;       /* 0 */
  const uint64_t *rope_table;     /* [rotary_dim / 2], 16-byte aligned: normrope_rope_table makes it */
  int64_t rope_table_length;      /* exactly its elements, or 0 */
  float attention_factor;         /* multiplies cosine and sine; finite; 1 without YaRN or longrope */
  float eps;                      /* added to the mean of squares; 0, or from 2^-126 on */
  const void *cos_sin;            /* NULL */
  int64_t cos_sin_length;         /* 0 */
  int64_t cos_sin_row_stride;     /* 0 */
  const void *slots;              /* NULL */
  int64_t slots_length;           /* 0 */
  int64_t slot_bits;              /* 0 */
  int64_t block_size;             /* 0 */
} normrope_args;

/* What normrope_run decides for a call; 0 where there is nothing to launch. */
typedef struct normrope_launch {
  int32_t layout;                 /* how a head lies over lanes: 0, or 1 where many tokens have a layout of their own */
  int32_t heads_per_task;         /* heads of a token that a warp takes; 1 on the CPU */
  int32_t slices;                 /* parts of the tokens that are taken one after the other; 1 on the CPU */
  int32_t is_dependent;           /* whether it is a programmatic dependent launch */
  int32_t reserved[4];            /* 0 */
} normrope_launch;

typedef struct normrope_device_info {
  char name[256];
  int32_t major, minor;         /* compute capability; 0 on the CPU */
  int32_t multiprocessors;      /* hardware threads on the CPU */
  int32_t driver_version;       /* as CUDA encodes it: 13000 for 13.0; 0 on the CPU */
  int64_t l2_bytes;             /* 0 where unknown */
  int64_t memory_bytes;
} normrope_device_info;

/* The NORMROPE_ABI that the library was built with. */
int normrope_abi(void);
/* JSON: the ops, the kernels, and the hash of the sources that the library was built from. Valid for ever. */
const char *normrope_manifest(void);

int normrope_kernel_count(void);
/* Index of a kernel by its id, such as "qk_norm_rope__bf16_d128_r128_neox", or NORMROPE_ERROR_NO_SUCH_KERNEL. */
int normrope_find(const char *kernel_id);
/* Id of a kernel by its index, valid for ever; NULL where there is no such kernel. */
const char *normrope_kernel_id(int kernel);
/* Loads the kernel on the current device, so that a first run can be captured in a CUDA graph. */
int normrope_prepare(int kernel);
/* Checks all that normrope_run checks, and launches nothing. */
int normrope_check(int kernel, const normrope_args *args);
/* What normrope_run would launch for the arguments on the current device. Reads no data, and launches nothing. */
int normrope_launch_info(int kernel, const normrope_args *args, normrope_launch *launch);
/* Launches on a stream, and returns the status of this launch. Never synchronises, and never allocates but for the
 * kernel's code, which CUDA loads at its first run where normrope_prepare has not. */
int normrope_run(int kernel, const normrope_args *args, void *stream);

/* A few words for a status, valid for ever. */
const char *normrope_status_text(int status);
/* What the last call of this thread that failed had to say; valid until the next one fails. "" before the first. */
const char *normrope_last_error(void);
/* The same in parts, where a field of the arguments was wrong: "q.in_token_stride", "66", and "a multiple of this
 * kernel's vector, 4 elements". Otherwise "". */
const char *normrope_last_error_field(void);
const char *normrope_last_error_value(void);
const char *normrope_last_error_wanted(void);

/* table[i] = round(frac(inv_freq[i] / 2 pi) * 2^64), exact: the turns for each step of position as a 0.64 fixed
 * point number. inv_freq: [n], radians per position, finite, from 0 up to below 2^64. table: [n]. Both in host memory;
 * n is rotary_dim / 2. All RoPE scalings (linear, NTK, YaRN, llama3, longrope, ...) are other values of inv_freq. */
int normrope_rope_table(const double *inv_freq, int32_t n, uint64_t *table);

/* Devices, memory, streams and events, so that a caller needs no CUDA binding. On the CPU target there is one
 * device, all work is done when a call returns, and streams are NULL. Sizes in bytes. */
int normrope_device_count(int *count); /* 0 where there is no GPU or no driver */
int normrope_device_get(int *device);
int normrope_device_set(int device); /* for this thread */
int normrope_device_get_info(int device, normrope_device_info *info);

int normrope_memory_allocate(size_t bytes, void **memory); /* 256-byte aligned; *memory is NULL where it fails */
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
