// A client of a plugin: programs, and arrays on its devices. Every call returns when the device is done. Whoever
// gets a program or a buffer frees it; what a run was given to keep (a donated input) is over after the run and
// is freed all the same.

import { CompileOptions } from '../../../proto/gen/xla/v1/compile_options.ts';
import { FleetError } from '../../errors.ts';
import { type Handle, loadBinding, type PjrtBinding } from './binding.ts';
import { calling } from './refusal.ts';

/** Types that cross between the host and a device, by StableHLO's names, with PJRT's numbers. */
const TYPES = { i1: 1, i8: 2, i32: 4, i64: 5, ui8: 6, ui32: 8, ui64: 9, f32: 11, f64: 12, bf16: 13 } as const;

/** A type of StableHLO whose arrays may be carried. */
export type ElementType = keyof typeof TYPES;

/** An option of the compiler (`xla_gpu_deterministic_ops`, ...). */
export type Option = string | number | boolean;

/** One array on one device. */
export interface DeviceBuffer {
  readonly device: number;
  /** Copies the values into an array of exactly as many bytes; the memory may be shared between threads. */
  read(into: ArrayBufferView): void;
  /** Frees it; a second call does nothing. */
  free(): void;
}

/** A compiled program. It runs on any device of its client. */
export interface Program {
  readonly outputs: readonly { readonly type: ElementType; readonly shape: readonly number[] }[];
  /** Bytes of one run; absent where the plugin does not report them. */
  readonly bytes: {
    readonly arguments?: number | undefined;
    readonly outputs?: number | undefined;
    /** Of the outputs, those that take the place of a donated input. */
    readonly aliased?: number | undefined;
    readonly temporary?: number | undefined;
  };
  /** Runs on the device of the inputs. Inputs that the program is given to keep are over afterwards. */
  run(inputs: readonly DeviceBuffer[]): DeviceBuffer[];
  /** Runs once for each list of inputs, at the same time where the lists are on several devices. */
  runAll(lists: readonly (readonly DeviceBuffer[])[]): DeviceBuffer[][];
  /** The program in the plugin's own form, for the same plugin and kind of device. */
  serialize(): Uint8Array;
  free(): void;
}

/** A client with its devices. */
export interface Client {
  /** E.g. `cpu`, `cuda`. */
  readonly platform: string;
  readonly platformVersion: string;
  /** Kind of each device, e.g. `NVIDIA H200`. */
  readonly devices: readonly string[];
  /** Version of the plugin's interface, e.g. `0.115`, and its further attributes. */
  readonly plugin: { readonly version: string; readonly attributes: Readonly<Record<string, unknown>> };
  /** Compiles text of StableHLO, or a serialised HloModuleProto. `what` is for errors. */
  compile(request: {
    readonly what: string;
    readonly code: string | Uint8Array;
    readonly format?: 'mlir' | 'hlo';
    readonly options?: Readonly<Record<string, Option>>;
  }): Program;
  /** A program from what `serialize` gave. */
  load(what: string, bytes: Uint8Array): Program;
  /** Copies an array to a device; it may change as soon as this returns. */
  upload(array: ArrayBufferView, type: ElementType, shape: readonly number[], device?: number): DeviceBuffer;
  /** Bytes of arrays that were copied so far, between the host and all devices. */
  copied(): { readonly toDevice: number; readonly fromDevice: number };
  /** Bytes of a device's memory, or null where the plugin does not report them. */
  memory(device?: number): { readonly bytesInUse: number; readonly bytesLimit?: number } | null;
}

