// The device class of a worker: everything that decides the bits of its results, as one string. It names
// device kind, instruction set, caches, threads, TensorFlow version, and what a person set for the kernels.
// Workers of one class compute the same bits; docs/determinism.md has the measurements from which the parts
// of the string follow.

import { readdirSync, readFileSync } from 'node:fs';
import { arch, availableParallelism, totalmem } from 'node:os';
import { cpuFlags } from '../../core/system/cpu-flags.ts';
import type { Device } from '../../proto/gen/pocketfleet/v1/worker.ts';
import type { EngineRequest } from './engine.ts';
import { pjrtClass, word } from './engine-class.ts';
import type { DeviceProof, KernelSettings } from './messages.ts';

/**
 * Variables of the native libraries that change what a kernel computes; those that are set are part of the
 * class.
 */
const CPU_VARIABLES = [
  'TF_ENABLE_ONEDNN_OPTS',
  'ONEDNN_MAX_CPU_ISA',
  'DNNL_MAX_CPU_ISA',
  'ONEDNN_CPU_ISA_HINTS',
  'DNNL_CPU_ISA_HINTS',
  'ONEDNN_DEFAULT_FPMATH_MODE',
  'DNNL_DEFAULT_FPMATH_MODE',
  'TF_SET_ONEDNN_FPMATH_MODE',
] as const;
const COMMON_VARIABLES = ['TF_XLA_FLAGS', 'XLA_FLAGS', 'TF_DETERMINISTIC_OPS'] as const;
/** Variables that libtensorflow's GPU build, cuDNN and cuBLAS read; they change nothing on a CPU. */
const GPU_VARIABLES = [
  'NVIDIA_TF32_OVERRIDE',
  'TF_CUDNN_DETERMINISTIC',
  'TF_CUDNN_USE_AUTOTUNE',
  'TF_CUDNN_WORKSPACE_LIMIT_IN_MB',
  'TF_USE_CUDNN_BATCHNORM_SPATIAL_PERSISTENT',
  'TF_USE_CUBLASLT',
  'TF_MATMUL_AUTOTUNE_ENABLE',
  'CUBLAS_WORKSPACE_CONFIG',
] as const;
export const KERNEL_VARIABLES = [...CPU_VARIABLES, ...COMMON_VARIABLES, ...GPU_VARIABLES] as const;

/**
 * What a GPU worker sets unless a person did: without the first, gradients of depthwise convolutions and of
 * biases are added in the order in which threads arrive (TensorFlow's own list of deterministic operations,
 * TF_DETERMINISTIC_OPS); TF32 rounds products to 10 bits; a choice of algorithms by their speed is another
 * one each time; cuBLAS promises equal results for a fixed workspace alone (cuBLAS documentation, "Results
 * reproducibility").
 */
const GPU_DEFAULTS: KernelSettings = {
  TF_DETERMINISTIC_OPS: '1',
  NVIDIA_TF32_OVERRIDE: '0',
  TF_CUDNN_USE_AUTOTUNE: '0',
  CUBLAS_WORKSPACE_CONFIG: ':4096:8',
};

/**
 * The settings that a worker computes under: a person's own, and on a GPU the defaults that make it
 * deterministic. A compiler of PJRT asks CUDA's libraries for TF32 where a run does, and nowhere else.
 */
export function kernelSettings(
  set: KernelSettings,
  gpu: boolean,
  engine: EngineRequest['wanted'] = 'tensorflow',
): KernelSettings {
  const { NVIDIA_TF32_OVERRIDE: _tf32, ...others } = GPU_DEFAULTS;
  return gpu ? { ...(engine === 'pjrt' ? others : GPU_DEFAULTS), ...set } : set;
}

/**
 * Variables that TensorFlow, its thread pools and CUDA's libraries read when they are loaded; set before the
 * compute thread starts. oneDNN is switched on unless a person switched it off: left alone, the library
 * decides by the processor.
 */
export function nativeEnvironment(threads: number, settings: KernelSettings = {}): Record<string, string> {
  return {
    ...settings,
    TF_NUM_INTRAOP_THREADS: String(threads),
    TF_NUM_INTEROP_THREADS: String(threads),
    OMP_NUM_THREADS: String(threads),
    TF_ENABLE_ONEDNN_OPTS: settings.TF_ENABLE_ONEDNN_OPTS ?? '1',
    // 4 to 7 % less processor time a step, the same bits and as much memory: it keeps what the system's
    // allocator gives back.
    TF_CPU_ALLOCATOR_USE_BFC: '1',
    // The default build of libtensorflow announces its instruction set at each start; results do not depend
    // on this.
    TF_CPP_MIN_LOG_LEVEL: '2',
  };
}

export function describeDevice(
  proof: DeviceProof,
  threads: number,
  settings: KernelSettings = {},
  id = '',
): Device {
  const own = id === '' ? (proof.gpu?.uuid ?? '') : id;
  const all = proof.devices.map(({ id, memoryBytes = totalmem() }) => ({ id, memoryBytes }));
  return {
    ...(own === '' ? {} : { id: own }),
    kind: proof.kind,
    name: proof.name,
    deviceClass: classOf(proof, threads, settings),
    tensorflowVersion: proof.tensorflowVersion,
    threads,
    memoryBytes: Math.min(...all.map(({ memoryBytes }) => memoryBytes)),
    gpu: proof.gpu && {
      uuid: proof.gpu.uuid,
      computeCapability: proof.gpu.computeCapability,
      multiprocessors: proof.gpu.multiprocessors,
      driver: proof.gpu.driver ?? '',
      cudnn: proof.gpu.cudnn ?? '',
      cublas: proof.gpu.cublas ?? '',
    },
    devices: all.length > 1 ? all : [],
  };
}

