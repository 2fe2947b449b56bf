// Decisions of the artefact store: chunks, what is kept under a key, what a failure means, how often a key is
// looked for.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import {
  CHUNK_BYTES,
  checkChunk,
  checkWhole,
  chunkCount,
  chunkRange,
} from '../../../core/checkpoint/artefact-chunks.ts';
import { keptManifest, type Manifest, manifestOf, manifestText } from '../../../core/checkpoint/manifest.ts';
import { LOOK_AGAIN_MS, LOOK_SOON_MS, nextPauseMs } from '../../../core/checkpoint/manifest-watch.ts';
import { verdictWithinDeadline, verdictWithoutEnd } from '../../../core/checkpoint/persistence.ts';
import { FleetError } from '../../../core/errors.ts';

const digest = 'a'.repeat(64);
const manifest: Manifest = {
  key: 'checkpoint.run.1',
  digest,
  bytes: 2 * CHUNK_BYTES + 7,
  chunkBytes: CHUNK_BYTES,
  metadata: { step: '3' },
  storedAtMs: 1_000,
};
const isDataLoss = (pattern: RegExp) => (error: unknown) =>
  error instanceof FleetError && error.code === 'dataLoss' && pattern.test(error.message);

test('chunks cover every byte once, all but the last of one length', () => {
  fc.assert(
    fc.property(fc.nat(5_000), fc.integer({ min: 1, max: 700 }), (bytes, chunkBytes) => {
      const count = chunkCount(bytes, chunkBytes);
      const ranges = Array.from({ length: count }, (_, chunk) => chunkRange({ bytes, chunkBytes }, chunk));
      let next = 0;
      for (const { offset, length } of ranges) {
        assert.equal(offset, next);
        assert.ok(length > 0 && length <= chunkBytes);
        next += length;
      }
      assert.equal(next, bytes);
      assert.ok(ranges.slice(0, -1).every(({ length }) => length === chunkBytes));
    }),
  );
});

test('a chunk that is gone or of another length, and a whole of another digest, are dataLoss that says which', () => {
  checkChunk(manifest, 1, CHUNK_BYTES);
  checkChunk(manifest, 2, 7);
  assert.throws(
    () => checkChunk(manifest, 2, undefined),
    isDataLoss(/^chunk 2 of checkpoint\.run\.1 \(a+\)/),
  );
  assert.throws(() => checkChunk(manifest, 2, 8), isDataLoss(/^chunk 2 .* has 8 bytes instead of 7$/));
  checkWhole(manifest, digest);
  assert.throws(() => checkWhole(manifest, 'b'.repeat(64)), isDataLoss(/digest b+, its manifest names a+$/));
});

test('what is stored under a key stays when the same bytes come, and other bytes are dataLoss that names both', () => {
  assert.equal(keptManifest(manifest, digest), manifest);
  assert.throws(
    () => keptManifest(manifest, 'c'.repeat(64)),
    isDataLoss(/digest a+ and was to be stored with c+/),
  );
});

test('a manifest survives the bucket, and what no fleet wrote is refused with how to remove it', () => {
  const entryOf = (text: string) => ({
    key: manifest.key,
    revision: 5,
    value: new TextEncoder().encode(text),
    created: new Date(1_000),
    json: <T>() => JSON.parse(text) as T,
  });
  assert.deepEqual(manifestOf('pf-local-manifests', entryOf(manifestText(manifest))), manifest);
  for (const text of [
    '{',
    '{}',
    manifestText({ ...manifest, digest: 'x' }),
    manifestText({ ...manifest, bytes: -1 }),
  ])
    assert.throws(
      () => manifestOf('pf-local-manifests', entryOf(text)),
      isDataLoss(/revision 5 .* `nats kv del pf-local-manifests checkpoint\.run\.1`/),
    );
});

const facts = { isRefusal: false, isClosed: false, isLate: false };
const silence = new Error('timeout');
const full = new FleetError('resourceExhausted', 'the store is full');

test('within a deadline answers are final at once, and silence is tried again until it is late or nothing can answer', () => {
  assert.equal(verdictWithinDeadline(silence, facts), 'again');
  assert.equal(verdictWithinDeadline(silence, { ...facts, isLate: true }), 'unavailable');
  assert.equal(verdictWithinDeadline(silence, { ...facts, isClosed: true }), 'unavailable');
  for (const late of [false, true]) {
    assert.equal(verdictWithinDeadline(silence, { ...facts, isRefusal: true, isLate: late }), 'answer');
    assert.equal(verdictWithinDeadline(full, { ...facts, isLate: late }), 'answer');
    assert.equal(
      verdictWithinDeadline(new FleetError('dataLoss', 'gone'), { ...facts, isLate: late }),
      'answer',
    );
  }
});

test('a put that may wait outlasts a full or silent store, and no refusal, loss or closed connection', () => {
  const unavailable = Object.assign(new Error('away'), { code: 'ECONNREFUSED' });
  assert.equal(verdictWithoutEnd(full, facts), 'again');
  assert.equal(verdictWithoutEnd(unavailable, facts), 'again');
  assert.equal(verdictWithoutEnd(full, { ...facts, isRefusal: true }), 'answer');
  assert.equal(verdictWithoutEnd(unavailable, { ...facts, isClosed: true }), 'answer');
  assert.equal(verdictWithoutEnd(new FleetError('dataLoss', 'gone'), facts), 'answer');
});

test('after a hint a key is looked for soon, and then ever more seldom down to the pace without one', () => {
  const pauses = [LOOK_SOON_MS];
  while (pauses.at(-1)! < LOOK_AGAIN_MS) pauses.push(nextPauseMs(pauses.at(-1)!));
  assert.ok(pauses.length > 10 && pauses.every((pause, i) => i === 0 || pause > pauses[i - 1]!));
  assert.equal(nextPauseMs(LOOK_AGAIN_MS), LOOK_AGAIN_MS);
});
