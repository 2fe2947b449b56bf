// One call of an operation: its tensors and attributes from TensorFlow, its outputs to it, and how it is refused. What an operation
// computes is separable.cc's and maps.cc's.

#pragma once
#include <string>
#include <vector>

#include "kernel-api.h"
#include "shape.h"

namespace fleet {

/** Maps that are to be added to a result: the first while it is written, the others after. */
struct Summands {
  std::vector<const float*> maps;
  /** The first one from `offset` on, or null. */
  const float* first(size_t offset) const { return maps.empty() ? nullptr : maps[0] + offset; }
  /** Adds the others to `pixels` of the result from pixel `first` on. */
  void addOthers(const Kernels& kernels, size_t first, size_t pixels, const Parts<float>& result) const;
};

/** Maps side by side, [N, H, W, C] together. */
struct PartedMap {
  std::vector<int> shape;
  Parts<const float> parts;
};

/** One call: its tensors, which are given back when it ends, and the first error. */
class Call {
 public:
  explicit Call(TF_OpKernelContext* context);
  /** Tells TensorFlow of an error. */
  ~Call();
  Call(const Call&) = delete;
  bool ok() const { return TF_GetCode(status_) == TF_OK; }
  void refuse(const std::string& why);

  struct Input {
    const float* values = nullptr;
    std::vector<int> shape;
    long size = 0;
  };
  /** Once a call is refused, inputs are empty and outputs null. */
  Input input(int index);
  float* output(int index, const std::vector<int>& shape);
  /** Inputs and outputs from `index` on as one map, which is `shape` for outputs. */
  PartedMap partedInput(int index, int count);
  Parts<float> partedOutput(int index, const std::vector<int>& shape, int count);
  /** The gradient of x, in as many parts as x or one of the two in one. */
  Parts<float> gradientOf(const PartedMap& x, int index, int count);
  /** `count` maps from input `from` on that are to be added to one of this shape. */
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