function classOf(proof: DeviceProof, threads: number, settings: KernelSettings): string {
  const { engine, gpu } = proof;
  const instructions = instructionSet(arch(), cpuFlags());
  if (engine.name === 'pjrt')
    return pjrtClass({ facts: engine, gpu, instructions, cores: availableParallelism(), settings });
  return deviceClass({
    kind: proof.kind,
    instructions,
    caches: cacheSizes(),
    threads,
    tensorflowVersion: proof.tensorflowVersion,
    graphs: proof.graphs,
    kernels: proof.kernels,
    gpu,
    settings,
  });
}

/**
 * e.g. `cpu/avx512/32K+1M+32M/threads=1/tf=2.21.0/onednn=1/kernels=1f2e3d4c`, or for a GPU, where the host's
 * threads, caches and instructions do not touch the result,
 * `cuda/NVIDIA-H200/sm_90/sms=132/driver=570.86.15/cudnn=9.28.0/cublas=12.9.3/tf=2.21.0/tf32=0/deterministic=1`.
 * All else that is set for the kernels follows, name by name.
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
  readonly gpu: DeviceProof['gpu'];
  readonly settings: KernelSettings;
}): string {
  return (parts.kind === 'cpu' ? cpuClass(parts) : gpuClass(parts)).join('/');
}

type ClassParts = Parameters<typeof deviceClass>[0];

function cpuClass(parts: ClassParts): string[] {
  const { TF_ENABLE_ONEDNN_OPTS: onednn = '1', ...others } = parts.settings;
  return [
    parts.kind,
    parts.instructions,
    parts.caches,
    `threads=${parts.threads}`,
    `tf=${parts.tensorflowVersion}`,
    `onednn=${onednn}`,
    ...(parts.graphs === 'optimised' ? ['graphs=optimised'] : []),
    ...(parts.kernels === null ? [] : [`kernels=${parts.kernels}`]),
    ...named([...CPU_VARIABLES, ...COMMON_VARIABLES], others),
  ];
}

/**
 * A part that CUDA does not report is `?`, so that such a GPU is in no class with one for which it is known.
 */
function gpuClass({ kind, gpu, tensorflowVersion, settings }: ClassParts): string[] {
  const { NVIDIA_TF32_OVERRIDE: tf32 = 'library', TF_DETERMINISTIC_OPS: deterministic, ...others } = settings;
  // A part of a GPU has fewer multiprocessors than the whole one, which is in the class already.
  const model = word(gpu?.name ?? '');
  const defaults = (name: string) => others[name] === GPU_DEFAULTS[name];
  return [
    kind,
    model,
    `sm_${gpu?.computeCapability.replace('.', '') ?? '?'}`,
    `sms=${gpu?.multiprocessors ?? '?'}`,
    `driver=${gpu?.driver ?? '?'}`,
    `cudnn=${gpu?.cudnn ?? '?'}`,
    `cublas=${gpu?.cublas ?? '?'}`,
    `tf=${tensorflowVersion}`,
    `tf32=${tf32}`,
    `deterministic=${isOn(deterministic) ? 1 : 0}`,
    ...['TF_CUDNN_USE_AUTOTUNE', 'CUBLAS_WORKSPACE_CONFIG']
      .filter((name) => !defaults(name))
      .map((name) => `${name}=${others[name] ?? ''}`),
    ...named(
      [...COMMON_VARIABLES, ...GPU_VARIABLES].filter((name) => !(name in GPU_DEFAULTS)),
      others,
    ),
  ];
}

/** Whether TensorFlow takes the value for `on`. */
const isOn = (value: string | undefined): boolean => value === '1' || value?.toLowerCase() === 'true';

function named(names: readonly string[], settings: KernelSettings): string[] {
  return names.filter((name) => name in settings).map((name) => `${name}=${settings[name]}`);
}

/**
 * The level by which oneDNN picks its kernels (its `max_cpu_isa` steps), from the kernel's flag list; of an empty one
 * what every x64 machine has.
 */
export function instructionSet(architecture: string, flags: ReadonlySet<string>): string {
  if (architecture !== 'x64') return architecture;
  if (flags.has('amx_tile')) return 'amx';
  if (flags.has('avx512f') && flags.has('avx512bw') && flags.has('avx512vl') && flags.has('avx512dq'))
    return 'avx512';
  if (flags.has('avx2')) return 'avx2';
  if (flags.has('avx')) return 'avx';
  return 'sse4';
}

/**
 * Cache sizes of the first core by level, e.g. 32K+1M+32M; `caches=?` where the system does not report them.
 */
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

/** A size as short as it can be exactly: 32768K is 32M. */
function shortSize(size: string): string {
  const [, count] = /^(\d+)K$/.exec(size) ?? [];
  return count !== undefined && Number(count) % 1024 === 0 ? `${Number(count) / 1024}M` : size;
}
