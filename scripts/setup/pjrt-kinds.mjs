// Which plugins of PJRT a machine gets beside TensorFlow, decided before anything is downloaded: NVIDIA's by the
// driver and what the GPUs can do, AMD's and Intel's by what the machine has. A plugin holds the vendor's compiler;
// what it links beside that is NVIDIA's wheels, and the ROCm or oneAPI that is installed on the machine.

import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { SetupError } from './report.mjs';

/** CUDA 13 needs this driver; older ones run CUDA 12. */
const DRIVER_OF_CUDA_13 = 580;
/** The oldest capability, as in `sm_75`, for which both plugins have machine code. */
const OLDEST_CAPABILITY = 75;
const VENDOR_OF_INTEL = '0x8086';

/** Names in pins.json under `pjrt`, but for the CPU's. */
const KINDS = ['cuda12', 'cuda13', 'rocm7', 'oneapi'];

/**
 * The kinds for this machine; POCKETFLEET_PJRT decides first, `none` or some of them with commas between. `gpus`: those
 * of NVIDIA that TensorFlow is set up for, as nvidia-smi describes them.
 */
export function pjrtKinds({
  chosen = process.env.POCKETFLEET_PJRT,
  gpus = [],
  hasKfd = existsSync('/dev/kfd'),
  vendors = graphicsVendors(),
  oneapi = process.env.ONEAPI_ROOT,
} = {}) {
  if (chosen) return chosenKinds(chosen);
  return [
    ...cudaKinds(gpus),
    ...(hasKfd ? ['rocm7'] : []),
    // Nearly each laptop has graphics of Intel; whoever wants to compute there has oneAPI.
    ...(oneapi && vendors.includes(VENDOR_OF_INTEL) ? ['oneapi'] : []),
  ];
}

function chosenKinds(chosen) {
  if (chosen === 'none') return [];
  const kinds = chosen.split(',').map((kind) => kind.trim());
  const unknown = kinds.find((kind) => !KINDS.includes(kind));
  if (unknown === undefined) return kinds;
  throw new SetupError(`POCKETFLEET_PJRT is "${chosen}"; it may be none, or some of ${KINDS.join(',')}`);
}

/** None where a GPU is too old for the plugins: TensorFlow computes there. */
function cudaKinds(gpus) {
  if (gpus.length === 0 || gpus.some(({ capability }) => !(smOf(capability) >= OLDEST_CAPABILITY))) return [];
  const driver = Math.min(...gpus.map((gpu) => Number.parseInt(gpu.driver, 10)));
  return [driver >= DRIVER_OF_CUDA_13 ? 'cuda13' : 'cuda12'];
}

const smOf = (capability = '') => Math.round(Number(capability) * 10);

/** The vendors of devices that render, as the kernel writes them. */
function graphicsVendors(folder = '/sys/class/drm') {
  if (!existsSync(folder)) return [];
  return readdirSync(folder)
    .filter((name) => name.startsWith('renderD'))
    .map((name) => join(folder, name, 'device/vendor'))
    .filter((file) => existsSync(file))
    .map((file) => readFileSync(file, 'utf8').trim());
}
