// A plugin of PJRT as an engine: graphs are lowered to StableHLO, compiled by the vendor's compiler for devices
// of the plugin's client, and run there. Vectors that are kept stay, one replica on each device; the others travel with
// each run. Whatever a run was fed or returned on a device is freed when the run ends, but for what it leaves there for
// its caller. Runs are on the first device unless they name theirs; modules run where their vectors are.

import { FleetError } from '../../errors.ts';
import type { DeviceBuffer, ElementType, Program } from '../pjrt/client.ts';
import type { GraphInput } from '../recording/record.ts';
import {
  type Begun,
  type CompiledGraph,
  checkEngineInputs,
  type Engine,
  type EngineInput,
  isArray,
  type Resident,
  type TwoPartGraph,
  type TwoPartOptions,
} from './engine.ts';
import { type CompileOptions, obtainGraph } from './obtain.ts';
import { readModules, recordForPjrt, saveParts, saveWhole } from './pjrt-modules.ts';
import { obtainProgram, type ProgramPlace } from './pjrt-programs.ts';
import { createResidents } from './pjrt-residents.ts';
import { checkArrays, checkInputs } from './session.ts';

/** Where and how an engine computes. */
export interface PjrtPlace extends ProgramPlace {
  /** Numbers of the devices among the client's, all of one kind; at least one. */
  readonly devices: readonly number[];
}

const ELEMENTS = { float32: 'f32', int32: 'i32', uint8: 'ui8' } as const;

/** Several engines may share a client. */
export function createPjrtEngine(place: PjrtPlace): Engine {
  const { client, devices } = place;
  const residents = createResidents();

  /**
   * The first output of each run as a vector at the place of that run; the other outputs go to those that are freed.
   */
  const adoptFirst = (
    results: readonly (readonly DeviceBuffer[])[],
    of: {
      readonly places: readonly number[];
      readonly shape: readonly number[];
      readonly own: DeviceBuffer[];
    },
  ): Resident[] =>
    results.map(([first, ...others], run) => {
      of.own.push(...others);
      return residents.adopt(new Map([[of.places[run]!, first!]]), elementsOf(of.shape));
    });

  /** Uploads what lies on the host. What is uploaded is also put on the list `own`. `at`: place among the devices. */
  const feed: Feed = (declared, inputs, own, at = 0) =>
    inputs.map((input, index): DeviceBuffer => {
      if (!isArray(input)) return residents.bufferAt(input, at);
      const { dtype, shape } = declared[index]!;
      const buffer = client.upload(input, ELEMENTS[dtype], shape, devices[at]);
      own.push(buffer);
      return buffer;
    });

  return {
    name: 'pjrt',
    devices: devices.length,
    compile(options) {
      const { inputs, cacheDir, precision = 'float32' } = options;
      checkInputs(inputs);
      return obtainGraph(options, {
        name: `pjrt ${precision}`,
        record: recordForPjrt,
        save: (recording) => saveWhole(recording, precision),
        load(stored, recorded): CompiledGraph {
          const [module] = readModules(stored);
          const { nodes, digest, outputShapes } = stored.facts;
          const program = obtainProgram(place, module!, { what: nameOf(options), cacheDir });
          return {
            ...{ nodes, digest, outputShapes, inputs, recorded },
            run(given, into) {
              checkEngineInputs(inputs, given);
              return freeing((own) => {
                const outputs = program.run(feed(inputs, given, own));
                own.push(...outputs);
                return readOutputs(outputs, outputShapes, into);
              });
            },
            runPlaced(runs) {
              for (const { inputs: given } of runs) checkEngineInputs(inputs, given);
              return freeing((own) => {
                const fed = runs.map(({ inputs: given, device }) => feed(inputs, given, own, device));
                const places = runs.map(({ device }) => device);
                return adoptFirst(program.runAll(fed), { places, shape: outputShapes[0]!, own });
              });
            },
            runLeaving(given) {
              checkEngineInputs(inputs, given);
              return freeing((own) => {
                const [first, ...rest] = program.run(feed(inputs, given, own));
                own.push(...rest);
                const left = residents.adopt(new Map([[0, first!]]), elementsOf(outputShapes[0]!));
                try {
                  return { first: left, others: readOutputs(rest, outputShapes.slice(1)) };
                } catch (caught) {
                  left.free();
                  throw caught;
                }
              });
            },
            dispose: program.free,
          };
        },
      });
    },
    compileTwoPart(options) {
      const { first, inputs, cacheDir, precision = 'float32' } = options;
      checkInputs(inputs);
      return obtainGraph(options, {
        name: `pjrt ${precision} first ${first.inputs} ${first.outputs}`,
        record: recordForPjrt,
        save: (recording) => saveParts(recording, first, precision),
        load(stored, recorded): TwoPartGraph {
          const modules = readModules(stored);
          const what = nameOf(options);
          const programs = modules.map((module) => obtainProgram(place, module, { what, cacheDir }));
          const { nodes, digest, kept, outputShapes } = stored.facts;
          return {
            ...{ nodes, digest, recorded, keptBytes: kept?.bytes },
            ...twoParts({ options, programs, outputShapes, feed, keptBytes: kept?.bytes ?? 0 }),
          };
        },
      });
    },
    keep(values, only) {
      const own = new Map<number, DeviceBuffer>();
      try {
        for (const at of only === undefined ? devices.keys() : [only])
          own.set(at, client.upload(values, 'f32', [values.length], devices[at]));
      } catch (caught) {
        for (const buffer of own.values()) buffer.free();
        throw caught;
      }
      return residents.adopt(own, values.length);
    },
    compileModule(module, options) {
      const program = obtainProgram(place, module, options);
      return {
        run({ donated = [], kept = [], arrays = [] }) {
          const vectors = [...donated, ...kept];
          const places = vectors[0]!.devices;
          return freeing((own) => {
            const lists = places.map((at) => [
              ...vectors.map((vector) => residents.bufferAt(vector, at)),
              ...arrays.map((array, index) => {
                const { element, shape } = module.inputs[vectors.length + index]!;
                const buffer = client.upload(array, element as ElementType, shape, devices[at]);
                own.push(buffer);
                return buffer;
              }),
            ]);
            try {
              const results = program.runAll(lists);
              return module.outputs.map(({ shape }, index) =>
                residents.adopt(
                  new Map(results.map((outputs, list) => [places[list]!, outputs[index]!])),
                  elementsOf(shape),
                ),
              );
            } finally {
              for (const vector of donated) vector.free();
            }
          });
        },
        runPlaced(lists) {
          const places = lists.map(({ donated, kept }) => [...donated, ...kept][0]!.devices[0]!);
          return freeing((own) => {
            try {
              const results = program.runAll(
                lists.map(({ donated, kept }, list) =>
                  [...donated, ...kept].map((vector) => residents.bufferAt(vector, places[list]!)),
                ),
              );
              return adoptFirst(results, { places, shape: module.outputs[0]!.shape, own });
            } finally {
              for (const { donated } of lists) for (const vector of donated) vector.free();
            }
          });
        },
        dispose: program.free,
      };
    },
  };
}

