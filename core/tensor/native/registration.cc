// Declares the operations to TensorFlow, inputs, outputs and attributes, and registers their CPU kernels when
// the addon is loaded. These names are in every stored graph, and graph digests are part of a run's device
// class, so they stay as they are.

#include <vector>

#include "operations.h"

namespace fleet {
namespace {

void* makeAttributes(TF_OpKernelConstruction* construction) {
  auto* attributes = new Attributes;
  TF_Status* status = TF_NewStatus();
  // The status is an error where the operation has no attribute of the name; the default stays then, so it is
  // not looked at.
  TF_OpKernelConstruction_GetAttrInt32(construction, "stride", &attributes->stride, status);
  TF_OpKernelConstruction_GetAttrInt32(construction, "padding", &attributes->padding, status);
  TF_OpKernelConstruction_GetAttrInt32(construction, "size", &attributes->size, status);
  TF_OpKernelConstruction_GetAttrInt32(construction, "height", &attributes->height, status);
  TF_OpKernelConstruction_GetAttrInt32(construction, "width", &attributes->width, status);
  TF_OpKernelConstruction_GetAttrInt32(construction, "parts", &attributes->parts, status);
  TF_OpKernelConstruction_GetAttrInt32(construction, "dparts", &attributes->dparts, status);
  TF_OpKernelConstruction_GetAttrInt32(construction, "N", &attributes->summands, status);
  int sumsGiven = 0, requests = 0, leavesNorm = 0, affine = 0, pending = 0;
  TF_OpKernelConstruction_GetAttrInt32(construction, "S", &sumsGiven, status);
  attributes->sumsGiven = sumsGiven > 0;
  TF_OpKernelConstruction_GetAttrInt32(construction, "W", &requests, status);
  attributes->requestedParts.resize(requests);
  TF_OpKernelConstruction_GetAttrInt32List(construction, "waiting", attributes->requestedParts.data(), requests, status);
  TF_OpKernelConstruction_GetAttrInt32(construction, "raw", &leavesNorm, status);
  attributes->leavesNorm = leavesNorm > 0;
  TF_OpKernelConstruction_GetAttrInt32(construction, "affine", &affine, status);
  attributes->affine = affine > 0;
  TF_OpKernelConstruction_GetAttrInt32(construction, "F", &pending, status);
  attributes->pendingParts.resize(pending);
  attributes->terms.resize(pending);
  TF_OpKernelConstruction_GetAttrInt32List(construction, "unfinished", attributes->pendingParts.data(), pending, status);
  TF_OpKernelConstruction_GetAttrInt32List(construction, "terms", attributes->terms.data(), pending, status);
  TF_OpKernelConstruction_GetAttrFloat(construction, "epsilon", &attributes->epsilon, status);
  TF_DeleteStatus(status);
  return attributes;
}

void deleteAttributes(void* attributes) { delete static_cast<Attributes*>(attributes); }

/** The recording knows every shape (core/tensor/recording/shapes.ts), so nothing asks the runtime for one. */
void shapesUnknown(TF_ShapeInferenceContext* context, TF_Status* status) {
  TF_ShapeInferenceContextSetUnknownShape(context, status);
}

/** An operation's declaration, in TensorFlow's text form, and the function that computes it. */
struct Operation {
  const char* name;
  std::vector<const char*> inputs, outputs, attributes;
  void (*compute)(void*, TF_OpKernelContext*);
};

bool registerAll() {
  // Lists of maps come last among inputs and outputs, so that the positions of single tensors do not depend
  // on the lists' lengths. The passes over a recording (core/tensor/passes) append to these lists and never
  // insert.
  const std::vector<Operation> operations{
      {"FleetSeparable",
       {"slope: float", "depthwise: float", "pointwise: float", "scale: float", "offset: float", "x: parts * float",
        "added: N * float", "norms: T * float"},
       {"y: float", "mean: float", "variance: float", "z: float", "inverse: float", "finished: F * float"},
       {"stride: int", "padding: int", "epsilon: float", "parts: int >= 1 = 1", "N: int >= 0 = 0", "raw: int = 0",
        "affine: int = 0", "F: int >= 0 = 0", "T: int >= 0 = 0", "unfinished: list(int) = []", "terms: list(int) = []"},
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
      {"FleetMaxPool", {"x: float"}, {"y: float"}, {"size: int", "stride: int", "padding: int"}, maximumPool},
      {"FleetMaxPoolGrad",
       {"dy: float", "x: float"},
       {"dx: float"},
       {"size: int", "stride: int", "padding: int"},
       maximumPoolGradient},
      {"FleetAvgPool", {"x: float"}, {"y: float"}, {"size: int", "stride: int", "padding: int"}, meanPool},
      {"FleetAvgPoolGrad",
       {"dy: float"},
       {"dx: float"},
       {"size: int", "stride: int", "padding: int", "height: int", "width: int"},
       meanPoolGradient},
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

/** Initialised when the addon is loaded, before TensorFlow looks up the first operation. */
const bool registered = registerAll();

}  // namespace
}  // namespace fleet
