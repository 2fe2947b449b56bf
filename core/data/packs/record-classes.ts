// The class ranges that InsightFace's packs carry (reference 6.4): behind the images is one record for each
// identity, whose two labels are the first key of its images and the key after the last. Decides whether they
// can be used in place of the labels: they must cover all images in order, and a sample of the images must
// carry the class that they imply. They save reading a file of many gigabytes for its labels; an image that
// contradicts them is found when it is read.

import type { ProgressPace } from '../progress-pace.ts';
import { labelPair, openWindow, plainLabel, RECORD_HEADER } from './record-window.ts';

/** Identities of which the first and the last image are looked at. */
const SAMPLED = 2048;

/**
 * `images`: keys first..first+images-1, one after the other. `identities`: offsets of the records behind
 * them, by key.
 */
export async function labelsFromIdentities(options: {
  /** Of the record file. */
  readonly path: string;
  readonly firstKey: number;
  readonly imageOffsets: Float64Array;
  readonly identityOffsets: Float64Array;
  readonly pace: ProgressPace;
}): Promise<Int32Array | undefined> {
  const { path, firstKey, imageOffsets, identityOffsets, pace } = options;
  const size = imageOffsets.length;
  // A float32 holds no key beyond: the ranges would be off by one here and there.
  if (identityOffsets.length === 0 || firstKey + size > 2 ** 24) return undefined;
  const labels = new Int32Array(new SharedArrayBuffer(size * 4));
  const firsts = new Float64Array(identityOffsets.length);
  const window = openWindow(path);
  try {
    let place = 0;
    for (let identity = 0; identity < firsts.length; identity++) {
      const range = labelPair(window.block, window.hold(identityOffsets[identity]!));
      if (range === undefined || range[0] !== firstKey + place) return undefined;
      const next = range[1] - firstKey;
      if (!(next > place && next <= size)) return undefined;
      firsts[identity] = place;
      labels.fill(identity, place, next);
      place = next;
      await pace.step({
        doing: 'reading identities',
        done: identity,
        total: firsts.length,
        unit: 'identities',
      });
    }
    if (place !== size) return undefined;
    const stride = Math.max(1, firsts.length / SAMPLED);
    for (let n = 0; n < firsts.length; n += stride) {
      const identity = Math.floor(n);
      const last = (firsts[identity + 1] ?? size) - 1;
      for (const index of [firsts[identity]!, last]) {
        const at = window.hold(imageOffsets[index]!, RECORD_HEADER);
        if (plainLabel(window.block, at, Number.POSITIVE_INFINITY) !== identity) return undefined;
      }
      await pace.step({ doing: 'comparing identities', done: n, total: firsts.length, unit: 'identities' });
    }
    return labels;
  } finally {
    window.close();
  }
}