const nameOf = ({ key }: CompileOptions): string =>
  `the graph ${key.length > 60 ? `${key.slice(0, 60)}...` : key}`;

const elementsOf = (shape: readonly number[]): number => shape.reduce((product, size) => product * size, 1);

type Feed = (
  declared: readonly GraphInput[],
  inputs: readonly EngineInput[],
  own: DeviceBuffer[],
  at?: number,
) => DeviceBuffer[];

/** Runs `use` with a list of buffers and frees those that are on it at the end, also when `use` throws. */
function freeing<T>(use: (own: DeviceBuffer[]) => T): T {
  const own: DeviceBuffer[] = [];
  try {
    return use(own);
  } finally {
    for (const buffer of own) buffer.free();
  }
}

/** Copies of outputs; the first goes into `into`, where that is given. */
function readOutputs(
  outputs: readonly DeviceBuffer[],
  shapes: readonly (readonly number[])[],
  into?: Float32Array,
): Float32Array[] {
  const values: Float32Array[] = [];
  for (const [index, output] of outputs.entries()) {
    const isPlaced = index === 0 && into !== undefined;
    const length = elementsOf(shapes[index]!);
    if (isPlaced && into.length !== length)
      throw new FleetError('internal', `the graph gave ${length} numbers where ${into.length} belong`);
    const target = isPlaced ? into : new Float32Array(length);
    output.read(target);
    if (!isPlaced) values.push(target);
  }
  return values;
}

/** A function in two parts: what the second reads of the first stays on the device in between. */
function twoParts(parts: {
  readonly options: TwoPartOptions;
  readonly programs: readonly Program[];
  readonly outputShapes: readonly (readonly number[])[];
  readonly feed: Feed;
  readonly keptBytes: number;
}): Pick<TwoPartGraph, 'begin' | 'begun' | 'dispose'> {
  const { first, inputs } = parts.options;
  const [program, rest] = parts.programs as [Program, Program];
  const known = inputs.slice(0, first.inputs);
  const late = inputs.slice(first.inputs);
  const shapes = {
    first: parts.outputShapes.slice(0, first.outputs),
    second: parts.outputShapes.slice(first.outputs),
  };
  /** What each open computation keeps; the list's identity is the computation. */
  const open = new Set<DeviceBuffer[]>();
  const closed = (kept: DeviceBuffer[]) => {
    if (!open.delete(kept)) return;
    for (const buffer of kept) buffer.free();
  };
  const begin = (given: readonly EngineInput[], keep: boolean): Begun => {
    checkEngineInputs(known, given);
    const kept: DeviceBuffer[] = [];
    /** The second part reads the known inputs too, which therefore stay as well. */
    const fed: DeviceBuffer[] = [];
    const uploaded: DeviceBuffer[] = [];
    const outputs = freeing((own) => {
      fed.push(...parts.feed(known, given, own));
      uploaded.push(...own);
      const all = program.run(fed);
      own.push(...all);
      const values = readOutputs(all.slice(0, first.outputs), shapes.first);
      if (keep) {
        kept.push(...all.slice(first.outputs));
        own.splice(0, own.length, ...all.slice(0, first.outputs));
      }
      return values;
    });
    const held = keep ? [...uploaded, ...kept] : [];
    open.add(held);
    return {
      outputs,
      kept: { tensors: kept.length, bytes: keep ? parts.keptBytes : 0 },
      finish(others, into) {
        if (!open.has(held))
          throw new FleetError(
            'failedPrecondition',
            'this computation is over: it was finished or released, or its graph was disposed',
          );
        try {
          checkArrays(late, others);
          return freeing((own) => {
            // What was not kept is computed again, with the same bits: it is the same program.
            const again = keep ? fed : parts.feed(known, given, own);
            const all = keep ? [] : program.run(again);
            own.push(...all);
            const read = keep ? kept : all.slice(first.outputs);
            const results = rest.run([...again, ...parts.feed(late, others, own), ...read]);
            own.push(...results);
            return readOutputs(results, shapes.second, into);
          });
        } finally {
          closed(held);
        }
      },
      release: () => closed(held),
    };
  };
  return {
    begin,
    begun: () => open.size,
    dispose() {
      for (const held of open) closed(held);
      program.free();
      rest.free();
    },
  };
}
