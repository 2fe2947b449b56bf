// What lies at the broker and in the caches of a machine: manifests with their checkpoints, records, reports.

import { createHash } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { factsMetadata } from '../../../core/checkpoint/checkpoint.ts';
import { layoutOfState, piecesOf, VALUE_PARTS } from '../../../core/checkpoint/checkpoint-layout.ts';
import { loadCheckpoint, loadNetwork } from '../../../core/checkpoint/checkpoint-store.ts';
import { bytesOf } from '../../../core/checkpoint/chunks.ts';
import { readEvaluation } from '../../../core/checkpoint/evaluation.ts';
import {
  contentDigest,
  type Manifest,
  manifestOf,
  manifestText,
  type Offered,
  partDigest,
} from '../../../core/checkpoint/manifest.ts';
import type { ArtefactStore } from '../../../core/checkpoint/store.ts';
import { createDataCache } from '../../../core/data/inspection/data-cache.ts';
import { digest64, sha256Hex } from '../../../core/digest.ts';
import { FleetError } from '../../../core/errors.ts';
import { encodeBatch, lineRecord, linesIn, pointRecord, pointsIn } from '../../../core/net/record-batch.ts';
import type { RandomStream } from '../../../core/rng.ts';
import type { BlockForm } from '../../../core/spec/distillation.ts';
import { EvaluationReport } from '../../../proto/gen/pocketfleet/v1/fleet.ts';
import { readBlock } from '../../../worker/run/block-stream.ts';
import { encodeBlock, roundedBlock } from '../../../worker/training/block-form.ts';
import { decodeRows, encodeRows } from '../../../worker/training/row-message.ts';
import { hostileValue } from '../mutators.ts';
import type { Sections, Target } from '../target.ts';

const STATE = ['weights', 'momentum', 'running'].map((name, i) => ({
  name,
  values: Float32Array.from({ length: i === 2 ? 6 : 12 }, (_, n) => n / 8),
}));

function manifestBytes(): Buffer {
  const layout = layoutOfState(STATE, 8);
  const facts = {
    spec: { kind: 'teacher' },
    network: { kind: 'mobilefacenet' },
    preprocessing: {},
    ...{ step: 8, epoch: 1, stage: 1, deviceClass: 'cpu' },
  };
  const digests = { weights: digest64(STATE[0]!.values), state: digest64(STATE[1]!.values) };
  const metadata = { ...factsMetadata(facts, digests), layout: JSON.stringify(layout) };
  const parts = VALUE_PARTS.map((name) => {
    const bytes = Buffer.concat(piecesOf(layout[name], STATE));
    const chunks = [sha256Hex(bytes)];
    return { name, bytes: bytes.length, chunkBytes: 524_288, digest: partDigest(chunks), chunks };
  });
  const digest = contentDigest({ metadata, parts });
  return Buffer.from(manifestText({ digest, metadata, parts }));
}

const blobManifest = (): Buffer =>
  Buffer.from(JSON.stringify({ digest: 'a'.repeat(64), bytes: 100, chunkBytes: 64, metadata: {} }));

function entryOf(bytes: Uint8Array) {
  const value = Buffer.from(bytes);
  const key = 'checkpoint.run-1.1';
  const json = <T>() => JSON.parse(value.toString('utf8')) as T;
  return { key, revision: 3, value, created: new Date(0), json };
}

/** A store in which every part is there, as long as its manifest claims, and filled with zeros. */
const store = {
  async readPart({ manifest, part, into }: Parameters<ArtefactStore['readPart']>[0]) {
    const bytes = manifest.parts.find(({ name }) => name === part)?.bytes;
    if (bytes !== bytesOf(into)) throw new FleetError('dataLoss', `part has ${bytes} bytes`);
  },
  async getPart(manifest: Manifest, part: string) {
    const bytes = manifest.parts.find(({ name }) => name === part)?.bytes;
    if (bytes === undefined || bytes > 1000) throw new FleetError('dataLoss', 'the part is not stored');
    return new Uint8Array(new SharedArrayBuffer(bytes));
  },
} as unknown as ArtefactStore;

