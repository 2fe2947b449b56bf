// The functions behind the operations, as TensorFlow calls them: with the operation's attributes and the
// context of one call.

#pragma once
#include <vector>

#include "kernel-api.h"

namespace fleet {

/**
 * Attributes of an operation, read once when TensorFlow makes its kernel. An attribute that the operation
 * lacks keeps the value that stands here. Names in quotes are those in the graph, which stay: they are part
 * of every stored graph's digest.
 */
struct Attributes {
  /** Of the depthwise convolution or the pool, in pixels. */
  int stride = 1;
  int padding = 0;
  /** Of a pool's window. */
  int size = 1;
  /** Of the map whose gradient is computed, where no input has it. */
  int height = 0, width = 0;
  /** Added to a variance before its root is taken. */
  float epsilon = 0;
  /** Tensors that x lies in, and that dx is written to: equally many, or one of the two is 1. */
  int parts = 1, dparts = 1;
  /** "N": maps that are added to the result. */
  int summands = 0;
  /** "W", "waiting": for each norm that asks for sums of dx, the part of dx that is its dy. */
  std::vector<int> requestedParts;
  /** "raw": whether the norm is left to the first reader. Output 0 is then the norm [2, O] instead of y. */
  bool leavesNorm = false;
  /** "affine": whether the norm is scale and offset as they are, not made of the statistics of this batch. */
  bool affine = false;
  /**
   * "F", "unfinished", "terms": the parts of x whose norm is left to this operation, and what is added to
   * each: 0 nothing, 1 a map, 2 a map before its norm.
   */
  std::vector<int> pendingParts, terms;
  /** "S": whether the sums of dy are an input, because the operation that wrote dy took them. */
  bool sumsGiven = false;
};

// Each reads its inputs and allocates its outputs in the order that registration.cc declares.
void separable(void* attributes, TF_OpKernelContext* context);
void separableGradient(void* attributes, TF_OpKernelContext* context);
void batchNorm(void* attributes, TF_OpKernelContext* context);
void batchNormGradient(void* attributes, TF_OpKernelContext* context);
void prelu(void* attributes, TF_OpKernelContext* context);
void preluGradient(void* attributes, TF_OpKernelContext* context);
void sample(void* attributes, TF_OpKernelContext* context);
void sampleGradient(void* attributes, TF_OpKernelContext* context);
void maximumPool(void* attributes, TF_OpKernelContext* context);
void maximumPoolGradient(void* attributes, TF_OpKernelContext* context);
void meanPool(void* attributes, TF_OpKernelContext* context);
void meanPoolGradient(void* attributes, TF_OpKernelContext* context);

}  // namespace fleet
