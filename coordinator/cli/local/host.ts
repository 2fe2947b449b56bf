// Reads what decides on the workers of this machine: its cores and GPUs, the TensorFlow that set-up put in place, and what a person
// set. nvidia-smi may take seconds, so it is asked when workers are started and not while a command line is read.

import { availableParallelism } from 'node:os';
import { cudaVisibleDevices, environmentValues } from '../../../core/config.ts';
import { readAddonOrigin } from '../../../core/system/addon-origin.ts';
import { listGpus } from '../../../core/system/gpus.ts';
import { type Host, PLACE_VARIABLES } from './worker-places.ts';

export function readHost(): Host {
  const gpus = listGpus();
  return {
    gpus,
    visible: cudaVisibleDevices(),
    cores: availableParallelism(),
    tensorflow: gpus.length === 0 ? null : readAddonOrigin().variant,
    settings: environmentValues(PLACE_VARIABLES),
  };
}
