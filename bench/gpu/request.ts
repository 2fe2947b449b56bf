// What a process that measures a step is asked, what it answers, and how it is started.

import { spawnSync } from 'node:child_process';
import { scriptArguments } from '../../core/system/script-arguments.ts';
import type { InstalledPlugin } from '../../core/tensor/pjrt/binding.ts';

export interface MeasureRequest {
  readonly engine: 'tensorflow' | 'pjrt';
  /** Of the plugin. */
  readonly platform: InstalledPlugin['platform'];
  /** Network and images, such as `S-128-64`. */
  readonly step: string;
  readonly precision: 'float32' | 'tf32' | 'bf16';
  readonly deterministic: boolean;
  /** Runs whose digests are given. */
  readonly runs: number;
  /** Time that the step is measured for. */
  readonly seconds: number;
}

export type Measurement =
  | { readonly failed: { readonly code: string; readonly message: string } }
  | {
      readonly failed?: undefined;
      readonly device: string;
      /** Of the step's vector. */
      readonly digests: readonly string[];
      readonly loss: number;
      readonly compileSeconds: number;
      /** From images on the host to the vector on the host. */
      readonly stepSeconds: number;
      readonly imagesPerSecond: number;
      readonly updateSeconds: number;
      readonly weightBytes: number;
      /** The weights to the device, and back. */
      readonly upSeconds?: number;
      readonly downSeconds?: number;
    };

/** Variables under which TensorFlow's kernels for GPUs give equal bits; without them it chooses by speed. */
const DETERMINISTIC = {
  TF_DETERMINISTIC_OPS: '1',
  NVIDIA_TF32_OVERRIDE: '0',
  TF_CUDNN_USE_AUTOTUNE: '0',
  CUBLAS_WORKSPACE_CONFIG: ':4096:8',
};

/** Runs a measurement in a process that sees one device; `seconds` bounds it. */
export function measured(
  request: MeasureRequest,
  { gpu, seconds }: { readonly gpu: string | undefined; readonly seconds: number },
): Measurement {
  const file = new URL('./measure.ts', import.meta.url);
  const child = spawnSync(process.execPath, [...scriptArguments(file), JSON.stringify(request)], {
    encoding: 'utf8',
    timeout: seconds * 1000,
    killSignal: 'SIGKILL',
    maxBuffer: 1 << 26,
    env: {
      ...process.env,
      TF_CPP_MIN_LOG_LEVEL: '3',
      ...(gpu === undefined ? {} : { CUDA_VISIBLE_DEVICES: gpu }),
      ...(request.deterministic && request.engine === 'tensorflow' ? DETERMINISTIC : {}),
    },
  });
  const line = child.stdout?.trim().split('\n').at(-1) ?? '';
  if (child.status === 0 && line.startsWith('{')) return JSON.parse(line) as Measurement;
  const message = child.error?.message ?? child.stderr?.trim().slice(-400) ?? '';
  return { failed: { code: 'internal', message: message || `ended with ${child.status ?? child.signal}` } };
}
