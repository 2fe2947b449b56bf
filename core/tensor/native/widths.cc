// The kernels for AVX2 and for any processor, and which set of kernels a call gets.
//
// Vectors of another width sum in another order, so the instruction set is part of the device class on which
// bits are the same. ONEDNN_MAX_CPU_ISA, by which oneDNN limits its own kernels, limits these too: with it,
// machines of different age compute the same bits.

#include <cstdlib>
#include <cstring>

#include "targets.h"

#define LANES 4
#define REGISTERS 16
namespace fleet_basic {
using namespace fleet;
#include "all.inc"
}  // namespace fleet_basic
#undef LANES

#if OWN_TARGETS
#pragma GCC push_options
#pragma GCC target("avx2,fma")
#define LANES 8
namespace fleet_avx2 {
using namespace fleet;
#include "all.inc"
}  // namespace fleet_avx2
#undef LANES
#pragma GCC pop_options
#endif

namespace fleet {

/** What the processor has and the environment allows. */
enum class Level { basic, avx2, avx512 };

// oneDNN's rules: DNNL_MAX_CPU_ISA is the older name; values are ordered, so AVX512_CORE allows AVX2 as well.
static Level levelOf() {
#if OWN_TARGETS
  const char* named = std::getenv("ONEDNN_MAX_CPU_ISA");
  if (named == nullptr) named = std::getenv("DNNL_MAX_CPU_ISA");
  const bool all = named == nullptr || std::strcmp(named, "DEFAULT") == 0 || std::strcmp(named, "ALL") == 0;
  __builtin_cpu_init();
  if ((all || std::strncmp(named, "AVX512", 6) == 0 || std::strncmp(named, "AVX10", 5) == 0) &&
      __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") &&
      __builtin_cpu_supports("avx512vl"))
    return Level::avx512;
  if ((all || std::strncmp(named, "AVX2", 4) == 0 || std::strncmp(named, "AVX512", 6) == 0 ||
       std::strncmp(named, "AVX10", 5) == 0) &&
      __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))
    return Level::avx2;
#endif
  return Level::basic;
}

// Sixteen lanes only where both channel counts are multiples of sixteen: a half-empty vector costs as much as
// a full one, and eight lanes leave nothing empty with 8 or 24 channels. Nothing narrower is tried on a
// processor that has wider vectors.
const Kernels& kernelsFor(int some, int others) {
#if OWN_TARGETS
  static const Level level = levelOf();
  if (level == Level::avx512)
    return some % 16 == 0 && others % 16 == 0 ? wideKernels() : narrowKernels();
  if (level == Level::avx2) return fleet_avx2::KERNELS;
#endif
  return fleet_basic::KERNELS;
}

}  // namespace fleet
