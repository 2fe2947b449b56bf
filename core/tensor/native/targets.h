// Whether this compiler can compile kernels for other instruction sets than the one it builds for.

#pragma once
#include "shape.h"

// `#pragma GCC target` is GCC's alone; other compilers build the kernels with four lanes, which every x86-64
// and ARM64 processor has.
#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__)
#define OWN_TARGETS 1
#else
#define OWN_TARGETS 0
#endif

namespace fleet {

#if OWN_TARGETS
/** AVX-512 with vectors of 16 floats. */
const Kernels& wideKernels();
/** AVX-512 with vectors of 8 floats: its 32 registers, half its width. */
const Kernels& narrowKernels();
#endif

}  // namespace fleet
