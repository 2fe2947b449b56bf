// Memory that the kernels work in.

#include <cstdlib>

#include "shape.h"

namespace fleet {

float* Scratch::atLeast(size_t count) {
  if (count > size) {
    std::free(floats);
    void* memory = nullptr;
    if (posix_memalign(&memory, 64, sizeof(float) * count) != 0) std::abort();
    floats = static_cast<float*>(memory);
    size = count;
  }
  return floats;
}
Scratch::~Scratch() { std::free(floats); }

}  // namespace fleet