/** A manifest with another value somewhere, whose digests are right again. */
function signed(random: RandomStream, corpus: readonly Sections[]): Sections {
  const [bytes = new Uint8Array()] = corpus[0]!;
  let value = JSON.parse(Buffer.from(bytes).toString('utf8')) as Offered & { layout?: string };
  if (random.chance(0.5)) {
    const layout = hostileValue(random, JSON.parse(value.metadata.layout!));
    value = { ...value, metadata: { ...value.metadata, layout: JSON.stringify(layout) } };
  } else value = hostileValue(random, value) as typeof value;
  try {
    return [Buffer.from(JSON.stringify({ ...value, digest: contentDigest(value) }))];
  } catch {
    return [Buffer.from(JSON.stringify(value) ?? '')];
  }
}

const manifest: Target = {
  name: 'checkpoint',
  decoders: [
    'core/checkpoint/manifest.ts',
    'core/checkpoint/checkpoint.ts',
    'core/checkpoint/checkpoint-layout.ts',
    'core/checkpoint/checkpoint-store.ts',
  ],
  corpus: () => [[manifestBytes()], [blobManifest()]],
  compose: signed,
  async decode([bytes]) {
    const found = manifestOf('manifests', entryOf(bytes!));
    if (found.form === 'blob') return;
    await loadCheckpoint(store, found);
    await loadNetwork(store, found, () => 8);
  },
  cases: 100,
  charsMax: 4_000,
};

const point = { step: 7, atMs: 12.5, loss: 1.5, learningRate: 0.1, weightsDigest: '0011' };
const logLine = { sequence: 1, atMs: 3, workerId: 'w1', runId: 'run-1', level: 'info', text: 'a line' };

const batches: Target = {
  name: 'record-batches',
  decoders: ['core/net/record-batch.ts', 'core/protobuf.ts', 'core/checkpoint/evaluation.ts'],
  corpus: () => [
    [encodeBatch([pointRecord(point as never), pointRecord({ ...point, step: 8 } as never)])],
    [encodeBatch([lineRecord('a', logLine), lineRecord('b', logLine)])],
    [EvaluationReport.encode(EvaluationReport.fromPartial({ runId: 'run-1' } as never)).finish()],
  ],
  async decode([bytes]) {
    const parts = { getPart: async () => bytes! };
    const key = 'evaluation.run-1.1';
    const faults: unknown[] = [];
    // The bytes of each kind are given to all readers, and one of them must take the bytes of the corpus.
    for (const read of [
      () => pointsIn(bytes!).map((point) => encodeBatch([pointRecord(point)])),
      () => linesIn(bytes!).map((line, i) => encodeBatch([lineRecord(String(i), line)])),
      () => readEvaluation(parts, { form: 'parts', key } as Manifest),
    ])
      try {
        await read();
      } catch (caught) {
        if (!(caught instanceof FleetError)) throw caught;
        faults.push(caught);
      }
    if (faults.length === 3) throw faults[0];
  },
  cases: 150,
};

const cacheKey = 'c'.repeat(64);
const entryPath = (folder: string): string => join(folder, `${cacheKey}.data`);

