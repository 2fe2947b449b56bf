// The engine that runs compiled graphs of the comparisons: TensorFlow's session, or with GOLDEN_ENGINE=pjrt a plugin of PJRT. That
// is the plugin for GPUs as workers open it, where set-up has fetched one, and else the one for the CPU with its compiler at
// its quickest.

import type { Engine } from '../../core/tensor/graph/engine.ts';
import { tensorflowEngine } from '../../core/tensor/graph/tensorflow-engine.ts';
import { installedFor } from '../../core/tensor/pjrt/binding.ts';
import { openEngine } from '../../worker/compute/engine.ts';
import { cpuEngine } from '../support/pjrt.ts';

let opened: Engine | undefined;

/** One engine for the whole process. */
export function goldenEngine(): Engine {
  opened ??= process.env.GOLDEN_ENGINE === 'pjrt' ? pjrtEngine() : tensorflowEngine;
  return opened;
}

function pjrtEngine(): Engine {
  if (installedFor(true) === undefined) return cpuEngine();
  return openEngine({ wanted: 'pjrt', gpu: true, memoryShare: 0 }).engine;
}
