// The device class of a worker whose engine is a plugin of PJRT: what decides the bits of its programs. The
// compiler is in the plugin, so its version stands for all of it; TensorFlow only records there.

import type { DeviceProof, KernelSettings } from './messages.ts';
import type { PluginFacts } from './plugin-device.ts';

/** A name as one part of a class. */
export const word = (text: string): string => text.trim().replace(/[\s/]+/g, '-') || '?';

/**
 * E.g. `cuda/NVIDIA-H200/sm_90/sms=132/driver=580.159.4/engine=pjrt/plugin=jax-cuda13-pjrt-0.11.2/interface=0.115/
 * deterministic=1/xla_gpu_autotune_level=0`, or on a CPU, whose instructions and number of cores the compiler
 * uses, `cpu/avx512/cores=2/engine=pjrt/...`. Of GPUs of other vendors the plugin names the kind of device and the
 * version of its platform, which has that of the driver's runtime: `rocm/AMD-Instinct-MI300X/platform=rocm-70000/...`.
 */
export function pjrtClass(parts: {
  readonly facts: PluginFacts;
  readonly gpu: DeviceProof['gpu'];
  readonly instructions: string;
  readonly cores: number;
  readonly settings: KernelSettings;
}): string {
  const { facts, settings } = parts;
  const { xla_gpu_deterministic_ops: deterministic, ...options } = facts.options;
  return [
    ...deviceOf(parts),
    'engine=pjrt',
    `plugin=${word(facts.plugin)}`,
    `interface=${facts.interface}`,
    ...(facts.platform === 'cpu' ? [] : [`deterministic=${deterministic === true ? 1 : 0}`]),
    ...Object.entries(options).map(([name, value]) => `${name}=${value}`),
    ...variablesOf(facts.platform)
      .filter((name) => name in settings)
      .map((name) => `${name}=${settings[name]}`),
  ].join('/');
}

/**
 * Those that decide bits where a person set them: the compiler's, and of CUDA's libraries whether they may shorten
 * products.
 */
const variablesOf = (platform: PluginFacts['platform']): readonly string[] =>
  platform === 'cuda' ? ['XLA_FLAGS', 'NVIDIA_TF32_OVERRIDE'] : ['XLA_FLAGS'];

function deviceOf({ facts, gpu, instructions, cores }: Parameters<typeof pjrtClass>[0]): string[] {
  const { platform, deviceKind, platformVersion } = facts;
  switch (platform) {
    case 'cpu':
      return [platform, instructions, `cores=${cores}`];
    case 'cuda':
      return [
        ...[platform, word(deviceKind)],
        `sm_${gpu?.computeCapability.replace('.', '') ?? '?'}`,
        `sms=${gpu?.multiprocessors ?? '?'}`,
        `driver=${gpu?.driver ?? '?'}`,
      ];
    case 'rocm':
    case 'oneapi':
      return [platform, word(deviceKind), `platform=${word(platformVersion)}`];
  }
}
