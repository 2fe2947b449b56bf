// Maximum and mean over windows of a map, and their gradients: checks the shapes of a call and gives each image to a
// thread. An image adds only to its own gradient, so the bits do not depend on the number of threads.
//
// TensorFlow pads the map for every padding that is neither SAME nor none, and its kernels for few channels and for the
// gradient of a maximum work value by value.
//
// Legend: N images, H x W map, C channels; everything float32.

#include "call.h"
#include "operations.h"
#include "parallel.h"
#include "shape.h"

namespace fleet {
namespace {

/** The sizes of a pool over a map [N, H, W, C]. False, and the call refused, where there is none. */
bool poolOf(Call& call, const Attributes& attributes, const std::vector<int>& map, bool isMaximum, Pool& pool) {
  if (!call.ok()) return false;
  const int size = attributes.size, stride = attributes.stride, padding = attributes.padding;
  // With less padding than the window is long, each window has a part inside the map.
  if (map.size() == 4 && stride > 0 && padding >= 0 && padding < size) {
    const int height = (map[1] + 2 * padding - size) / stride + 1, width = (map[2] + 2 * padding - size) / stride + 1;
    pool = {map[1], map[2], map[3], height, width, size, stride, padding, isMaximum};
    if (map[1] + 2 * padding >= size && map[2] + 2 * padding >= size && map[1] > 0 && map[2] > 0) return true;
  }
  call.refuse("a map " + shapeText(map) + " has no windows of " + std::to_string(size) + " by " + std::to_string(size) +
              " pixels with padding " + std::to_string(padding));
  return false;
}

void forward(TF_OpKernelContext* context, const Attributes& attributes, bool isMaximum) {
  Call call(context);
  const auto x = call.input(0);
  Pool pool;
  if (!poolOf(call, attributes, x.shape, isMaximum, pool)) return;
  float* y = call.output(0, {x.shape[0], pool.outHeight, pool.outWidth, pool.channels});
  if (!call.ok()) return;
  const Kernels& kernels = kernelsFor(pool.channels, pool.channels);
  forEach(x.shape[0], Order::ascending,
          [&](int image) { kernels.pool(pool, x.values + image * pool.floats(), y + image * pool.outFloats()); });
}

/** `x` is null where the gradient does not need it. */
void backward(Call& call, const Attributes& attributes, const std::vector<int>& map, const float* x, const Call::Input& dy) {
  Pool pool;
  if (!poolOf(call, attributes, map, x != nullptr, pool)) return;
  if (dy.shape != std::vector<int>{map[0], pool.outHeight, pool.outWidth, pool.channels})
    call.refuse("a gradient " + shapeText(dy.shape) + " is not of the windows of a map " + shapeText(map));
  float* dx = call.output(0, map);
  if (!call.ok()) return;
  const Kernels& kernels = kernelsFor(pool.channels, pool.channels);
  forEach(map[0], Order::ascending, [&](int image) {
    const size_t first = image * pool.floats();
    kernels.poolGradient(pool, x == nullptr ? nullptr : x + first, dy.values + image * pool.outFloats(), dx + first);
  });
}

}  // namespace

/** Input: x [N, H, W, C]. Output: the largest value of each window [N, H', W', C]. */
void maximumPool(void* kernel, TF_OpKernelContext* context) { forward(context, *static_cast<Attributes*>(kernel), true); }

/** Input: x [N, H, W, C]. Output: the mean of each window's part inside the map [N, H', W', C]. */
void meanPool(void* kernel, TF_OpKernelContext* context) { forward(context, *static_cast<Attributes*>(kernel), false); }

/** Inputs: dy [N, H', W', C], x [N, H, W, C]. Output: dx. */
void maximumPoolGradient(void* kernel, TF_OpKernelContext* context) {
  Call call(context);
  const auto dy = call.input(0), x = call.input(1);
  if (call.ok()) backward(call, *static_cast<Attributes*>(kernel), x.shape, x.values, dy);
}

/** Input: dy [N, H', W', C]; H and W are attributes. Output: dx [N, H, W, C]. */
void meanPoolGradient(void* kernel, TF_OpKernelContext* context) {
  Call call(context);
  const auto& attributes = *static_cast<Attributes*>(kernel);
  const auto dy = call.input(0);
  if (call.ok() && dy.shape.size() != 4) call.refuse("a gradient " + shapeText(dy.shape) + " is not of a map");
  if (call.ok()) backward(call, attributes, {dy.shape[0], attributes.height, attributes.width, dy.shape[3]}, nullptr, dy);
}

}  // namespace fleet
