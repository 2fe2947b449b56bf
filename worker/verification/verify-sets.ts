// Verifies an embedder on benchmarks: a `.bin` of pairs, an IJB-B or IJB-C folder, a MegaFace folder. Decides
// which of them a path is and in which order its images are embedded.

import { stat } from 'node:fs/promises';
import { type IjbFace, type IjbSet, openIjb } from '../../core/data/benchmarks/ijb.ts';
import { type MegafaceSet, openMegaface } from '../../core/data/benchmarks/megaface.ts';
import { readVerificationBin } from '../../core/data/benchmarks/verification-bin.ts';
import { readImage } from '../../core/data/images/image.ts';
import { FleetError, toFleetError } from '../../core/errors.ts';
import { countMemberships, createTemplates, scorePairs, tarNearestFar } from '../../core/verify/ijb.ts';
import { createMegaface, marked, replaceNoisyProbes } from '../../core/verify/megaface.ts';
import {
  type IjbReport,
  type MegafaceReport,
  type PairReport,
  pairReport,
  type SetReport,
} from '../../core/verify/report.ts';
import { unitSums } from '../../core/verify/roc.ts';
import type { Embedder } from './embedder.ts';

export interface NamedSet {
  readonly name: string;
  readonly path: string;
}

/** Called as images are done. */
export type OnProgress = (done: number, total: number) => void;

export async function verifySet(
  embedder: Embedder,
  { name, path }: NamedSet,
  progress: OnProgress,
): Promise<SetReport> {
  const found = await stat(path).catch((caught: unknown) => {
    throw toFleetError(caught, `set ${name}: ${path}`);
  });
  if (!found.isDirectory()) return verifyPairs(embedder, { name, path }, progress);
  const ijb = await openIjb(path);
  if (ijb !== undefined) return verifyIjb(embedder, ijb, name, progress);
  const megaface = await openMegaface(path);
  if (megaface !== undefined) return verifyMegaface(embedder, megaface, name, progress);
  throw new FleetError(
    'invalidArgument',
    `set ${name}: folder ${path} is neither IJB (meta/ijbc_face_tid_mid.txt) nor MegaFace (facescrub_lst)`,
  );
}

async function verifyPairs(
  embedder: Embedder,
  { name, path }: NamedSet,
  progress: OnProgress,
): Promise<PairReport> {
  const { images, same } = await readVerificationBin(path);
  const { size } = embedder;
  const embeddings = new Float32Array(images.length * size);
  const flippedEmbeddings = new Float32Array(embeddings.length);
  const read = (index: number, into: Uint8Array) =>
    readImage(images[index]!, into).catch((caught: unknown) => {
      throw toFleetError(caught, `${path}: image ${index}`);
    });
  for await (const { from, count, plain, flipped } of embedder.embed(images.length, read)) {
    embeddings.set(plain, from * size);
    flippedEmbeddings.set(flipped, from * size);
    progress(from + count, images.length);
  }
  return pairReport({ name, embeddings, flippedEmbeddings, size, same });
}

/** False accept rates of the plotted curve, in equal steps of the logarithm. */
const CURVE_FARS = Array.from({ length: 121 }, (_, i) => 10 ** (i / 20 - 6));
/** Faces read ahead of the embedder; their landmarks are all that is held. */
const IJB_WINDOW = 4096;

async function verifyIjb(
  embedder: Embedder,
  set: IjbSet,
  name: string,
  progress: OnProgress,
): Promise<IjbReport> {
  const memberships = await countMemberships(set.memberships());
  const builder = createTemplates(memberships, embedder.size);
  let total = 0;
  for (const media of memberships.counts.values()) for (const faces of media.values()) total += faces;
  let done = 0;
  for await (const window of inWindows(set.faces(), IJB_WINDOW)) {
    const read = (index: number, into: Uint8Array) => set.readAligned(window[index]!, into);
    for await (const batch of embedder.embed(window.length, read)) {
      addFaces(builder.add, window, batch, embedder.size);
      done += batch.count;
      progress(done, total);
    }
  }
  const templates = builder.finish();
  const scores = await scorePairs(templates, set.pairs());
  const curve = tarNearestFar(scores, CURVE_FARS);
  return {
    kind: 'ijb',
    name,
    set: set.kind,
    faces: total,
    templates: templates.rows.size,
    genuinePairs: scores.genuine.length,
    impostorPairs: scores.impostor.length,
    tarAtFar: tarNearestFar(scores),
    fpr: curve.map((point) => point.far),
    tpr: curve.map((point) => point.tar),
  };
}

