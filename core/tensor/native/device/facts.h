// What CUDA knows of the devices that a process sees. What is made of it is core/tensor/device-facts.ts'.

#pragma once
#include <node_api.h>

namespace fleet {

/** A function of JavaScript: `{ devices: [{ name, computeCapability, … }], reason? }`. */
napi_value deviceFacts(napi_env env, napi_callback_info info);

}  // namespace fleet
