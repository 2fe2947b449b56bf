// Which instruction sets kernels are compiled for, in files that the compiler can take at the same time.

#pragma once
#include "shape.h"

// Other compilers have other words for the instruction set of a part of a file; they get the kernels of four lanes.
#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__)
#define OWN_TARGETS 1
#else
#define OWN_TARGETS 0
#endif

namespace fleet {

#if OWN_TARGETS
/** AVX-512 with vectors of 16 and of 8 floats. */
const Kernels& wideKernels();
const Kernels& narrowKernels();
#endif

}  // namespace fleet
