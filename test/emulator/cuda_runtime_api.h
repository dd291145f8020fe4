// The host's half of the CUDA headers, which here is in one file with the rest.
#pragma once

#include "cuda_runtime.h"