function addFaces(
  add: (face: IjbFace, feature: Float32Array) => void,
  window: readonly IjbFace[],
  batch: { from: number; count: number; plain: Float32Array; flipped: Float32Array },
  size: number,
): void {
  for (let i = 0; i < batch.count; i++) {
    const row = batch.plain.slice(i * size, (i + 1) * size);
    for (let k = 0; k < size; k++) row[k]! += batch.flipped[i * size + k]!;
    add(window[batch.from + i]!, row);
  }
}

async function verifyMegaface(
  embedder: Embedder,
  set: MegafaceSet,
  name: string,
  progress: OnProgress,
): Promise<MegafaceReport> {
  const { probes, distractors, noise } = set;
  const total = probes.length + distractors;
  const people = probes.map((probe) => probe.person);
  const units = (
    count: number,
    read: (index: number) => Promise<Uint8Array>,
    done: (count: number) => void,
  ) => unitFeatures(embedder, count, read, done);
  const features = await collect(
    units(
      probes.length,
      (i) => set.readProbe(probes[i]!.path),
      (done) => progress(done, total),
    ),
  );
  const { size } = embedder;
  const raw = createMegaface({ probes: features, size, people, distractors });
  const refined = noise && createMegaface(refinedProbes({ features, size, people, distractors, set }));
  let done = probes.length;
  for await (const paths of set.distractorPaths()) {
    const before = done;
    let at = 0;
    const read = (i: number) => set.readDistractor(paths[i]!);
    for await (const batch of units(paths.length, read, (count) => progress(before + count, total))) {
      raw.addDistractors(batch);
      for (let i = 0; refined !== undefined && i < batch.length; i += size)
        refined.addDistractors(marked(batch.subarray(i, i + size), noise!.distractor(paths[at + i / size]!)));
      at += batch.length / size;
    }
    done += paths.length;
  }
  return {
    kind: 'megaface',
    name,
    probes: probes.length,
    distractors,
    result: raw.finish(),
    refined: refined?.finish(),
  };
}

/** Seed of the noise that replaces noisy probes; fixed, so that two evaluations agree. */
const NOISE_SEED = 1;

function refinedProbes(options: {
  features: Float32Array;
  size: number;
  people: readonly string[];
  distractors: number;
  set: MegafaceSet;
}) {
  const { features, size, people, distractors, set } = options;
  const noisy = set.probes.map((probe) => set.noise?.probe(probe.path) ?? false);
  const replaced = replaceNoisyProbes({ features, size, people, noisy, seed: NOISE_SEED });
  const longer = new Float32Array(people.length * (size + 1));
  people.forEach((_, i) => {
    longer.set(marked(replaced.subarray(i * size, (i + 1) * size), false), i * (size + 1));
  });
  return { probes: longer, size: size + 1, people, distractors };
}

/** Unit sums of image and mirror image, batch by batch. */
async function* unitFeatures(
  embedder: Embedder,
  count: number,
  bytesOf: (index: number) => Promise<Uint8Array>,
  done: (count: number) => void,
): AsyncGenerator<Float32Array> {
  const read = async (index: number, into: Uint8Array) => readImage(await bytesOf(index), into);
  for await (const batch of embedder.embed(count, read)) {
    yield Float32Array.from(unitSums(batch.plain, batch.flipped, embedder.size));
    done(batch.from + batch.count);
  }
}

async function collect(batches: AsyncIterable<Float32Array>): Promise<Float32Array> {
  const all: Float32Array[] = [];
  for await (const batch of batches) all.push(batch);
  const joined = new Float32Array(all.reduce((sum, batch) => sum + batch.length, 0));
  let at = 0;
  for (const batch of all) {
    joined.set(batch, at);
    at += batch.length;
  }
  return joined;
}

async function* inWindows<T>(items: AsyncIterable<T>, size: number): AsyncGenerator<readonly T[]> {
  let window: T[] = [];
  for await (const item of items) {
    window.push(item);
    if (window.length < size) continue;
    yield window;
    window = [];
  }
  if (window.length > 0) yield window;
}
