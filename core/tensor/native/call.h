// One call of an operation: reads its input tensors, allocates its outputs and reports an error to
// TensorFlow. Maps that lie in several tensors are read and allocated here, with the checks that let kernels
// trust their shapes.

#pragma once
#include <string>
#include <vector>

#include "kernel-api.h"
#include "shape.h"

namespace fleet {

/**
 * Maps that are added to a result: the first in the same pass that stores the result, the others in passes of
 * their own behind it. One is the usual number, the other term of a sum; more would put a loop over maps into
 * the innermost loop of every kernel.
 */
struct Summands {
  std::vector<const float*> maps;
  /** The first map from float `offset` on, or null when nothing is added. */
  const float* first(size_t offset) const { return maps.empty() ? nullptr : maps[0] + offset; }
  /**
   * Adds all but the first to `pixels` of the result from pixel `first` on, in the order of the inputs: the
   * order of sums is fixed.
   */
  void addOthers(const Kernels& kernels, size_t first, size_t pixels, const Parts<float>& result) const;
};

/** A map that lies in several tensors side by side; `shape` is [N, H, W, C] of the whole. */
struct PartedMap {
  std::vector<int> shape;
  Parts<const float> parts;
};

/**
 * One call. Holds the handles of its tensors until it ends, and the first error: after that every further
 * request does nothing, so that an operation reads all it needs and checks `ok` once.
 */
class Call {
 public:
  explicit Call(TF_OpKernelContext* context);
  /** Reports the error, if there is one, and frees the handles. */
  ~Call();
  Call(const Call&) = delete;
  bool ok() const { return TF_GetCode(status_) == TF_OK; }
  /** Fails the call with an invalid-argument error of this message. */
  void refuse(const std::string& why);

  struct Input {
    const float* values = nullptr;
    std::vector<int> shape;
    /** Elements. */
    long size = 0;
  };
  /** Input number `index`; empty once the call is refused. */
  Input input(int index);
  /** Allocates output number `index`; null once the call is refused. */
  float* output(int index, const std::vector<int>& shape);
  /** Inputs `index` to `index + count - 1` as one map; they must have equal shapes. */
  PartedMap partedInput(int index, int count);
  /** Outputs `index` to `index + count - 1` as one map of this shape; the channels divide evenly. */
  Parts<float> partedOutput(int index, const std::vector<int>& shape, int count);
  /**
   * Allocates the gradient of x in `count` parts. Either x and its gradient have equally many parts or one of
   * the two is whole: then each piece of channels that kernels walk over lies within one part of both.
   */
  Parts<float> gradientOf(const PartedMap& x, int index, int count);
  /** `count` maps from input `from` on that are added to a map of this shape. */
  Summands summands(int from, int count, const std::vector<int>& shape);

 private:
  TF_OpKernelContext* context_;
  TF_Status* status_;
  std::vector<TF_Tensor*> tensors_;
};

size_t elementsOf(const std::vector<int>& shape);

/** [2, 3] */
std::string shapeText(const std::vector<int>& shape);

}  // namespace fleet
