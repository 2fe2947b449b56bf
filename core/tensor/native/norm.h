// A batch norm over all images of a batch: the moments of the images joined into those of the batch, the
// factors and offsets that normalise a map, and the coefficients of its gradient. Everything here is a few
// numbers a channel, computed in double.

#pragma once
#include <vector>

#include "shape.h"

namespace fleet {

/**
 * Moments of each image in memory of its own, so that threads work on images without locks, joined in the
 * order of the images, so that the result does not depend on the order in which threads finish.
 */
struct BatchMoments {
  int channels;  // padded
  std::vector<double> memory;
  std::vector<Moments> images;
  BatchMoments(int count, int padded);
  const Moments& joined();
};

/**
 * Writes mean [channels], unbiased variance [channels] (for running statistics, as PyTorch keeps them), 1 /
 * deviation [channels] from the biased variance plus epsilon (which normalises), and the norm [2, channels]
 * with y = z norm[0] + norm[1].
 */
void normOf(const Moments& moments, int channels, float epsilon, const float* scale, const float* offset, float* mean,
            float* unbiased, float* inverse, float* norm);

/** The norm of a given scale and offset, and the statistics of a map that needs no norm: 0, 0 and 1. */
void givenNorm(int channels, const float* scale, const float* offset, float* mean, float* unbiased, float* inverse,
               float* norm);

/** The coefficients of dz, and the memory that they lie in. */
struct NormBackward {
  std::vector<float> memory;
  NormGradient gradient;
};

/**
 * Coefficients of dz over `count` values a channel; also writes the gradients of scale and offset. `sums` [2,
 * channels] holds the sums of dy and of dy (z - mean). With r = 1 / deviation (Ioffe and Szegedy, 2015,
 * section 3, with the chain rule carried out):
 *     dOffset = sum(dy),  dScale = r sum(dy (z - mean)),
 *     dz = r scale dy - r^3 scale sum(dy (z - mean)) / count (z - mean) - r scale sum(dy) / count.
 */
NormBackward normBackward(int channels, int padded, double count, const double* sums, const float* mean,
                          const float* inverse, const float* scale, float* dScale, float* dOffset);

/**
 * Sums of dy and of dy (z - mean) over all images, [2, channels]: each image first by itself, then joined in
 * their order.
 */
std::vector<double> normSums(const Kernels& kernels, int images, int pixels, int channels, const float* dy,
                             const float* z, const float* mean);

}  // namespace fleet
