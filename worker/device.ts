// What this worker computes on, as one string that results depend on: device kind, instruction set, caches, threads,
// TensorFlow version, and what a person set for its kernels. Decides the string only (docs/determinism.md has what was
// measured); that a run takes workers of one class alone is the coordinator's business.

import { readdirSync, readFileSync } from 'node:fs';
import { arch, totalmem } from 'node:os';
import type { Device } from '../proto/gen/pocketfleet/v1/worker.ts';
import type { DeviceProof } from './compute/messages.ts';

/** Variables of the native libraries that change what a kernel computes; what is set of them belongs to the class. */
export const KERNEL_VARIABLES = [
  'TF_ENABLE_ONEDNN_OPTS',
  'ONEDNN_MAX_CPU_ISA',
  'DNNL_MAX_CPU_ISA',
  'ONEDNN_CPU_ISA_HINTS',
  'DNNL_CPU_ISA_HINTS',
  'ONEDNN_DEFAULT_FPMATH_MODE',
  'DNNL_DEFAULT_FPMATH_MODE',
  'TF_SET_ONEDNN_FPMATH_MODE',
  'TF_XLA_FLAGS',
  'XLA_FLAGS',
  'NVIDIA_TF32_OVERRIDE',
  'TF_ENABLE_CUBLAS_TENSOR_OP_MATH_FP32',
] as const;

/** Values of KERNEL_VARIABLES; one that is absent is not set. */
export type KernelSettings = Readonly<Record<string, string>>;

/**
 * Variables that TensorFlow and its thread pools read when they are loaded; set before the compute thread starts. oneDNN is
 * switched on unless a person switched it off: left alone, the library decides by the processor.
 */
export function nativeEnvironment(threads: number, settings: KernelSettings = {}): Record<string, string> {
  return {
    TF_NUM_INTRAOP_THREADS: String(threads),
    TF_NUM_INTEROP_THREADS: String(threads),
    OMP_NUM_THREADS: String(threads),
    TF_ENABLE_ONEDNN_OPTS: settings.TF_ENABLE_ONEDNN_OPTS ?? '1',
    // 4 to 7 % less processor time a step, the same bits and as much memory: it keeps what the system's allocator gives back.
    TF_CPU_ALLOCATOR_USE_BFC: '1',
    // The default build of libtensorflow announces its instruction set at each start; results do not depend on this.
    TF_CPP_MIN_LOG_LEVEL: '2',
  };
}

export function describeDevice(proof: DeviceProof, threads: number, settings: KernelSettings = {}): Device {
  return {
    kind: proof.kind,
    name: proof.name,
    deviceClass: deviceClass({
      kind: proof.kind,
      instructions: instructionSet(arch(), cpuFlags()),
      caches: cacheSizes(),
      threads,
      tensorflowVersion: proof.tensorflowVersion,
      graphs: proof.graphs,
      kernels: proof.kernels,
      settings,
    }),
    tensorflowVersion: proof.tensorflowVersion,
    threads,
    memoryBytes: totalmem(),
  };
}

/**
 * e.g. `cpu/avx512/32K+1M+32M/threads=1/tf=2.21.0/onednn=1/kernels=1f2e3d4c`; on a GPU the host's threads, caches and instructions do not
 * touch the result. Whatever else a person set for the kernels follows, name by name.
 */
export function deviceClass(parts: {
  readonly kind: string;
  readonly instructions: string;
  /** Kernels cut their loops, and so their sums, by the sizes of the caches. */
  readonly caches: string;
  readonly threads: number;
  readonly tensorflowVersion: string;
  readonly graphs: DeviceProof['graphs'];
  readonly kernels: DeviceProof['kernels'];
  readonly settings: KernelSettings;
}): string {
  const cpu = parts.kind === 'cpu';
  const { TF_ENABLE_ONEDNN_OPTS: onednn = '1', ...others } = parts.settings;
  return [
    parts.kind,
    ...(cpu ? [parts.instructions, parts.caches, `threads=${parts.threads}`] : []),
    `tf=${parts.tensorflowVersion}`,
    ...(cpu ? [`onednn=${onednn}`] : []),
    ...(cpu && parts.graphs === 'optimised' ? ['graphs=optimised'] : []),
    ...(cpu && parts.kernels !== null ? [`kernels=${parts.kernels}`] : []),
    ...KERNEL_VARIABLES.filter((name) => name in others).map((name) => `${name}=${others[name]}`),
  ].join('/');
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

/** Of the first core, level by level, e.g. 32K+1M+32M; `caches=?` where the system does not tell. */
function cacheSizes(): string {
  const folder = '/sys/devices/system/cpu/cpu0/cache';
  const read = (index: string, file: string) => readFileSync(`${folder}/${index}/${file}`, 'utf8').trim();
  try {
    const data = readdirSync(folder).filter(
      (name) => name.startsWith('index') && read(name, 'type') !== 'Instruction',
    );
    const sizes = data.map((name) => ({ level: Number(read(name, 'level')), size: read(name, 'size') }));
    sizes.sort((a, b) => a.level - b.level);
    if (sizes.length > 0) return sizes.map(({ size }) => shortSize(size)).join('+');
  } catch {
    // Not Linux, or a container without /sys.
  }
  return 'caches=?';
}

/** 32768K is 32M. */
function shortSize(size: string): string {
  const [, count] = /^(\d+)K$/.exec(size) ?? [];
  return count !== undefined && Number(count) % 1024 === 0 ? `${Number(count) / 1024}M` : size;
}
