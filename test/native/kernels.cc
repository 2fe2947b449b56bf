// Our own kernels with exact-size buffers and a scratch full of NaN, for thousands of shapes, built with AddressSanitizer: nothing is
// read or written outside, and nothing depends on what the scratch held before. Whether the numbers are right is
// test/unit/tensor/separable.test.ts' business. Prints the number of shapes, or the first that fails and exits 1.

#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <initializer_list>

#include "shape.h"

using namespace fleet;

namespace {

/** Exactly `size` values in memory of their own, so that the sanitizer sees the one behind. */
template <class T>
struct Buffer {
  T* values;
  size_t size;
  explicit Buffer(size_t count) : values(static_cast<T*>(std::malloc(sizeof(T) * count))), size(count) {
    for (size_t i = 0; i < count; i++) values[i] = static_cast<T>((i * 7919 % 101) / 50.0 - 1);
  }
  ~Buffer() { std::free(values); }
  Buffer(const Buffer&) = delete;
  void fill(T value) {
    for (size_t i = 0; i < size; i++) values[i] = value;
  }
  bool finite() const {
    for (size_t i = 0; i < size; i++)
      if (!std::isfinite(values[i])) return false;
    return true;
  }
};

/** A block through every kernel; `adds`: with maps to add. */
bool run(const Block& block, bool adds) {
  const Kernels& kernels = kernelsFor(block.in, block.out);
  const int in = padTo(block.in, kernels.lanes), out = padTo(block.out, kernels.lanes);
  const size_t taps = static_cast<size_t>(block.kernel) * block.kernel * in, matrix = static_cast<size_t>(in) * out;
  const size_t before = static_cast<size_t>(block.pixels()) * block.in;
  const size_t after = static_cast<size_t>(block.outPixels()) * block.out;
  const int pixels = block.outPixels();

  Buffer<float> slope(in), depthwise(taps), flipped(taps), pointwise(matrix), transposed(matrix);
  const Weights weights{in, out, slope.values, depthwise.values, flipped.values, pointwise.values, transposed.values};
  Buffer<float> x(before), dx(before), added(before), z(after), y(after), dy(after);
  Buffer<float> scratch(kernels.scratchSize(block, weights));

  Buffer<double> mean(out), deviation(out);
  mean.fill(0);
  deviation.fill(0);
  Moments moments{0, mean.values, deviation.values};
  scratch.fill(NAN);
  kernels.forward(block, weights, x.values, z.values, moments, scratch.values);
  bool good = z.finite() && mean.finite() && deviation.finite();

  Buffer<float> centre(out), factor(out), curve(out), shift(out), dSlope(in), dDepthwise(taps), dPointwise(matrix);
  WeightGradients gradients{dSlope.values, dDepthwise.values, dPointwise.values};
  scratch.fill(NAN);
  kernels.backward(block, weights, {centre.values, factor.values, curve.values, shift.values}, x.values, z.values,
                   dy.values, adds ? added.values : nullptr, dx.values, gradients, scratch.values);
  good = good && dx.finite() && dSlope.finite() && dDepthwise.finite() && dPointwise.finite();

  Buffer<float> scale(block.out), offset(block.out), bend(block.out), move(block.out);
  Buffer<double> sums(2 * block.out), mapMean(block.out), mapDeviation(block.out);
  kernels.normalise(pixels, block.out, z.values, scale.values, offset.values, adds ? dy.values : nullptr, y.values);
  kernels.normSums(pixels, block.out, dy.values, z.values, scale.values, sums.values);
  kernels.normGradient(pixels, block.out, dy.values, z.values, {scale.values, offset.values, bend.values, move.values},
                       y.values);
  Moments mapMoments{0, mapMean.values, mapDeviation.values};
  kernels.moments(pixels, block.out, z.values, mapMoments);

  const Kernels& alone = kernelsFor(block.in, block.in);
  Buffer<float> slopes(block.in), slopeSums(2 * block.in);
  alone.prelu(block.pixels(), block.in, slopes.values, x.values, dx.values);
  alone.preluGradient(block.pixels(), block.in, x.values, added.values, slopes.values, adds ? added.values : nullptr,
                      dx.values, slopeSums.values);
  alone.add(before, x.values, dx.values);
  return good && y.finite() && sums.finite() && dx.finite() && slopeSums.finite();
}

}  // namespace

int main() {
  int shapes = 0;
  for (int in : {1, 3, 4, 8, 12, 16, 24, 32, 48, 64, 128, 256})
    for (int out : {1, 4, 5, 8, 16, 32, 64, 96})
      for (int kernel : {1, 3, 5, 7, 9})
        for (int stride : {1, 2, 3})
          for (int padding = 0; padding < kernel; padding++)
            for (int height : {1, 2, 5, 7, 14, 28}) {
              const int width = height % 3 == 0 ? height : height + 1;
              if (height + 2 * padding < kernel || static_cast<long>(in) * out * height * width * kernel > 600000) continue;
              Block block{1, height, width, in, 0, 0, out, kernel, stride, padding, 1e-5f};
              block.outHeight = (height + 2 * padding - kernel) / stride + 1;
              block.outWidth = (width + 2 * padding - kernel) / stride + 1;
              if (!run(block, shapes % 2 == 1)) {
                std::printf("%d to %d channels, kernel %d, stride %d, padding %d on %dx%d: not finite\n", in, out, kernel,
                            stride, padding, height, width);
                return 1;
              }
              shapes++;
            }
  std::printf("%d shapes\n", shapes);
  return 0;
}
