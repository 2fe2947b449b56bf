// Networks of `bench:kd` that are trained already, a file each in a folder, so that a benchmark of an hour goes on where
// it was stopped, and further seeds cost only themselves. Decides when a kept network stands for one that would be
// trained: when everything that its bits follow from is equal.

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { sha256Hex } from '../../core/digest.ts';
import { FleetError } from '../../core/errors.ts';
import { sharedFloats } from '../../core/shared-memory.ts';
import { canonicalJson } from '../../core/spec/canonical-json.ts';
import { dataKeyOf } from '../../core/spec/data-key.ts';
import type { RunSpec } from '../../core/spec/run.ts';
import { folderDigest } from '../../core/system/folder-digest.ts';
import { PACKAGE_ROOT } from '../../core/system/places.ts';
import type { TrainedNetwork } from '../train-here.ts';
import { textIfThere, writeWhole } from '../whole-file.ts';
import type { Reached } from './setting.ts';

/** A trained network: what it reached, and the networks of its stages where students learn from it. */
export interface KeptNetwork {
  /** At the end of each stage that was verified; the last one is that of the trained network. */
  readonly reached: readonly Reached[];
  /** From stage 1; empty for students. */
  readonly stages: readonly TrainedNetwork[];
}

/** What a network's bits follow from. */
export interface KeptKey {
  readonly spec: RunSpec;
  /** SHA-256 of the content of the data, hex. */
  readonly digest: string;
  /** The device class, and the digest of the code that trains. */
  readonly device: string;
  readonly code: string;
  /** Of a student of a teacher. */
  readonly teacher: KeptKey | undefined;
}

/** Where trained networks are kept. */
export interface Keeper {
  /** Undefined where there is none. Throws `dataLoss` for a file that is none of these. */
  find(key: KeptKey): KeptNetwork | undefined;
  keep(key: KeptKey, network: KeptNetwork): void;
}

/** Keeps nothing. */
export const nothingKept: Keeper = { find: () => undefined, keep: () => undefined };

/** Keeps in a folder, which is made when the first network is kept. */
export function keepIn(folder: string): Keeper {
  const pathOf = (key: KeptKey) => join(folder, `${nameOf(key)}.json`);
  return {
    find(key) {
      const text = textIfThere(pathOf(key));
      return text === undefined ? undefined : networkOf(text, pathOf(key));
    },
    keep(key, { reached, stages }) {
      const text = JSON.stringify({
        ...{ name: key.spec.name, seed: key.spec.training.seed, reached },
        stages: stages.map(({ weights, running }) => [textOfFloats(weights), textOfFloats(running)]),
      });
      writeWhole(pathOf(key), text);
    },
  };
}

function nameOf({ spec: { data, ...spec }, digest, device, code, teacher }: KeptKey): string {
  const of = { spec, data: dataKeyOf({ data, digest }), device, code };
  return sha256Hex(canonicalJson(teacher === undefined ? of : { ...of, teacher: nameOf(teacher) }));
}

function networkOf(text: string, path: string): KeptNetwork {
  try {
    const { reached, stages } = JSON.parse(text) as {
      reached: readonly Reached[];
      stages: readonly (readonly [string, string])[];
    };
    return {
      reached,
      stages: stages.map(([weights, running]) => ({
        weights: floatsOf(weights),
        running: floatsOf(running),
      })),
    };
  } catch (cause) {
    throw new FleetError(
      'dataLoss',
      `${path} is no network of bench:kd; remove it to train the network anew`,
      {
        cause,
      },
    );
  }
}

const textOfFloats = (values: Float32Array): string =>
  Buffer.from(values.buffer, values.byteOffset, values.byteLength).toString('base64');

/** In memory that the compute thread shares. */
function floatsOf(text: string): Float32Array {
  const bytes = Buffer.from(text, 'base64');
  const values = sharedFloats(bytes.length / Float32Array.BYTES_PER_ELEMENT);
  new Uint8Array(values.buffer).set(bytes);
  return values;
}

/** Digest of the sources that train and verify here; comments count, since no list of what decides bits is complete. */
export function codeDigest(): string {
  const folders = ['core', 'worker'].map((name) =>
    folderDigest(join(PACKAGE_ROOT, name), /\.(ts|cc|h|inc)$/),
  );
  const files = ['bench/kd/arms.ts', 'bench/train-here.ts'].map((name) =>
    sha256Hex(readFileSync(join(PACKAGE_ROOT, name))),
  );
  return sha256Hex([...folders, ...files].join('\n'));
}
