// The part of a GPU's memory that this process may take, as TensorFlow's configuration. Workers that share a
// GPU get equal, fixed parts of it: left alone, the first of them takes nearly everything and the others find
// no room.

#pragma once

#include <cstdlib>
#include <cstring>
#include <string>

namespace fleet {

/**
 * ConfigProto { gpu_options (6): GPUOptions { per_process_gpu_memory_fraction (1): double } } of
 * POCKETFLEET_GPU_MEMORY_SHARE, which lies between 0 and 1; empty where it is not set, or is no such number.
 */
inline std::string gpuMemoryConfig() {
  const char* text = std::getenv("POCKETFLEET_GPU_MEMORY_SHARE");
  char* end = nullptr;
  const double share = text == nullptr ? 0 : std::strtod(text, &end);
  if (text == nullptr || end == text || *end != '\0' || !(share > 0 && share <= 1)) return "";
  char bytes[] = {0x32, 0x09, 0x09, 0, 0, 0, 0, 0, 0, 0, 0};
  // Protocol buffers are little-endian, as every processor is that TensorFlow is built for.
  std::memcpy(bytes + 3, &share, sizeof share);
  return std::string(bytes, sizeof bytes);
}

}  // namespace fleet
