// Registers the operations with TensorFlow when the addon is loaded. When to use them is the decision of native-separable.ts and its
// neighbours.

#include <vector>

#include "operations.h"

namespace fleet {
namespace {

void* makeAttributes(TF_OpKernelConstruction* construction) {
  auto* attributes = new Attributes;
  TF_Status* status = TF_NewStatus();
  // Whether there is one of the name shows in the status, which nobody asks.
  TF_OpKernelConstruction_GetAttrInt32(construction, "stride", &attributes->stride, status);
  TF_OpKernelConstruction_GetAttrInt32(construction, "padding", &attributes->padding, status);
  TF_OpKernelConstruction_GetAttrInt32(construction, "parts", &attributes->parts, status);
  TF_OpKernelConstruction_GetAttrInt32(construction, "dparts", &attributes->dparts, status);
  TF_OpKernelConstruction_GetAttrInt32(construction, "N", &attributes->summands, status);
  int summed = 0, waiting = 0, raw = 0, unfinished = 0;
  TF_OpKernelConstruction_GetAttrInt32(construction, "S", &summed, status);
  attributes->summed = summed > 0;
  TF_OpKernelConstruction_GetAttrInt32(construction, "W", &waiting, status);
  attributes->waiting.resize(waiting);
  TF_OpKernelConstruction_GetAttrInt32List(construction, "waiting", attributes->waiting.data(), waiting, status);
  TF_OpKernelConstruction_GetAttrInt32(construction, "raw", &raw, status);
  attributes->raw = raw > 0;
  TF_OpKernelConstruction_GetAttrInt32(construction, "F", &unfinished, status);
  attributes->unfinished.resize(unfinished);
  attributes->terms.resize(unfinished);
  TF_OpKernelConstruction_GetAttrInt32List(construction, "unfinished", attributes->unfinished.data(), unfinished, status);
  TF_OpKernelConstruction_GetAttrInt32List(construction, "terms", attributes->terms.data(), unfinished, status);
  TF_OpKernelConstruction_GetAttrFloat(construction, "epsilon", &attributes->epsilon, status);
  TF_DeleteStatus(status);
  return attributes;
}

void deleteAttributes(void* attributes) { delete static_cast<Attributes*>(attributes); }

void shapesUnknown(TF_ShapeInferenceContext* context, TF_Status* status) {
  TF_ShapeInferenceContextSetUnknownShape(context, status);
}

struct Operation {
  const char* name;
  std::vector<const char*> inputs, outputs, attributes;
  void (*compute)(void*, TF_OpKernelContext*);
};

bool registerAll() {
  // Outputs and inputs that are several maps come last, so that the places of the others do not depend on their number.
  const std::vector<Operation> operations{
      {"FleetSeparable",
       {"slope: float", "depthwise: float", "pointwise: float", "scale: float", "offset: float", "x: parts * float",
        "added: N * float", "norms: T * float"},
       {"y: float", "mean: float", "variance: float", "z: float", "inverse: float", "finished: F * float"},
       {"stride: int", "padding: int", "epsilon: float", "parts: int >= 1 = 1", "N: int >= 0 = 0", "raw: int = 0",
        "F: int >= 0 = 0", "T: int >= 0 = 0", "unfinished: list(int) = []", "terms: list(int) = []"},
       separable},
      {"FleetSeparableGrad",
       {"dy: float", "slope: float", "depthwise: float", "pointwise: float", "scale: float", "z: float", "mean: float",
        "inverse: float", "x: parts * float", "added: N * float", "waitingz: W * float", "waitingmean: W * float",
        "dysums: S * float"},
       {"dslope: float", "ddepthwise: float", "dpointwise: float", "dscale: float", "doffset: float",
        "dx: dparts * float", "sums: W * float"},
       {"stride: int", "padding: int", "epsilon: float", "parts: int >= 1 = 1", "dparts: int >= 1 = 1",
        "N: int >= 0 = 0", "W: int >= 0 = 0", "S: int >= 0 = 0", "waiting: list(int) = []"},
       separableGradient},
      {"FleetBatchNorm",
       {"x: float", "scale: float", "offset: float"},
       {"y: float", "mean: float", "variance: float", "inverse: float"},
       {"epsilon: float"},
       batchNorm},
      {"FleetBatchNormGrad",
       {"dy: float", "x: float", "scale: float", "mean: float", "inverse: float"},
       {"dx: float", "dscale: float", "doffset: float"},
       {},
       batchNormGradient},
      {"FleetPrelu", {"slope: float", "x: parts * float"}, {"y: float"}, {"parts: int >= 1 = 1"}, prelu},
      {"FleetPreluGrad",
       {"dy: float", "slope: float", "x: parts * float", "added: N * float"},
       {"dslope: float", "dx: dparts * float"},
       {"parts: int >= 1 = 1", "dparts: int >= 1 = 1", "N: int >= 0 = 0"},
       preluGradient},
      {"FleetSample", {"x: parts * float"}, {"even: float", "odd: float"}, {"parts: int >= 1 = 1"}, sample},
      {"FleetSampleGrad",
       {"deven: float", "dodd: float", "added: N * float"},
       {"dx: dparts * float"},
       {"dparts: int >= 1 = 1", "N: int >= 0 = 0"},
       sampleGradient},
  };
  TF_Status* status = TF_NewStatus();
  bool good = true;
  for (const Operation& operation : operations) {
    TF_OpDefinitionBuilder* definition = TF_NewOpDefinitionBuilder(operation.name);
    for (const char* input : operation.inputs) TF_OpDefinitionBuilderAddInput(definition, input);
    for (const char* output : operation.outputs) TF_OpDefinitionBuilderAddOutput(definition, output);
    for (const char* attribute : operation.attributes) TF_OpDefinitionBuilderAddAttr(definition, attribute);
    TF_OpDefinitionBuilderSetShapeInferenceFunction(definition, shapesUnknown);
    TF_RegisterOpDefinition(definition, status);
    good = good && TF_GetCode(status) == TF_OK;
    TF_KernelBuilder* kernel =
        TF_NewKernelBuilder(operation.name, "CPU", makeAttributes, operation.compute, deleteAttributes);
    TF_RegisterKernelBuilder(operation.name, kernel, status);
    good = good && TF_GetCode(status) == TF_OK;
  }
  TF_DeleteStatus(status);
  return good;
}

/** Runs when the addon is loaded, before TensorFlow looks for the first operation. */
const bool registered = registerAll();

}  // namespace
}  // namespace fleet
