// A function of the addon that returns what CUDA reports of the devices that a process sees.

#pragma once
#include <node_api.h>

namespace fleet {

/** A function of JavaScript: `{ devices: [{ name, computeCapability, … }], reason? }`. */
napi_value deviceFacts(napi_env env, napi_callback_info info);

}  // namespace fleet
