// The operations' functions, as TensorFlow calls them: with what makeAttributes made, and the call.

#pragma once
#include <vector>

#include "kernel-api.h"

namespace fleet {

/** Attributes of an operation, read once when TensorFlow makes its kernel; one that it does not have stays as it is here. */
struct Attributes {
  int stride = 1;
  int padding = 0;
  float epsilon = 0;
  /** Maps that x lies in, and that dx goes to: equally many, or one of the two in one. */
  int parts = 1, dparts = 1;
  /** Maps that are added to the result. */
  int summands = 0;
  /** For each norm that waits for sums of dx, the part of dx that is its dy. */
  std::vector<int> waiting;
  /** Whether y is left before its norm: what normalises it is given in its place, for others to do it. */
  bool raw = false;
  /** Parts of x that were left so, and for each of them what is to be added: nothing, a map, or a map before its norm. */
  std::vector<int> unfinished, terms;
  /** Whether the sums of dy have been taken by who wrote it. */
  bool summed = false;
};

void separable(void* attributes, TF_OpKernelContext* context);
void separableGradient(void* attributes, TF_OpKernelContext* context);
void batchNorm(void* attributes, TF_OpKernelContext* context);
void batchNormGradient(void* attributes, TF_OpKernelContext* context);
void prelu(void* attributes, TF_OpKernelContext* context);
void preluGradient(void* attributes, TF_OpKernelContext* context);
void sample(void* attributes, TF_OpKernelContext* context);
void sampleGradient(void* attributes, TF_OpKernelContext* context);

}  // namespace fleet
