// One call of an operation: its tensors and attributes from TensorFlow, its outputs to it, and how it is refused. What an operation
// computes is separable.cc's and maps.cc's.

#pragma once
#include <string>
#include <vector>

#include "kernel-api.h"

namespace fleet {

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
  /** Maps from input `from` on that are to be added to one of this shape. */
  std::vector<const float*> summands(int from, const std::vector<int>& shape);

 private:
  TF_OpKernelContext* context_;
  TF_Status* status_;
  std::vector<TF_Tensor*> tensors_;
};

/** [2, 3] */
std::string shapeText(const std::vector<int>& shape);

}  // namespace fleet
