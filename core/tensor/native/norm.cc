// The numbers of a batch norm, a few a channel. Sums over images are joined in double and in the order of the
// images.

#include "norm.h"

#include <cmath>

#include "parallel.h"

namespace fleet {

BatchMoments::BatchMoments(int count, int padded)
    : channels(padded), memory(2 * static_cast<size_t>(padded) * count, 0.0) {
  for (int i = 0; i < count; i++) {
    double* from = memory.data() + 2 * static_cast<size_t>(padded) * i;
    images.push_back({0, from, from + padded});
  }
}

const Moments& BatchMoments::joined() {
  Moments& all = images[0];
  for (size_t i = 1; i < images.size(); i++) {
    const Moments& part = images[i];
    // An image without pixels has no mean; joined, it would divide by zero.
    if (part.count == 0) continue;
    for (int c = 0; c < channels; c++)
      join(all.mean[c], all.deviation[c], all.count, part.mean[c], part.deviation[c], part.count);
    all.count += part.count;
  }
  return all;
}

void normOf(const Moments& moments, int channels, float epsilon, const float* scale, const float* offset, float* mean,
            float* unbiased, float* inverse, float* norm) {
  for (int c = 0; c < channels; c++) {
    const double variance = moments.deviation[c] / moments.count;
    mean[c] = static_cast<float>(moments.mean[c]);
    // A single value has no unbiased variance; it counts as zero, not as a division by zero.
    unbiased[c] = static_cast<float>(moments.deviation[c] / (moments.count > 1 ? moments.count - 1 : 1));
    inverse[c] = static_cast<float>(1.0 / std::sqrt(variance + epsilon));
    // From the rounded values, as PyTorch computes them: y = z f + (offset - mean f), the mean inside the
    // offset.
    norm[c] = inverse[c] * scale[c];
    norm[channels + c] = offset[c] - mean[c] * norm[c];
  }
}

void givenNorm(int channels, const float* scale, const float* offset, float* mean, float* unbiased, float* inverse,
               float* norm) {
  for (int c = 0; c < channels; c++) {
    mean[c] = unbiased[c] = 0.0f;
    inverse[c] = 1.0f;
    norm[c] = scale[c];
    norm[channels + c] = offset[c];
  }
}

NormBackward normBackward(int channels, int padded, double count, const double* sums, const float* mean,
                          const float* inverse, const float* scale, float* dScale, float* dOffset) {
  NormBackward made;
  // Padding stays zero, so padded channels of dz are zero too.
  made.memory.assign(4 * static_cast<size_t>(padded), 0.0f);
  float* centre = made.memory.data();
  float* dyFactor = centre + padded;
  float* zFactor = dyFactor + padded;
  float* shift = zFactor + padded;
  for (int c = 0; c < channels; c++) {
    const double factor = static_cast<double>(inverse[c]) * scale[c];
    dOffset[c] = static_cast<float>(sums[c]);
    dScale[c] = static_cast<float>(sums[channels + c] * inverse[c]);
    centre[c] = mean[c];
    dyFactor[c] = static_cast<float>(factor);
    zFactor[c] = static_cast<float>(-factor * inverse[c] * inverse[c] * sums[channels + c] / count);
    shift[c] = static_cast<float>(-factor * sums[c] / count);
  }
  made.gradient = {centre, dyFactor, zFactor, shift};
  return made;
}

std::vector<double> normSums(const Kernels& kernels, int images, int pixels, int channels, const float* dy,
                             const float* z, const float* mean) {
  std::vector<double> parts(2 * static_cast<size_t>(channels) * images, 0.0);
  const size_t map = static_cast<size_t>(pixels) * channels;
  forEach(images, Order::descending, [&](int image) {
    kernels.normSums(pixels, channels, dy + image * map, z + image * map, mean,
                     parts.data() + 2 * static_cast<size_t>(channels) * image);
  });
  std::vector<double> sums(parts.begin(), parts.begin() + 2 * channels);
  for (int image = 1; image < images; image++)
    for (int c = 0; c < 2 * channels; c++) sums[c] += parts[2 * static_cast<size_t>(channels) * image + c];
  return sums;
}

}  // namespace fleet