const cache: Target = {
  name: 'data-cache',
  decoders: ['core/data/inspection/data-cache.ts'],
  corpus() {
    const folder = mkdtempSync(join(tmpdir(), 'pocketfleet-fuzz-'));
    try {
      createDataCache(folder).write(cacheKey, { format: 'records 1' }, [
        Float64Array.of(1, 2),
        new Int32Array(3),
      ]);
      return [[readFileSync(entryPath(folder))]];
    } finally {
      rmSync(folder, { recursive: true });
    }
  },
  // A head of any kind with the right length and digest.
  compose(random, corpus) {
    const bytes = Buffer.from(corpus[0]![0]!);
    const magic = bytes.indexOf('{') - 4;
    const end = magic + 4 + bytes.readUInt32LE(magic);
    const head = hostileValue(random, JSON.parse(bytes.toString('utf8', magic + 4, end)));
    const text = Buffer.from(JSON.stringify(head) ?? '');
    const length = Buffer.alloc(4);
    length.writeUInt32LE(text.length);
    const body = Buffer.concat([bytes.subarray(0, magic), length, text, bytes.subarray(end, -32)]);
    return [Buffer.concat([body, createHash('sha256').update(body).digest()])];
  },
  decode([bytes], scratch) {
    writeFileSync(entryPath(scratch), bytes!);
    createDataCache(scratch).read(cacheKey);
  },
};

const ROWS = roundedBlock(Float32Array.of(1 / 3, -7, 0.001, 5), 4, 'float16');

/** A block of four values: what its headers say of device, digest and form, and its bytes. */
function blockMessage(form: BlockForm): Sections {
  const { bytes, form: found } = encodeBlock(ROWS, form);
  return [...['any', sha256Hex(bytes), found].map((text) => Buffer.from(text)), bytes];
}

const blocks: Target = {
  name: 'embedding-block',
  decoders: ['core/half-floats.ts', 'worker/training/block-form.ts', 'worker/run/block-stream.ts'],
  corpus: () => [blockMessage('float32'), blockMessage('float16')],
  // Other values, and sometimes another length, whose digest is right again.
  compose(random, corpus) {
    const [device, , form, bytes] = corpus[random.integer(2)]!;
    const length = bytes!.length + (random.chance(0.2) ? 1 : 0);
    const values = Uint8Array.from({ length }, () => random.integer(256));
    return [device!, Buffer.from(sha256Hex(values)), form!, values];
  },
  decode([device, digest, form, bytes]) {
    const text = (part: Uint8Array | undefined) => Buffer.from(part ?? []).toString('utf8');
    const head = { device: text(device), digest: text(digest), form: text(form) };
    const found = (['float32', 'float16'] as const).map((asked) => {
      const values = readBlock(bytes!, head, { device: 'any', form: asked, length: ROWS.length });
      if (typeof values !== 'string') encodeBlock(roundedBlock(values, 4, asked), asked);
      return values;
    });
    const [exact, half] = found;
    if (typeof half === 'string') throw new FleetError('dataLoss', half);
    if (head.form === 'float16' && typeof exact !== 'string')
      throw new Error('assertion: a stream of float32 took a block of float16');
  },
  cases: 150,
};

const ROWS_SIZE = { images: 3, flips: 2, embedding: 4 } as const;

const rows: Target = {
  name: 'embedding-rows',
  decoders: ['worker/training/row-message.ts'],
  corpus: () => [
    [encodeRows([{ image: 1, isMirrored: true, values: ROWS }], ROWS_SIZE)],
    [
      encodeRows(
        [0, 2].map((image) => ({ image, isMirrored: false, values: ROWS })),
        ROWS_SIZE,
      ),
    ],
  ],
  // Rows of images that may not be there, whose digest is right.
  compose: (random) => [
    encodeRows(
      Array.from({ length: 1 + random.integer(3) }, () => ({
        ...{ image: random.integer(5), isMirrored: random.chance(0.5) },
        values: Float32Array.from({ length: 4 }, () => random.normal()),
      })),
      ROWS_SIZE,
    ),
  ],
  decode([bytes]) {
    const found = decodeRows(bytes!, ROWS_SIZE);
    if (typeof found === 'string') throw new FleetError('dataLoss', found);
    for (const { image, values } of found)
      if (image >= ROWS_SIZE.images || values.length !== ROWS_SIZE.embedding)
        throw new Error(`assertion: image ${image} with ${values.length} values`);
    encodeRows(found, ROWS_SIZE);
  },
  cases: 150,
};

export const storedTargets: readonly Target[] = [manifest, batches, cache, blocks, rows];
