// The devices of a plugin of PJRT as a worker computes on them: the options that it is opened with, how many there are
// and of which kind, and the proof that programs run there. Loads no TensorFlow.

import { existsSync } from 'node:fs';
import { FleetError } from '../../core/errors.ts';
import type { InstalledPlugin } from '../../core/tensor/pjrt/binding.ts';
import { type Client, type Option, openClient } from '../../core/tensor/pjrt/client.ts';

/** What is asked of the devices. */
export interface PluginRequest {
  /** Part of the GPU's memory that the process may take, of 1; 0: nearly all. */
  readonly memoryShare: number;
  /** Devices of the plugin that compute; 1 without it. */
  readonly devices?: number;
}

/** What a process that tries a plugin is asked. */
export interface TrialRequest {
  readonly plugin: InstalledPlugin;
  readonly request: PluginRequest;
}

/** A device of a plugin. */
export interface EngineDevice {
  /** Its place in the plugin's list. */
  readonly number: number;
  /** Bytes of its memory that the process may take; undefined where the plugin reports none. */
  readonly memoryBytes: number | undefined;
}

/** What is known of them; part of the device proof. */
export interface PluginFacts {
  readonly name: 'pjrt';
  readonly platform: InstalledPlugin['platform'];
  /** Package and version, such as `jax-cuda13-pjrt 0.11.2`. */
  readonly plugin: string;
  /** Version of the interface, such as `0.115`. */
  readonly interface: string;
  /** Kind of the device in the plugin's words, such as `NVIDIA H200`. */
  readonly deviceKind: string;
  /** Version of the platform in the plugin's words, such as `rocm 70000`. */
  readonly platformVersion: string;
  /** Those that compute. */
  readonly devices: readonly EngineDevice[];
  /** Options of the compiler that decide bits. */
  readonly options: Readonly<Record<string, Option>>;
}

/** Devices that have computed a product rightly. */
export interface PluginDevice {
  readonly client: Client;
  /** Of the compiler. */
  readonly options: Readonly<Record<string, Option>>;
  /** Numbers among the client's. */
  readonly devices: readonly number[];
  readonly facts: PluginFacts;
}

/** Opens the plugin. Throws with the reason where it is not there, does not open, or computes wrongly. */
export function openPluginDevice(
  plugin: InstalledPlugin,
  { memoryShare, devices = 1 }: PluginRequest,
): PluginDevice {
  if (!existsSync(plugin.path))
    throw new FleetError(
      'failedPrecondition',
      `the plugin ${plugin.name} is not at ${plugin.path}, where set-up has put it; run \`npm run setup:pjrt\``,
    );
  const client = openClient({ path: plugin.path, options: clientOptions(plugin, memoryShare) });
  const options = compilerOptions(plugin);
  checkDevices(client, devices);
  prove(client, devices, options);
  const numbers = [...Array(devices).keys()];
  const { tools } = plugin;
  return {
    client,
    // Where CUDA's tools lie decides no bits.
    options: tools === undefined ? options : { ...options, xla_gpu_cuda_data_dir: tools },
    devices: numbers,
    facts: {
      name: 'pjrt',
      platform: plugin.platform,
      plugin: plugin.name,
      interface: client.plugin.version,
      deviceKind: client.devices[0] ?? '',
      platformVersion: client.platformVersion,
      devices: numbers.map((number) => ({ number, memoryBytes: client.memory(number)?.bytesLimit })),
      options,
    },
  };
}

/** CUDA's plugin takes three quarters of the card at its start unless it is told otherwise. */
function clientOptions({ platform }: InstalledPlugin, memoryShare: number): Record<string, Option> {
  if (platform !== 'cuda') return {};
  return memoryShare > 0 ? { memory_fraction: memoryShare, preallocate: true } : { preallocate: false };
}

/**
 * Options that make equal bits of equal programs: sums in one order, and kernels that are not chosen by their speed of
 * the moment. On a CPU products are not split over the threads of a machine, and the larger of NaN and a number is NaN,
 * as on a GPU: a run whose numbers are none any more has to fail.
 */
function compilerOptions({ platform }: InstalledPlugin): Record<string, Option> {
  return platform === 'cpu'
    ? { xla_cpu_multi_thread_eigen: false, xla_cpu_enable_fast_min_max: false }
    : { xla_gpu_deterministic_ops: true, xla_gpu_autotune_level: 0 };
}

const PRODUCT = `
module @product {
  func.func public @main(%a: tensor<2x2xf32>, %b: tensor<2x2xf32>) -> tensor<2x2xf32> {
    %0 = stablehlo.dot_general %a, %b, contracting_dims = [1] x [0], precision = [HIGHEST, HIGHEST]
      : (tensor<2x2xf32>, tensor<2x2xf32>) -> tensor<2x2xf32>
    return %0 : tensor<2x2xf32>
  }
}`;

/** Refuses more devices than there are, and devices of several kinds, whose bits would differ. */
function checkDevices({ devices }: Client, wanted: number): void {
  const taken = devices.slice(0, wanted);
  if (devices.length === 0)
    throw new FleetError(
      'failedPrecondition',
      'the plugin finds no device on this machine; mend that, or start the worker with POCKETFLEET_ENGINE=tensorflow',
    );
  if (taken.length < wanted)
    throw new FleetError(
      'failedPrecondition',
      `the worker is to compute on ${wanted} devices and the plugin has ${devices.length}; set engineDevices (POCKETFLEET_ENGINE_DEVICES) to that at most`,
    );
  const other = taken.find((kind) => kind !== taken[0]);
  if (other !== undefined)
    throw new FleetError(
      'failedPrecondition',
      `the worker is to compute on devices of one kind, and has ${taken[0]} and ${other}; give each kind a worker of its own`,
    );
}

/** Computes [1 2; 3 4] x [5 6; 7 8] = [19 22; 43 50]: a listed device is no proof that programs run on it. */
function prove(client: Client, devices: number, options: Readonly<Record<string, Option>>): void {
  const program = client.compile({ what: 'the product of the device proof', code: PRODUCT, options });
  for (let device = 0; device < devices; device++) {
    const inputs = [Float32Array.of(1, 2, 3, 4), Float32Array.of(5, 6, 7, 8)].map((values) =>
      client.upload(values, 'f32', [2, 2], device),
    );
    const [output] = program.run(inputs);
    const product = new Float32Array(4);
    output!.read(product);
    for (const buffer of [...inputs, output!]) buffer.free();
    if (product.join() !== '19,22,43,50')
      throw new FleetError(
        'failedPrecondition',
        `a matrix product on device ${device} of PJRT gave ${product.join(', ')} where 19, 22, 43, 50 is right; the device or its driver is broken`,
      );
  }
  program.free();
}
