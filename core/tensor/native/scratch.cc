// Memory that the kernels work in, kept by each thread from call to call: memory that goes back to the system
// and comes again costs a page fault for each page.

#include <cstdlib>

#include "shape.h"

namespace fleet {

float* Scratch::atLeast(size_t count) {
  if (count > size) {
    std::free(floats);
    void* memory = nullptr;
    // A line of the cache: vectors of 64 bytes then never span two. Without memory a kernel has no way to
    // continue or to report it.
    if (posix_memalign(&memory, 64, sizeof(float) * count) != 0) std::abort();
    floats = static_cast<float*>(memory);
    size = count;
  }
  return floats;
}
Scratch::~Scratch() { std::free(floats); }

}  // namespace fleet
