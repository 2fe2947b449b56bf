// Which GPUs a machine has, from `nvidia-smi -L`, and which of them a process may use, from
// CUDA_VISIBLE_DEVICES. Decides how both are read. It loads nothing of CUDA.

import { execFileSync } from 'node:child_process';
import { existsSync } from 'node:fs';

/** One GPU as nvidia-smi lists it, in its order. */
export interface Gpu {
  /** E.g. `NVIDIA A100-SXM4-40GB`. */
  readonly name: string;
  /** `GPU-…`. */
  readonly uuid: string;
  /**
   * `MIG-…` of each part of a partitioned GPU, on which only its parts can compute; empty for a whole one.
   */
  readonly parts: readonly string[];
}

/** A driver that does not answer must not hold up every start. */
const ANSWER_MS_MAX = 20_000;

/** The machine's GPUs; an empty list where there is no driver or it does not answer. */
export function listGpus(): Gpu[] {
  try {
    const text = execFileSync('nvidia-smi', ['-L'], {
      encoding: 'utf8',
      timeout: ANSWER_MS_MAX,
      stdio: ['ignore', 'pipe', 'ignore'],
    });
    return parseGpuList(text);
  } catch {
    return [];
  }
}

/** Whether an NVIDIA driver is there. A container may have the device without nvidia-smi. */
export const hasCudaDriver = (): boolean => existsSync('/dev/nvidiactl');

/**
 * Lines such as `GPU 0: NVIDIA A100-SXM4-40GB (UUID: GPU-5c89…)`, each followed by its parts:
 * `  MIG 1g.5gb     Device  0: (UUID: MIG-7a2c…)`.
 */
export function parseGpuList(text: string): Gpu[] {
  const gpus: { name: string; uuid: string; parts: string[] }[] = [];
  for (const line of text.split('\n')) {
    const [, name, uuid] = /^GPU \d+: (.*) \(UUID: (GPU-[^)\s]+)\)/.exec(line) ?? [];
    if (name !== undefined && uuid !== undefined) gpus.push({ name, uuid, parts: [] });
    const [, part] = /^\s+MIG .*\(UUID: (MIG-[^)\s]+)\)/.exec(line) ?? [];
    if (part !== undefined) gpus.at(-1)?.parts.push(part);
  }
  return gpus;
}

/**
 * The devices that can be used, each as a value of CUDA_VISIBLE_DEVICES that shows this device alone.
 * `visible` is the variable as it is set, undefined where it is not. CUDA takes its entries up to the first
 * that names no device, so an empty text and `-1` hide everything ("CUDA C++ Programming Guide", environment
 * variables).
 */
export function usableDevices(gpus: readonly Gpu[], visible: string | undefined): string[] {
  const all = gpus.flatMap(({ uuid, parts }) => (parts.length > 0 ? parts : [uuid]));
  if (visible === undefined) return all;
  const entries = visible.split(',').map((entry) => entry.trim());
  const unknown = entries.findIndex((entry) => !namesDevice(entry, gpus, all));
  const named = unknown < 0 ? entries : entries.slice(0, unknown);
  // CUDA refuses a device that is named twice, so a repeated entry counts once.
  return [...new Set(named)];
}

/**
 * Whether CUDA_VISIBLE_DEVICES hides the devices of every machine: its first entry is empty, negative or
 * `NoDevFiles`, so it is a wish to see none. A first entry that names no device of this machine alone hides
 * all as well, but is a mistake there.
 */
export function hidesAll(visible: string | undefined): boolean {
  const first = visible?.split(',')[0]?.trim();
  return first !== undefined && /^(-.*|NoDevFiles)?$/.test(first);
}

/**
 * Finds a device by its number in nvidia-smi's list or by the beginning of its UUID. CUDA's old form
 * MIG-GPU-…/1/0 stays as it is.
 */
function namesDevice(entry: string, gpus: readonly Gpu[], all: readonly string[]): boolean {
  if (/^\d+$/.test(entry)) return Number(entry) < gpus.length;
  if (entry.startsWith('MIG-GPU-')) return gpus.length > 0;
  return (
    /^(GPU|MIG)-./.test(entry) &&
    [...all, ...gpus.map(({ uuid }) => uuid)].some((uuid) => uuid.startsWith(entry))
  );
}
