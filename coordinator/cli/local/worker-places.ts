// How many workers a machine gets, and what each computes on: one, or as many as are asked for, for each GPU where GPUs
// may be used, else for each core. Decides the environment of each worker and the lines that report it. Pure.

import { FleetError } from '../../../core/errors.ts';
import { type Gpu, hidesAll, usableDevices } from '../../../core/system/gpus.ts';

/** What a machine has, and what a person set for its workers. */
export interface Host {
  /** Of the machine, for the ids of its CPU devices. */
  readonly name: string;
  /** GPUs in the order of nvidia-smi; empty where there is no driver. */
  readonly gpus: readonly Gpu[];
  /** NVIDIA's multi-process service runs: kernels of several processes of a GPU run at once. */
  readonly mps: boolean;
  /** CUDA_VISIBLE_DEVICES; undefined where it is not set. */
  readonly visible: string | undefined;
  readonly cores: number;
  /** The TensorFlow that set-up installed; null where set-up did not install one. */
  readonly tensorflow: 'cpu' | 'gpu' | null;
  /**
   * Variables of a worker that this environment sets, such as POCKETFLEET_DEVICE; they are passed on
   * unchanged.
   */
  readonly settings: Readonly<Record<string, string>>;
}

/** What a command asks for. */
export interface WorkersAsked {
  /** Number of workers; undefined: one for each GPU, else one for each core. */
  readonly workers?: number | undefined;
  /** Workers that share each GPU, or each core; undefined: one, and on GPUs more when `workers` asks for them. */
  readonly perDevice?: number | undefined;
  /** Bounds of that default. */
  readonly atLeast?: number;
  readonly atMost?: number;
  /** In place of CUDA_VISIBLE_DEVICES, with the same meaning. */
  readonly devices?: string | undefined;
}

export interface WorkerPlaces {
  /** Variables of each worker, in order. */
  readonly environments: readonly Readonly<Record<string, string>>[];
  /**
   * Lines that name the GPU of each worker, or the reason why GPUs are not used; empty on a machine without
   * GPUs.
   */
  readonly lines: readonly string[];
}

/** Variables of a worker by which a person overrules what is decided here. */
export const PLACE_VARIABLES = [
  'POCKETFLEET_DEVICE',
  'POCKETFLEET_GPU_MEMORY_SHARE',
  'POCKETFLEET_DATA_THREADS',
  'POCKETFLEET_THREADS',
] as const;

/**
 * Share of a GPU's memory for all its workers together. CUDA itself needs the rest, which grows with each
 * process.
 */
const SHARED_PERMILLE = 900;
/** Eight threads decode some 10,000 JPEGs a second, more than a GPU trains on. */
const DATA_THREADS_MAX = 8;

export function placeWorkers(host: Host, asked: WorkersAsked): WorkerPlaces {
  const choice = chooseDevices(host, asked.devices);
  const { perDevice = 1 } = asked;
  const usual = perDevice * (choice.kind === 'gpu' ? Math.max(1, choice.devices.length) : host.cores);
  const bounded = Math.min(asked.atMost ?? usual, Math.max(asked.atLeast ?? 1, usual));
  const count = asked.workers ?? bounded;
  if (choice.kind === 'gpu') return onGpus(host, devicesFor(choice.devices, asked), count);
  // Nothing is set where there is no GPU: the worker's own settings hold.
  const hidden = { POCKETFLEET_DEVICE: 'cpu', CUDA_VISIBLE_DEVICES: '-1' };
  const environment = host.gpus.length > 0 ? hidden : {};
  const devices = Math.ceil(count / perDevice);
  const idOf = (i: number) =>
    perDevice === 1 ? {} : { POCKETFLEET_DEVICE_ID: `${host.name}/cpu-${(i % devices) + 1}` };
  // Workers that share a device share its part of the cores; one by itself computes with one thread, as ever.
  const part = Math.max(1, Math.floor(host.cores / Math.max(1, devices * perDevice)));
  const threads =
    perDevice === 1 || host.settings.POCKETFLEET_THREADS !== undefined
      ? {}
      : { POCKETFLEET_THREADS: String(part) };
  const each = part === 1 || !('POCKETFLEET_THREADS' in threads) ? '' : `, ${part} threads each`;
  const shared = `${count} workers on ${devices} CPU devices, ${perDevice} on each${each}`;
  return {
    environments: Array.from({ length: count }, (_, i) => ({ ...environment, ...idOf(i), ...threads })),
    lines: [...(choice.reason === '' ? [] : [choice.reason]), ...(perDevice === 1 ? [] : [shared])],
  };
}

/** As many of these GPUs as so many workers fill. */
function devicesFor(devices: readonly string[], { workers, perDevice }: WorkersAsked): readonly string[] {
  if (perDevice === undefined || workers === undefined) return devices;
  if (workers > perDevice * Math.max(1, devices.length))
    throw refused(
      `--workers ${workers} --per-device ${perDevice}: ${devices.length} GPUs take ${perDevice * devices.length} workers; leave one of both away`,
    );
  return devices.slice(0, Math.ceil(workers / perDevice));
}

/**
 * Variables of a process that computes once, beside whatever runs here: the first GPU alone, of which it
 * takes what it needs as it needs it, or none. TensorFlow would take nearly all memory of every GPU that it
 * sees.
 */
export function placeSingle(host: Host): Readonly<Record<string, string>> {
  const [environment = {}] = placeWorkers(host, { workers: 1 }).environments;
  return { TF_FORCE_GPU_ALLOW_GROWTH: 'true', ...environment };
}

/**
 * Part of a GPU's memory for each of its workers, of 1, rounded down: together they must not ask for more
 * than there is.
 */
