// The kernels for AVX-512, with vectors of 16 floats and, for channel counts that leave such vectors half
// empty, of 8. A file of its own, so that the build compiles it beside widths.cc.

#include "targets.h"

#if OWN_TARGETS
#define REGISTERS 32
#pragma GCC push_options
#pragma GCC target("avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,prefer-vector-width=512")
#define LANES 8
namespace fleet_avx512_narrow {
using namespace fleet;
#include "all.inc"
}  // namespace fleet_avx512_narrow
#undef LANES
#define LANES 16
namespace fleet_avx512 {
using namespace fleet;
#include "all.inc"
}  // namespace fleet_avx512
#undef LANES
#pragma GCC pop_options

namespace fleet {

const Kernels& wideKernels() { return fleet_avx512::KERNELS; }
const Kernels& narrowKernels() { return fleet_avx512_narrow::KERNELS; }

}  // namespace fleet
#endif
