// The class ranges that InsightFace's packs carry (reference 6.4): behind the images one record an identity, whose two labels are
// the first key of its images and the key after the last. Decides whether they can be believed: they must cover all images in
// order, and a sample of the images must carry the class that they imply. What they save is reading a file of many gigabytes for
// its labels; an image that contradicts them is found when it is read (record-set.ts).

import type { Pace } from './pace.ts';
import type { RecordFile } from './recordio.ts';

/** Identities of which the first and the last image are looked at. */
const SAMPLED = 2048;

/** `images`: keys first..first+images-1, one after the other. `identities`: offsets of the records behind them, by key. */
export async function labelsFromIdentities(options: {
  readonly file: RecordFile;
  readonly firstKey: number;
  readonly imageOffsets: Float64Array;
  readonly identityOffsets: Float64Array;
  readonly pace: Pace;
}): Promise<Int32Array | undefined> {
  const { file, firstKey, imageOffsets, identityOffsets, pace } = options;
  const size = imageOffsets.length;
  // A float32 holds no key beyond: the ranges would be off by one here and there.
  if (identityOffsets.length === 0 || firstKey + size > 2 ** 24) return undefined;
  const labels = new Int32Array(new SharedArrayBuffer(size * 4));
  const firsts = new Float64Array(identityOffsets.length);
  let at = 0;
  for (let identity = 0; identity < identityOffsets.length; identity++) {
    const header = await file.readHeaderAt(identityOffsets[identity]!).catch(() => undefined);
    const [from, to] = header?.labels ?? [];
    if (header === undefined || header.headerFlag !== 2 || from !== firstKey + at || to === undefined)
      return undefined;
    if (!(to > from && to <= firstKey + size)) return undefined;
    firsts[identity] = at;
    labels.fill(identity, at, to - firstKey);
    at = to - firstKey;
    await pace.step({
      doing: 'reading identities',
      done: identity,
      total: firsts.length,
      unit: 'identities',
    });
  }
  if (at !== size) return undefined;
  const stride = Math.max(1, firsts.length / SAMPLED);
  for (let n = 0; n < firsts.length; n += stride) {
    const identity = Math.floor(n);
    const last = (firsts[identity + 1] ?? size) - 1;
    for (const index of [firsts[identity]!, last]) {
      const header = await file.readHeaderAt(imageOffsets[index]!).catch(() => undefined);
      if (header?.labels[0] !== identity || !header.hasImage) return undefined;
    }
    await pace.step({ doing: 'comparing identities', done: n, total: firsts.length, unit: 'identities' });
  }
  return labels;
}
