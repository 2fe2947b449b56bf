// Our own kernels with exact-size buffers and a scratch full of NaN, for thousands of shapes, built with
// AddressSanitizer: nothing is read or written outside, and nothing depends on what the scratch held before.
// Numbers are compared in test/unit/tensor/ops/native-separable.test.ts. Prints the number of shapes, or the first that
// fails and exits 1.

#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <initializer_list>
#include <memory>
#include <vector>

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

/** A map in parts, each of them exact. */
template <class Float>
struct PartedBuffer {
  std::vector<std::unique_ptr<Buffer<float>>> buffers;
  Parts<Float> parts;
  PartedBuffer(int count, int pixels, int channels) : parts{count, channels / count, {}} {
    for (int part = 0; part < count; part++) {
      buffers.emplace_back(new Buffer<float>(static_cast<size_t>(pixels) * parts.channels));
      parts.maps[part] = buffers.back()->values;
    }
  }
  bool finite() const {
    for (const auto& buffer : buffers)
      if (!buffer->finite()) return false;
    return true;
  }
};

/** A map with a pending norm, in exact memory; `term` as in the attribute `terms`. */
struct PendingNormBuffer {
  Buffer<float> z, norm, added, addedNorm, y;
  PendingNorm map;
  PendingNormBuffer(int pixels, int channels, int term, bool streaming)
      : z(static_cast<size_t>(pixels) * channels), norm(2 * channels), added(z.size), addedNorm(norm.size), y(z.size),
        map{z.values, norm.values, term > 0 ? added.values : nullptr, term > 1 ? addedNorm.values : nullptr, y.values, streaming} {
    y.fill(NAN);
  }
};

/**
 * Runs a block through every kernel, with summands if `adds`, x in `parts` maps and dx in `dparts`; whether
 * all results are finite.
 */
