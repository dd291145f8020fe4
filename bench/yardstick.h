/* The yardsticks and the clock of a benchmark. They are a library of their own, apart from the user's.
   Functions that return int return 0, or not 0 with the reason in normrope_yardstick_error. */
#pragma once

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The reason of this thread's last failure. */
const char *normrope_yardstick_error(void);

/* floor: loads and stores the first `row_vectors` 16-byte vectors of each row in place. It flips signs in them, so that
   nothing is optimised away. `row_stride` is in vectors. No kernel that works in place on these bytes can take less. */
int normrope_yardstick_floor(void *data, int64_t row_vectors, int64_t row_stride, int64_t rows, int dependent,
                             void *stream);

/* A part of each row, and where its vectors are stored. */
typedef struct {
  int64_t first, vectors; /* in the row, in 16-byte vectors */
  void *to;               /* NULL: in place */
  int64_t to_stride;      /* bytes from one row at `to` to the next */
  int32_t by_slot;        /* 1: the row at `to` is the slot of the token, 0: the token */
  int32_t stored_bytes;   /* of a vector: 16, or 8 if its elements become bytes */
} normrope_yardstick_part;

/* store floor: loads the parts of each row and stores them, in place or elsewhere. `slots` has one for each row, from 0 on. With `plain`,
   places are found by division, as in a plain loop; without, by multiplication. */
int normrope_yardstick_store_floor(void *data, int64_t row_stride, int64_t rows, const normrope_yardstick_part *parts, const int32_t *slots,
                                   int64_t block_size, int plain, int dependent, void *stream);

/* empty: does nothing, with one block for every 8 of `heads` (tokens times heads). It measures the cost of a launch. */
int normrope_yardstick_empty(int64_t heads, int dependent, void *stream);

/* CUDA only: launches in the stream between begin and end are recorded. A replay runs them all and measures its time. */
int normrope_yardstick_begin(void *stream);
int normrope_yardstick_end(void *stream, void **graph);
int normrope_yardstick_replay(void *graph, void *stream, float *milliseconds);
int normrope_yardstick_destroy(void *graph);

#ifdef __cplusplus
}
#endif
