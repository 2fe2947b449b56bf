// Model files of strangers, and checkpoints as earlier releases stored them.

import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { zipSync } from 'fflate';
import { decodeBlob } from '../../../core/checkpoint/blob.ts';
import { readModel } from '../../../core/model/export.ts';
import { importModel, inspectModel, modelFile } from '../../../core/model/import.ts';
import { readSafetensors, writeSafetensors } from '../../../core/model/safetensors.ts';
import { openStateFile } from '../../../core/model/state-file.ts';
import type { RandomStream } from '../../../core/rng.ts';
import { hostileValue, mutated } from '../mutators.ts';
import { anyPickle } from '../pickles.ts';
import { smallModel } from '../small-model.ts';
import type { Sections, Target } from '../target.ts';

const FIXTURES = new URL('../../fixtures/', import.meta.url);
const fixture = (name: string): Sections => [readFileSync(new URL(name, FIXTURES))];

const exported = (): Sections => [smallModel()];

/** Another header in front of the same data, with its right length. */
function otherHeader(random: RandomStream, corpus: readonly Sections[]): Sections {
  const [bytes = new Uint8Array()] = corpus[random.integer(corpus.length)]!;
  const file = Buffer.from(bytes);
  const headerBytes = Number(file.readBigUInt64LE(0));
  let header: unknown = JSON.parse(file.toString('utf8', 8, 8 + headerBytes));
  for (let left = 1 + random.integer(3); left > 0; left--) header = hostileValue(random, header);
  const text = Buffer.from(JSON.stringify(header) ?? '');
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(text.length));
  return [Buffer.concat([length, text, file.subarray(8 + headerBytes)])];
}

const safetensors: Target = {
  name: 'safetensors',
  decoders: ['core/model/safetensors.ts', 'core/model/export.ts'],
  corpus: () => [exported(), fixture('checkpoint/sgd-v1.safetensors')],
  compose: otherHeader,
  decode([bytes]) {
    const { tensors, metadata } = readSafetensors(bytes!);
    readSafetensors(writeSafetensors(tensors, metadata));
    if (metadata.network !== undefined) readModel(bytes!, 'a file');
  },
};

const checkpointBlob: Target = {
  name: 'checkpoint-blob',
  decoders: ['core/checkpoint/blob.ts', 'core/checkpoint/checkpoint.ts'],
  corpus: () => [fixture('checkpoint/sgd-v1.safetensors')],
  compose: otherHeader,
  decode: ([bytes]) => decodeBlob(bytes!),
  cases: 100,
};

async function imported([bytes]: Sections, scratch: string): Promise<void> {
  const path = join(scratch, 'model');
  writeFileSync(path, bytes!);
  await inspectModel(path);
  modelFile(await importModel(path));
}

const modelFileTarget: Target = {
  name: 'model-safetensors',
  cases: 15,
  decoders: ['core/model/state-file.ts', 'core/model/import.ts', 'core/model/recognise.ts'],
  corpus: () => [exported()],
  compose: otherHeader,
  decode: imported,
};

/** All tensors of a file. */
async function allTensors([bytes]: Sections, scratch: string): Promise<void> {
  const path = join(scratch, 'model');
  writeFileSync(path, bytes!);
  const file = await openStateFile(path);
  try {
    for (const tensor of file.tensors.values()) await tensor.read();
  } finally {
    await file.close();
  }
}

/** Files that are refused (a whole module) and one that is large. */
const NO_BEGINNING: readonly string[] = ['module.pth', 'pocketnet-tiny.pth'];

const pytorchFiles = (): Sections[] =>
  readdirSync(new URL('pytorch/', FIXTURES))
    .filter((name) => name.endsWith('.pth') && !NO_BEGINNING.includes(name))
    .map((name) => fixture(`pytorch/${name}`));

const pth: Target = {
  name: 'pth',
  cases: 15,
  decoders: [
    'core/model/pth.ts',
    'core/model/torch-pickle.ts',
    'core/model/zip.ts',
    'core/pickle-machine.ts',
  ],
  corpus: pytorchFiles,
  // A zip as torch.save writes it, with a pickle that nobody wrote.
  compose: (random) => [
    zipSync(
      { 'a/data.pkl': anyPickle(random), 'a/data/0': new Uint8Array(32), 'a/version': Buffer.from('3\n') },
      { level: random.chance(0.5) ? 0 : 6 },
    ),
  ],
  decode: allTensors,
  // A member may be deflated, and a pickle of 64 MiB is taken.
  memory: { times: 64, plus: 192 << 20 },
};

const pthLegacy: Target = {
  name: 'pth-legacy',
  cases: 15,
  decoders: ['core/model/pth.ts'],
  corpus: () => pytorchFiles().filter(([bytes]) => bytes![0] !== 0x50),
  compose: (random, corpus) => {
    const [bytes = new Uint8Array()] = mutated(random, corpus);
    // Behind magic number and version come pickles of any kind.
    const head = Buffer.from('80028a0a6cfc9c46f9206aa850192e8002 4de9032e'.replace(' ', ''), 'hex');
    const pickles = [anyPickle(random), anyPickle(random), anyPickle(random)];
    return [Buffer.concat([head, ...pickles, bytes.subarray(0, 64)])];
  },
  decode: allTensors,
};

export const modelTargets: readonly Target[] = [safetensors, checkpointBlob, modelFileTarget, pth, pthLegacy];