/** Opens a plugin and a client of it. `options` are the plugin's own, such as `cpu_device_count`. */
export function openClient(request: {
  readonly path: string;
  readonly options?: Readonly<Record<string, Option>>;
  readonly folder?: string;
}): Client {
  const binding = loadBinding(request.folder);
  const plugin = calling(`the plugin ${request.path}`, () => binding.loadPlugin(request.path));
  const client = calling(`the plugin ${request.path} gives no device`, () =>
    binding.createClient(plugin.handle, request.options ?? {}),
  );
  const { handle } = client;
  const copied = { toDevice: 0, fromDevice: 0 };
  const adopted: Adopt = (device, made) => bufferOf(binding, device, made, copied);
  return {
    platform: client.platform,
    platformVersion: client.platformVersion,
    devices: client.devices.map(({ kind }) => kind),
    plugin: { version: `${plugin.major}.${plugin.minor}`, attributes: plugin.attributes },
    compile({ what, code, format = 'mlir', options = {} }) {
      const bytes = typeof code === 'string' ? Buffer.from(code) : code;
      return programOf(binding, adopted, what, () =>
        binding.compile(handle, bytes, format, compileOptions(options)),
      );
    },
    load: (what, bytes) => programOf(binding, adopted, what, () => binding.load(handle, bytes)),
    upload(array, type, shape, device = 0) {
      const made = calling('an array does not get to the device', () =>
        binding.upload(handle, device, array, TYPES[type], shape),
      );
      copied.toDevice += array.byteLength;
      return adopted(device, made);
    },
    copied: () => ({ ...copied }),
    memory(device = 0) {
      try {
        return binding.memoryStatistics(handle, device);
      } catch (caught) {
        if ((caught as { code?: string }).code === 'UNIMPLEMENTED') return null;
        throw caught;
      }
    },
  };
}

const handles = new WeakMap<DeviceBuffer, Handle>();

type Adopt = (device: number, handle: Handle) => DeviceBuffer;

function bufferOf(
  binding: PjrtBinding,
  device: number,
  handle: Handle,
  copied: { fromDevice: number },
): DeviceBuffer {
  const buffer: DeviceBuffer = {
    device,
    read(into) {
      calling('an array does not come from the device', () => binding.download(handle, into));
      copied.fromDevice += into.byteLength;
    },
    free: () => binding.free(handle),
  };
  handles.set(buffer, handle);
  return buffer;
}

function programOf(binding: PjrtBinding, adopted: Adopt, what: string, make: () => Handle): Program {
  const handle = calling(`the plugin does not compile ${what}`, make);
  const { outputs, ...bytes } = calling(`the plugin does not describe ${what}`, () =>
    binding.describe(handle),
  );
  const runAll = (lists: readonly (readonly DeviceBuffer[])[]) => {
    const launches = lists.map((inputs) => ({
      device: inputs[0]?.device ?? 0,
      inputs: inputs.map((input) => handles.get(input)!),
    }));
    const results = calling(`${what} does not run`, () => binding.run(handle, launches));
    return results.map((list, launch) => list.map((output) => adopted(launches[launch]!.device, output)));
  };
  return {
    outputs: outputs.map(({ type, shape }) => ({ type: elementType(type, what), shape })),
    bytes: {
      arguments: bytes.argumentBytes,
      outputs: bytes.outputBytes,
      aliased: bytes.aliasedBytes,
      temporary: bytes.temporaryBytes,
    },
    run: (inputs) => runAll([inputs])[0]!,
    runAll,
    serialize: () => calling(`the plugin does not serialise ${what}`, () => binding.serialize(handle)),
    free: () => binding.free(handle),
  };
}

function elementType(number: number, what: string): ElementType {
  const found = Object.entries(TYPES).find(([, value]) => value === number);
  if (found !== undefined) return found[0] as ElementType;
  throw new FleetError(
    'unimplemented',
    `${what} has an output of PJRT's type ${number}, which is not carried`,
  );
}

/** The message that a plugin takes: one replica for one device, no device in particular. */
function compileOptions(options: Readonly<Record<string, Option>>): Uint8Array {
  return CompileOptions.encode({
    executableBuildOptions: { numReplicas: 1, numPartitions: 1 },
    compilePortableExecutable: true,
    envOptionOverrides: Object.fromEntries(
      Object.entries(options).map(([name, value]) => [name, { value: optionValue(value) }]),
    ),
  }).finish();
}

function optionValue(value: Option) {
  if (typeof value === 'string') return { $case: 'stringField' as const, value };
  if (typeof value === 'boolean') return { $case: 'boolField' as const, value };
  return Number.isInteger(value)
    ? { $case: 'intField' as const, value }
    : { $case: 'doubleField' as const, value };
}