export function memoryShare(workersOfDevice: number): number {
  return Math.max(1, Math.floor(SHARED_PERMILLE / workersOfDevice)) / 1000;
}

function onGpus(host: Host, devices: readonly string[], count: number): WorkerPlaces {
  // The user wants GPUs where nvidia-smi lists none: the worker reports what CUDA answers.
  const places = Math.max(1, devices.length);
  const share = String(memoryShare(Math.ceil(count / places)));
  const threads = Math.max(1, Math.min(DATA_THREADS_MAX, Math.floor(host.cores / Math.max(1, count))));
  const environments = Array.from({ length: count }, (_, i) => {
    const device = devices[i % places];
    return {
      ...(count > places ? { POCKETFLEET_GPU_MEMORY_SHARE: share } : {}),
      POCKETFLEET_DATA_THREADS: String(threads),
      ...host.settings,
      POCKETFLEET_DEVICE: 'gpu',
      ...(device === undefined ? {} : { CUDA_VISIBLE_DEVICES: device }),
    };
  });
  const lines = devices.slice(0, count).map((device, place) => {
    const names = environments.flatMap((_, i) => (i % places === place ? [`worker-${i + 1}`] : []));
    const part = environments[place]?.POCKETFLEET_GPU_MEMORY_SHARE;
    const each = names.length === 1 ? '' : ' each';
    const atOnce = host.mps && names.length > 1 ? ', kernels run at once (MPS)' : '';
    return `${nameOf(device, host.gpus)}: ${names.join(', ')}${part === undefined ? '' : `, ${part} of its memory${each}`}${atOnce}`;
  });
  return { environments, lines };
}

type Choice =
  | { readonly kind: 'gpu'; readonly devices: readonly string[] }
  /** `reason`: why GPUs are not used; empty where all are used, or where the user asked for that. */
  | { readonly kind: 'cpu'; readonly reason: string };

function chooseDevices(host: Host, flag: string | undefined): Choice {
  const { gpus, tensorflow } = host;
  const wanted = host.settings.POCKETFLEET_DEVICE ?? 'auto';
  if (!['auto', 'gpu', 'cpu'].includes(wanted))
    throw refused(`POCKETFLEET_DEVICE is "${wanted}"; it may be auto, gpu or cpu`);
  const visible = flag ?? host.visible;
  const source = flag === undefined ? 'CUDA_VISIBLE_DEVICES' : '--devices';
  const named = flag === undefined || hidesAll(flag) ? [] : namedDevices(gpus, flag);
  if (wanted === 'cpu' && named.length > 0)
    throw refused(`POCKETFLEET_DEVICE=cpu and --devices ${flag} contradict each other; leave one away`);
  if (wanted === 'cpu') return { kind: 'cpu', reason: '' };
  if (named.length > 0) return { kind: 'gpu', devices: named };
  const usable = usableDevices(gpus, visible);
  if (
    wanted === 'gpu' &&
    usable.length === 0 &&
    visible !== undefined &&
    (gpus.length > 0 || hidesAll(visible))
  )
    throw refused(
      `POCKETFLEET_DEVICE=gpu, but ${source} "${visible}" shows none of the machine's GPUs; name one, or leave ${source} away`,
    );
  if (wanted === 'gpu') return { kind: 'gpu', devices: usable };
  if (gpus.length === 0) return { kind: 'cpu', reason: '' };
  const instead = `workers compute on CPU cores, not on ${countOf(gpus)}`;
  if (usable.length === 0)
    return { kind: 'cpu', reason: flag === undefined ? `${instead}: ${source} is "${visible}"` : '' };
  if (tensorflow === 'cpu')
    return {
      kind: 'cpu',
      reason: `${instead}: set-up put TensorFlow's CPU build in place; \`export POCKETFLEET_TENSORFLOW=gpu\` and \`npm run setup\` put the CUDA build there`,
    };
  return { kind: 'gpu', devices: usable };
}

/**
 * Each entry of a list that a person typed, or a refusal: CUDA would pass over what comes after a wrong one.
 */
function namedDevices(gpus: readonly Gpu[], list: string): string[] {
  const entries = list.split(',').map((entry) => entry.trim());
  for (const entry of entries) {
    if (gpus.length > 0 && usableDevices(gpus, entry).length === 0)
      throw refused(
        `--devices: "${entry}" names none of ${countOf(gpus)}; \`nvidia-smi -L\` lists them, and they are named by UUID, its beginning or number (0${gpus.length > 1 ? ` to ${gpus.length - 1}` : ''})`,
      );
    if (!/^(\d+|(GPU|MIG)-.+)$/.test(entry))
      throw refused(
        `--devices: "${entry}" names no GPU; give numbers, GPU-… or MIG-… names with commas between`,
      );
  }
  return [...new Set(entries)];
}

function countOf(gpus: readonly Gpu[]): string {
  const names = [...new Set(gpus.map(({ name }) => name))].join(', ');
  return gpus.length === 1
    ? `this machine's GPU (${names})`
    : `this machine's ${gpus.length} GPUs (${names})`;
}

/**
 * With the model where it is certain: CUDA's numbers are in another order than nvidia-smi's where the GPUs
 * differ.
 */
function nameOf(device: string, gpus: readonly Gpu[]): string {
  const entry = /^\d+$/.test(device) ? `GPU ${device}` : device;
  const [only, ...others] = new Set(gpus.map(({ name }) => name));
  const owner = gpus.find(({ uuid, parts }) => [uuid, ...parts].includes(device));
  const name = owner?.name ?? (others.length === 0 ? only : undefined);
  return name === undefined ? entry : `${entry} (${name})`;
}

function refused(message: string): FleetError {
  return new FleetError('invalidArgument', message);
}
