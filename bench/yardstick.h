/* What a benchmark holds a kernel against, and the clock. A library of its own: none of it is in the user's.
   Functions that return int return 0, or not 0 with the reason in normrope_yardstick_error. */
#pragma once

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The reason of this thread's last failure. */
const char *normrope_yardstick_error(void);

/* floor: loads and stores the first `row_vectors` 16-byte vectors of each row in place, and flips signs in them, so that
   nothing is optimised away. `row_stride` is in vectors. What any kernel must spend that works in place on these bytes. */
int normrope_yardstick_floor(void *data, int64_t row_vectors, int64_t row_stride, int64_t rows, int dependent,
                             void *stream);

/* empty: does nothing, on one block for every 8 of `heads` (tokens times heads). What a launch costs. */
int normrope_yardstick_empty(int64_t heads, int dependent, void *stream);

/* CUDA only: between begin and end, launches in the stream are recorded; a replay runs them all and tells its time. */
int normrope_yardstick_begin(void *stream);
int normrope_yardstick_end(void *stream, void **graph);
int normrope_yardstick_replay(void *graph, void *stream, float *milliseconds);
int normrope_yardstick_destroy(void *graph);

#ifdef __cplusplus
}
#endif
