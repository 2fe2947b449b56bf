// The engine of the compute thread: TensorFlow's session, or a plugin of PJRT.

import { FleetError } from '../../core/errors.ts';
import type { Engine } from '../../core/tensor/graph/engine.ts';
import { createPjrtEngine } from '../../core/tensor/graph/pjrt-engine.ts';
import { tensorflowEngine } from '../../core/tensor/graph/tensorflow-engine.ts';
import { installedFor } from '../../core/tensor/pjrt/binding.ts';
import { openPluginDevice, type PluginFacts, type PluginRequest } from './plugin-device.ts';

/** What a worker asks of its compute thread. */
export interface EngineRequest extends PluginRequest {
  readonly wanted: 'tensorflow' | 'pjrt';
  /** Whether a GPU may be used. */
  readonly gpu: boolean;
  /** Why TensorFlow is wanted where a plugin was preferred. */
  readonly instead?: string | undefined;
}

/** What is known of the engine; part of the device proof. */
export type EngineFacts =
  | {
      readonly name: 'tensorflow';
      /** Why it is not the plugin that a GPU worker prefers; undefined where none was to be taken. */
      readonly instead: string | undefined;
    }
  | PluginFacts;

/** An engine that computes, and what is known of it. */
export interface OpenedEngine {
  readonly engine: Engine;
  readonly facts: EngineFacts;
}

/** Opens the engine. Throws where it cannot compute. */
export function openEngine(request: EngineRequest): OpenedEngine {
  const { wanted, gpu, instead } = request;
  if (wanted === 'tensorflow') return { engine: tensorflowEngine, facts: { name: 'tensorflow', instead } };
  const plugin = installedFor(gpu) ?? refuseAbsent(gpu);
  const { facts, ...device } = openPluginDevice(plugin, request);
  return { engine: createPjrtEngine({ plugin: plugin.name, ...device }), facts };
}

function refuseAbsent(gpu: boolean): never {
  throw new FleetError(
    'failedPrecondition',
    `no plugin of PJRT for ${gpu ? 'GPUs' : 'CPUs'} is installed; run \`npm run setup:pjrt${gpu ? ' -- cuda13' : ''}\`, or start the worker with POCKETFLEET_ENGINE=tensorflow`,
  );
}
