// What this worker computes on, as one string that results depend on: device kind, instruction set, threads, TensorFlow
// version. Decides the string only; that a run takes workers of one class alone is the coordinator's business.

import { readFileSync } from 'node:fs';
import { arch, totalmem } from 'node:os';
import type { Device } from '../proto/gen/pocketfleet/v1/worker.ts';
import type { DeviceProof } from './compute/messages.ts';

/** Variables that TensorFlow and its thread pools read when they are loaded; set before the compute thread starts. */
export function nativeEnvironment(threads: number): Record<string, string> {
  return {
    TF_NUM_INTRAOP_THREADS: String(threads),
    TF_NUM_INTEROP_THREADS: String(threads),
    OMP_NUM_THREADS: String(threads),
    // The default build of libtensorflow announces its instruction set at each start; results do not depend on this.
    TF_CPP_MIN_LOG_LEVEL: '2',
  };
}

export function describeDevice(proof: DeviceProof, threads: number): Device {
  return {
    kind: proof.kind,
    name: proof.name,
    deviceClass: deviceClass({
      kind: proof.kind,
      instructions: instructionSet(arch(), cpuFlags()),
      threads,
      tensorflowVersion: proof.tensorflowVersion,
    }),
    tensorflowVersion: proof.tensorflowVersion,
    threads,
    memoryBytes: totalmem(),
  };
}

/** e.g. `cpu/avx512/threads=1/tf=2.21.0`; on a GPU the host's threads and instructions do not touch the result. */
export function deviceClass(parts: {
  readonly kind: string;
  readonly instructions: string;
  readonly threads: number;
  readonly tensorflowVersion: string;
}): string {
  const host = parts.kind === 'cpu' ? `/${parts.instructions}/threads=${parts.threads}` : '';
  return `${parts.kind}${host}/tf=${parts.tensorflowVersion}`;
}

/** The level by which oneDNN picks its kernels (its `max_cpu_isa` steps), from the kernel's flag list. */
export function instructionSet(architecture: string, flags: ReadonlySet<string>): string {
  if (architecture !== 'x64') return architecture;
  if (flags.has('amx_tile')) return 'amx';
  if (flags.has('avx512f') && flags.has('avx512bw') && flags.has('avx512vl') && flags.has('avx512dq'))
    return 'avx512';
  if (flags.has('avx2')) return 'avx2';
  if (flags.has('avx')) return 'avx';
  return 'sse4';
}

/** Empty where the system has no such list; the class then says the least that every x64 machine has. */
function cpuFlags(): ReadonlySet<string> {
  try {
    const line = readFileSync('/proc/cpuinfo', 'utf8').match(/^flags\s*:(.*)$/m);
    return new Set(line?.[1]?.trim().split(/\s+/) ?? []);
  } catch {
    return new Set();
  }
}
