// A batch norm over all images of a batch: moments joined image by image, what normalises a map, and what its gradient is made from.
// The passes over maps are statistics.inc's.

#pragma once
#include <vector>

#include "shape.h"

namespace fleet {

/** Moments of each image, joined in the order of the images. */
struct BatchMoments {
  int channels;
  std::vector<double> memory;
  std::vector<Moments> images;
  BatchMoments(int count, int padded);
  const Moments& joined();
};

/** Writes mean, unbiased variance and 1 / deviation, and what normalises a map: factors and offsets, [2, channels]. */
void normOf(const Moments& moments, int channels, float epsilon, const float* scale, const float* offset, float* mean,
            float* unbiased, float* inverse, float* norm);

/** What dz is made from, and the memory it lies in. */
struct NormBackward {
  std::vector<float> memory;
  NormGradient gradient;
};

/** Writes the gradients of scale and offset as well; `sums` holds those of dy and of dy (z - mean). */
NormBackward normBackward(int channels, int padded, double count, const double* sums, const float* mean,
                          const float* inverse, const float* scale, float* dScale, float* dOffset);

/** Sums of dy and dy (z - mean) over all images, each image by itself first: [2, channels]. */
std::vector<double> normSums(const Kernels& kernels, int images, int pixels, int channels, const float* dy,
                             const float* z, const float* mean);

}  // namespace fleet
