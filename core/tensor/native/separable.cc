// PReLU, depthwise and pointwise convolution and batch norm as one operation each way: checks the shapes of a
// call, packs the weights, gives each image to a thread and joins what the images contribute.
//
// Every image adds to sums in memory of its own (moments, gradients of weights, sums that norms ask for), and
// these are joined in the order of the images: the bits do not depend on the number of threads. Atomic or
// per-thread sums would cost less memory and depend on the order in which threads finish.
//
// Any shape is taken that is a block: depthwise kernels up to KERNEL_MAX, padding less than the kernel, any
// stride and any channel counts. Others are refused with their shapes; ops.ts (core/tensor/ops) composes
// blocks from TensorFlow's operations only where these operations are missing.
//
// Legend: N images, H x W map, C channels in, O channels out, k depthwise kernel; everything float32.

#include <algorithm>
#include <cstring>

#include "call.h"
#include "norm.h"
#include "operations.h"
#include "parallel.h"
#include "shape.h"
#include "pending-norms.h"
#include "sum-requests.h"

namespace fleet {
namespace {

/** Working memory of one image, packed weights, and the images' gradients of weights. */
thread_local Scratch imageScratch, weightScratch, partScratch;

/** The packed weights (struct Weights), which stay valid until the next call on this thread. */
Weights pack(const Block& block, int lanes, const float* slope, const float* depthwise, const float* pointwise) {
  const int in = padTo(block.in, lanes), out = padTo(block.out, lanes), taps = block.kernel * block.kernel;
  const size_t matrix = static_cast<size_t>(in) * out;
  const size_t floats = in + 2 * static_cast<size_t>(taps) * in + 2 * matrix;
  float* slopes = weightScratch.atLeast(floats);
  std::fill_n(slopes, floats, 0.0f);
  float* forward = slopes + in;
  float* flipped = forward + static_cast<size_t>(taps) * in;
  float* straight = flipped + static_cast<size_t>(taps) * in;
  float* transposed = straight + matrix;
  std::memcpy(slopes, slope, sizeof(float) * block.in);
  for (int tap = 0; tap < taps; tap++) {
    const float* from = depthwise + static_cast<size_t>(tap) * block.in;
    std::memcpy(forward + static_cast<size_t>(tap) * in, from, sizeof(float) * block.in);
    std::memcpy(flipped + static_cast<size_t>(taps - 1 - tap) * in, from, sizeof(float) * block.in);
  }
  for (int i = 0; i < block.in; i++)
    for (int o = 0; o < block.out; o++) {
      const float weight = pointwise[static_cast<size_t>(i) * block.out + o];
      const float used = block.scaled() ? weight * depthwise[i] : weight;
      straight[static_cast<size_t>(i) * out + o] = used;
      transposed[static_cast<size_t>(o) * in + i] = used;
    }
  return {in, out, slopes, forward, flipped, straight, transposed};
}

/**
 * The kernels whose vectors fill up with the channels of each part of x and dx, and with those of the result.
 */
const Kernels& kernelsOf(const Block& block, const Attributes& attributes) {
  const int most = std::max(attributes.parts, attributes.dparts);
  return kernelsFor(block.in / most, block.out);
}

/**
 * The sizes of the block that these tensors make: x [N, H, W, C], slope [C], depthwise [k, k, C, 1],
 * pointwise [1, 1, C, O], scale [O]. False, and the call refused, where they do not fit together or the
 * result would be empty.
 */
bool blockOf(Call& call, const Attributes& attributes, const PartedMap& x, const Call::Input& slope,
             const Call::Input& depthwise, const Call::Input& pointwise, const Call::Input& scale, Block& block) {
  if (!call.ok()) return false;
  const bool fits = x.shape.size() == 4 && depthwise.shape.size() == 4 && pointwise.shape.size() == 4 &&
                    depthwise.shape[0] == depthwise.shape[1] && depthwise.shape[0] <= KERNEL_MAX &&
                    depthwise.shape[2] == x.shape[3] && depthwise.shape[3] == 1 && pointwise.shape[0] == 1 && pointwise.shape[1] == 1 &&
                    pointwise.shape[2] == x.shape[3] && slope.size == x.shape[3] && scale.size == pointwise.shape[3];
  if (fits) {
    block = {x.shape[0], x.shape[1], x.shape[2], x.shape[3], 0, 0, pointwise.shape[3], depthwise.shape[0],
             attributes.stride, attributes.padding, attributes.epsilon};
    block.outHeight = (block.height + 2 * block.padding - block.kernel) / block.stride + 1;
    block.outWidth = (block.width + 2 * block.padding - block.kernel) / block.stride + 1;
  }
  if (!fits || block.images < 1 || block.padding >= block.kernel || block.outHeight < 1 || block.outWidth < 1) {
    call.refuse("a map " + shapeText(x.shape) + ", " + std::to_string(slope.size) + " slopes, a depthwise kernel " +
                shapeText(depthwise.shape) + " and a pointwise kernel " + shapeText(pointwise.shape) +
                " make no separable block");
    return false;
  }
  return true;
}

/**
 * Sums of dy and dy (z - mean), [2, O]: an input where the operation that wrote dy took them, else taken now
 * in a pass over both.
 */
std::vector<double> sumsOf(Call& call, const Attributes& attributes, int input, const Kernels& kernels, const Block& block,
                           const Call::Input& dy, const Call::Input& z, const Call::Input& mean) {
  if (!attributes.sumsGiven)
    return normSums(kernels, block.images, block.outPixels(), block.out, dy.values, z.values, mean.values);
  const auto given = call.input(input);
  if (call.ok() && given.size != 2 * block.out) call.refuse("sums " + shapeText(given.shape) + " are not of this dy");
  return call.ok() ? std::vector<double>(given.values, given.values + given.size) : std::vector<double>();
}

/** Copies rows without their padding. */
void unpack(float* to, const float* from, int rows, int columns, int padded) {
  for (int r = 0; r < rows; r++)
    std::memcpy(to + static_cast<size_t>(r) * columns, from + static_cast<size_t>(r) * padded, sizeof(float) * columns);
}

}  // namespace

/**
 * Forward. Inputs: slope, depthwise, pointwise, scale, offset, parts of x, summands of y, and for each
 * pending part of x its norm, summand and summand's norm as far as there are any. Outputs: y, or the norm [2,
 * O] where that is left to the first reader; batch mean; unbiased batch variance; z; 1 / deviation; y of each
 * pending part of x. With a norm that is affine the statistics are those of a map that it leaves as it is: mean and
 * variance 0, deviation 1.
 */
void separable(void* kernel, TF_OpKernelContext* context) {
  Call call(context);
  const auto& attributes = *static_cast<Attributes*>(kernel);
  const auto slope = call.input(0), depthwise = call.input(1), pointwise = call.input(2), scale = call.input(3),
             offset = call.input(4);
  const PartedMap x = call.partedInput(5, attributes.parts);
  Block block;
  if (!blockOf(call, attributes, x, slope, depthwise, pointwise, scale, block)) return;
  const std::vector<int> map{block.images, block.outHeight, block.outWidth, block.out}, row{block.out};
  const auto added = call.summands(5 + attributes.parts, attributes.summands, map);
  if (attributes.leavesNorm && attributes.summands > 0) call.refuse("what is added to a map that is left before its norm is its reader's");
  const std::vector<int> normShape{2, block.out};
  float* y = call.output(0, attributes.leavesNorm ? normShape : map);
  float* mean = call.output(1, row);
  float* variance = call.output(2, row);
  float* z = call.output(3, map);
  float* inverse = call.output(4, row);
  const PendingNorms source(call, attributes, 5 + attributes.parts + attributes.summands, 5, x);
  if (!call.ok()) return;

  const Kernels& kernels = kernelsOf(block, attributes);
  const Weights weights = pack(block, kernels.lanes, slope.values, depthwise.values, pointwise.values);
  const size_t pixels = block.pixels(), outPixels = block.outPixels(), to = outPixels * block.out;
  std::vector<float> ownNorm(attributes.leavesNorm ? 0 : elementsOf(normShape));
  float* norm = attributes.leavesNorm ? y : ownNorm.data();
  const PendingNorm whole{z, norm, added.first(0), nullptr, y, to * block.images >= STREAMING_FLOATS_MIN};
  const auto normalise = [&](int image) {
    kernels.normalise(image * outPixels, block.outPixels(), block.out, whole);
    added.addOthers(kernels, image * outPixels, outPixels, {1, block.out, {y}});
  };
  const auto forward = [&](int image, Moments* moments) {
    float* scratch = imageScratch.atLeast(kernels.scratchSize(block, weights));
    kernels.forward(block, weights, source.from(image * pixels), z + image * to, moments, scratch);
  };
  if (attributes.affine) {
    givenNorm(block.out, scale.values, offset.values, mean, variance, inverse, norm);
    forEach(block.images, Order::ascending, [&](int image) {
      forward(image, nullptr);
      if (!attributes.leavesNorm) normalise(image);
    });
    return;
  }
  BatchMoments moments(block.images, weights.out);
  forEach(block.images, Order::ascending, [&](int image) { forward(image, &moments.images[image]); });
  normOf(moments.joined(), block.out, block.epsilon, scale.values, offset.values, mean, variance, inverse, norm);
  // The statistics exist only now, so this is the second pass over z: images last first, because the newest
  // ones are in the cache.
  if (!attributes.leavesNorm) forEach(block.images, Order::descending, normalise);
}

/**
 * Backward. Inputs: dy, slope, depthwise, pointwise, scale, z, mean, 1 / deviation, parts of x, summands of
 * dx, z of each norm that asks for sums, mean of each, the sums of dy where another operation took them.
 * Outputs: gradients of slope, depthwise, pointwise, scale and offset; parts of dx; the sums [2, channels]
 * for each norm that asks.
 */
void separableGradient(void* kernel, TF_OpKernelContext* context) {
  Call call(context);
  const auto& attributes = *static_cast<Attributes*>(kernel);
  const auto dy = call.input(0), slope = call.input(1), depthwise = call.input(2), pointwise = call.input(3),
             scale = call.input(4), z = call.input(5), mean = call.input(6), inverse = call.input(7);
  const PartedMap x = call.partedInput(8, attributes.parts);
  Block block;
  if (!blockOf(call, attributes, x, slope, depthwise, pointwise, scale, block)) return;
  const int afterX = 8 + attributes.parts, requested = static_cast<int>(attributes.requestedParts.size());
  const auto summands = call.summands(afterX, attributes.summands, x.shape);
  float* dSlope = call.output(0, slope.shape);
  float* dDepthwise = call.output(1, depthwise.shape);
  float* dPointwise = call.output(2, pointwise.shape);
  float* dScale = call.output(3, scale.shape);
  float* dOffset = call.output(4, scale.shape);
  const Parts<float> dx = call.gradientOf(x, 5, attributes.dparts);
  const int afterSummands = afterX + attributes.summands;
  SumRequests norms(call, attributes.requestedParts, afterSummands, 5 + attributes.dparts, x.shape, dx);
  if (!call.ok()) return;

  const Kernels& kernels = kernelsOf(block, attributes);
  const Weights weights = pack(block, kernels.lanes, slope.values, depthwise.values, pointwise.values);
  const int in = weights.in, out = weights.out, taps = block.kernel * block.kernel;
  const auto sums = sumsOf(call, attributes, afterSummands + 2 * requested, kernels, block, dy, z, mean);
  if (!call.ok()) return;
  const double count = static_cast<double>(block.images) * block.outPixels();
  const NormBackward norm =
      normBackward(block.out, out, count, sums.data(), mean.values, inverse.values, scale.values, dScale, dOffset);

  const size_t tapFloats = static_cast<size_t>(taps) * in, matrix = static_cast<size_t>(in) * out;
  const size_t part = in + tapFloats + matrix;
  float* parts = partScratch.atLeast(part * block.images);
  std::fill_n(parts, part * block.images, 0.0f);
  const size_t pixels = block.pixels(), to = static_cast<size_t>(block.outPixels()) * block.out;
  forEach(block.images, Order::ascending, [&](int image) {
    float* scratch = imageScratch.atLeast(kernels.scratchSize(block, weights));
    float* own = parts + part * image;
    WeightGradients gradients{own, own + in, own + in + tapFloats};
    const size_t first = image * pixels;
    const auto requests = norms.of(image, first);
    const BackwardMaps maps{x.parts.from(first),
                            z.values + image * to,
                            dy.values + image * to,
                            summands.first(first * block.in),
                            dx.from(first),
                            requests.data(),
                            requested};
    kernels.backward(block, weights, norm.gradient, maps, gradients, scratch);
    summands.addOthers(kernels, first, pixels, dx);
  });
  norms.join();
  for (int image = 1; image < block.images; image++) kernels.add(part, parts + part * image, parts);
  unpack(dSlope, parts, 1, block.in, in);
  unpack(dDepthwise, parts + in, taps, block.in, in);
  unpack(dPointwise, parts + in + tapFloats, block.in, block.out, out);
  if (!block.scaled()) return;
  // With S[i, o] = factor[i] W[i, o] the kernel's product gives dS. So dFactor[i] = sum over o of dS[i, o]
  // W[i, o], and dW[i, o] = dS[i, o] factor[i].
  for (int i = 0; i < block.in; i++) {
    float factor = 0;
    for (int o = 0; o < block.out; o++) {
      const size_t at = static_cast<size_t>(i) * block.out + o;
      factor += dPointwise[at] * pointwise.values[at];
      dPointwise[at] *= depthwise.values[i];
    }
    dDepthwise[i] = factor;
  }
}

}  // namespace fleet
