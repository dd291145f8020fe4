/* The C interface of a normrope library, the same for the CUDA and the CPU target.
 *
 * y = rotate(x * rsqrt(mean(x^2) + eps) * weight, position) for every query and key head of a batch of tokens,
 * float32 inside, rounded once to the kernel's dtype. Emitted by `normrope emit`.
 *
 * Statuses: 0 is success, everything negative an error; normrope_status_text names it and normrope_last_error says
 * which field or which CUDA call it was. Every function may be called from any thread. No function throws.
 * Pointers to data are device pointers for the CUDA target and host pointers for the CPU target.
 * The current device is that of the calling thread, as in the CUDA runtime. */
#ifndef NORMROPE_H
#define NORMROPE_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define NORMROPE_ABI 1

#define NORMROPE_OK 0
#define NORMROPE_ERROR_INVALID_ARGUMENT (-1) /* nothing was launched or written */
#define NORMROPE_ERROR_NO_SUCH_KERNEL (-2)
#define NORMROPE_ERROR_NO_DEVICE (-3)        /* no GPU, or no driver of the library's generation */
#define NORMROPE_ERROR_OUT_OF_MEMORY (-4)
#define NORMROPE_ERROR_DEVICE (-5)           /* a CUDA call failed */

/* Flag of normrope_args: launch with programmatic dependent launch, where the device and the library's code for it
 * are sm_90 or newer; elsewhere an ordinary launch. The weights and the table are read early: no kernel that may still
 * be unfinished, back to the last ordinary launch in the stream, may write them. */
#define NORMROPE_PDL 1u

/* All the query heads, or all the key heads; ignored where num_heads is 0.
 * Element e of head h of token t is at in + t * in_token_stride + h * in_head_stride + e: a head is contiguous.
 * Pointers and strides must be multiples of the kernel's vector (at most 8 bytes; `normrope explain` shows it). */
typedef struct normrope_heads {
  const void *in;             /* head 0 of token 0 */
  void *out;                  /* may equal in with the same strides; other overlap is undefined */
  const void *weight;         /* [head_dim], the kernel's dtype */
  const void *bias;           /* NULL */
  int64_t in_token_stride, in_head_stride, out_token_stride, out_head_stride; /* in elements */
  int64_t weight_head_stride; /* in elements; 0: one weight for all heads */
  int64_t reserved[2];        /* 0 */
  int32_t num_heads;
  int32_t reserved32;         /* 0 */
} normrope_heads;

typedef struct normrope_args {
  uint32_t struct_size;         /* sizeof(normrope_args) */
  uint32_t flags;               /* 0 or NORMROPE_PDL */
  normrope_heads q, k;
  const void *positions;        /* [num_tokens], signed, of position_bits each; any value */
  const uint64_t *rope_table;   /* [rotary_dim / 2], 8-byte aligned: normrope_rope_table makes it */
  int64_t num_tokens;           /* 0 succeeds at once */
  int32_t position_bits;        /* 32 or 64 */
  float eps;                    /* not negative */
  float attention_factor;       /* multiplies cosine and sine; 1 without YaRN or longrope */
  int32_t reserved32;           /* 0 */
} normrope_args;

typedef struct normrope_device_info {
  char name[256];
  int32_t major, minor;         /* compute capability; 0 on the CPU */
  int32_t multiprocessors;      /* hardware threads on the CPU */
  int32_t driver_version;       /* as CUDA encodes it: 13000 for 13.0; 0 on the CPU */
  int64_t l2_bytes;             /* 0 where unknown */
  int64_t memory_bytes;
} normrope_device_info;

int normrope_abi(void);
/* JSON: the op, the kernels, and the hash of the sources that the library was built from. */
const char *normrope_manifest(void);

int normrope_kernel_count(void);
/* Index of a kernel, or NORMROPE_ERROR_NO_SUCH_KERNEL. */
int normrope_find(const char *kernel_id);
const char *normrope_kernel_id(int kernel);
/* Loads the kernel on the current device, so that a first run can be captured in a CUDA graph. */
int normrope_prepare(int kernel);
/* Launches on a stream of the current device (a cudaStream_t; NULL is the default stream). Never allocates or
 * synchronises, and can be captured after normrope_prepare. The CPU target has finished when it returns. */
int normrope_run(int kernel, const normrope_args *args, void *stream);

const char *normrope_status_text(int status);
/* Of this thread's last failed call: the field and its value, or the CUDA call and its error. */
const char *normrope_last_error(void);

/* table[i] = round(frac(inv_freq[i] / 2 pi) * 2^64), exact: the turns for each step of position as a 0.64 fixed
 * point number. inv_freq in radians per position, finite, from 0 up to below 2^64. Both in host memory. */
int normrope_rope_table(const double *inv_freq, int32_t n, uint64_t *table);

/* Devices, memory, streams and events, so that a caller needs no CUDA binding. On the CPU target there is one
 * device, all work is done when a call returns, and streams are NULL. Sizes in bytes. */
int normrope_device_count(int *count); /* 0 where there is no GPU or no driver */
int normrope_device_get(int *device);
int normrope_device_set(int device);
int normrope_device_get_info(int device, normrope_device_info *info);

int normrope_memory_allocate(size_t bytes, void **memory); /* 256-byte aligned */
int normrope_memory_free(void *memory);                    /* NULL is allowed */
int normrope_memory_fill(void *memory, int byte, size_t bytes, void *stream);
int normrope_copy_to_device(void *device, const void *host, size_t bytes, void *stream);   /* returns when done */
int normrope_copy_to_host(void *host, const void *device, size_t bytes, void *stream);     /* returns when done */
int normrope_copy_on_device(void *to, const void *from, size_t bytes, void *stream);

int normrope_stream_create(void **stream);
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
