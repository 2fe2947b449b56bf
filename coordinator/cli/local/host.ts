// Reads the facts on which the workers of this machine depend: cores, GPUs, the installed TensorFlow, and the
// user's settings. nvidia-smi may take seconds, so it runs when workers are started and not while a command
// line is parsed.

import { existsSync } from 'node:fs';
import { availableParallelism, hostname } from 'node:os';
import { join } from 'node:path';
import { cudaPipeFolder, cudaVisibleDevices, environmentValues } from '../../../core/config.ts';
import { readAddonOrigin } from '../../../core/system/addon-origin.ts';
import { listGpus } from '../../../core/system/gpus.ts';
import { type Host, PLACE_VARIABLES } from './worker-places.ts';

export function readHost(): Host {
  const gpus = listGpus();
  return {
    name: hostname(),
    gpus,
    mps: gpus.length > 0 && existsSync(join(cudaPipeFolder(), 'control')),
    visible: cudaVisibleDevices(),
    cores: availableParallelism(),
    tensorflow: gpus.length === 0 ? null : readAddonOrigin().variant,
    settings: environmentValues(PLACE_VARIABLES),
  };
}