bool run(const Block& block, bool adds, int parts, int dparts) {
  const Kernels& kernels = kernelsFor(block.in, block.out);
  const int in = padTo(block.in, kernels.lanes), out = padTo(block.out, kernels.lanes);
  const size_t taps = static_cast<size_t>(block.kernel) * block.kernel * in, matrix = static_cast<size_t>(in) * out;
  const size_t before = static_cast<size_t>(block.pixels()) * block.in;
  const size_t after = static_cast<size_t>(block.outPixels()) * block.out;
  const int pixels = block.outPixels();

  Buffer<float> slope(in), depthwise(taps), flipped(taps), pointwise(matrix), transposed(matrix);
  const Weights weights{in, out, slope.values, depthwise.values, flipped.values, pointwise.values, transposed.values};
  const PartedBuffer<const float> x(parts, block.pixels(), block.in);
  const PartedBuffer<float> dx(dparts, block.pixels(), block.in);
  Buffer<float> added(before), z(after), y(after), dy(after);
  Buffer<float> scratch(kernels.scratchSize(block, weights));

  Buffer<double> mean(out), deviation(out);
  mean.fill(0);
  deviation.fill(0);
  Moments moments{0, mean.values, deviation.values};
  scratch.fill(NAN);
  kernels.forward(block, weights, {x.parts}, z.values, &moments, scratch.values);
  bool good = z.finite() && mean.finite() && deviation.finite();
  // Again with pending norms: of all parts with `adds`, else of every other one. All pixels of their y must
  // be written.
  Source source{x.parts};
  std::vector<std::unique_ptr<PendingNormBuffer>> pending;
  for (int part = 0; part < parts; part += adds ? 1 : 2) {
    pending.emplace_back(new PendingNormBuffer(block.pixels(), block.in / parts, adds ? 1 + part % 2 : 0, adds));
    source.pending[part] = &pending.back()->map;
    source.x.maps[part] = pending.back()->y.values;
  }
  scratch.fill(NAN);
  kernels.forward(block, weights, source, z.values, &moments, scratch.values);
  good = good && z.finite() && mean.finite() && deviation.finite();
  for (const auto& buffer : pending) good = good && buffer->y.finite();

  Buffer<float> centre(out), factor(out), curve(out), shift(out), dSlope(in), dDepthwise(taps), dPointwise(matrix);
  WeightGradients gradients{dSlope.values, dDepthwise.values, dPointwise.values};
  // Two norms that ask for sums of the last part of dx.
  const size_t partChannels = dx.parts.channels;
  Buffer<float> requestZ(block.pixels() * partChannels), requestMean(partChannels);
  Buffer<double> firstSums(2 * partChannels), secondSums(2 * partChannels);
  const SumRequest requests[] = {{dparts - 1, requestZ.values, requestMean.values, firstSums.values},
                             {dparts - 1, requestZ.values, requestMean.values, secondSums.values}};
  const BackwardMaps maps{x.parts, z.values, dy.values, adds ? added.values : nullptr, dx.parts, requests, adds ? 2 : 0};
  scratch.fill(NAN);
  kernels.backward(block, weights, {centre.values, factor.values, curve.values, shift.values}, maps, gradients,
                   scratch.values);
  good = good && firstSums.finite() && secondSums.finite();
  good = good && dx.finite() && dSlope.finite() && dDepthwise.finite() && dPointwise.finite();

  Buffer<float> scale(block.out), offset(block.out), bend(block.out), move(block.out);
  Buffer<double> sums(2 * block.out), mapMean(block.out), mapDeviation(block.out);
  Buffer<float> norm(2 * block.out);
  kernels.normalise(0, pixels, block.out, {z.values, norm.values, adds ? dy.values : nullptr, nullptr, y.values, adds});
  kernels.normSums(pixels, block.out, dy.values, z.values, scale.values, sums.values);
  kernels.normGradient(pixels, block.out, dy.values, z.values, {scale.values, offset.values, bend.values, move.values},
                       y.values);
  Moments mapMoments{0, mapMean.values, mapDeviation.values};
  kernels.moments(pixels, block.out, z.values, mapMoments);

  const Kernels& alone = kernelsFor(block.in, block.in);
  Buffer<float> slopes(block.in), slopeSums(2 * block.in);
  Buffer<float> activated(before);
  alone.prelu(block.pixels(), x.parts, slopes.values, activated.values);
  alone.preluGradient(block.pixels(), x.parts, added.values, slopes.values, adds ? added.values : nullptr, dx.parts,
                      slopeSums.values);
  alone.add(before, added.values, activated.values);
  return good && y.finite() && sums.finite() && dx.finite() && slopeSums.finite() && activated.finite();
}

/** Runs both pools of one image, and their gradients; whether every result is written and finite. */
bool runPool(const Block& block) {
  bool good = true;
  for (const bool isMaximum : {false, true}) {
    const Pool pool{block.height, block.width, block.in, block.outHeight, block.outWidth, block.kernel, block.stride,
                    block.padding, isMaximum};
    Buffer<float> x(pool.floats()), y(pool.outFloats()), dx(pool.floats());
    y.fill(NAN);
    dx.fill(NAN);
    const Kernels& kernels = kernelsFor(pool.channels, pool.channels);
    kernels.pool(pool, x.values, y.values);
    kernels.poolGradient(pool, isMaximum ? x.values : nullptr, y.values, dx.values);
    good = good && y.finite() && dx.finite();
  }
  return good;
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
              // Whole, in two and in four parts, x and dx alike or one of them whole.
              const int most = in % 4 == 0 ? 4 : in % 2 == 0 ? 2 : 1, parts = shapes / 2 % 3 == 0 ? 1 : most;
              const int dparts = shapes / 2 % 3 == 1 ? 1 : most;
              if (!run(block, shapes % 2 == 1, parts, dparts) || !runPool(block)) {
                std::printf("%d to %d channels, kernel %d, stride %d, padding %d on %dx%d: not finite\n", in, out, kernel,
                            stride, padding, height, width);
                return 1;
              }
              shapes++;
            }
  std::printf("%d shapes\n", shapes);
  return 0;
}
