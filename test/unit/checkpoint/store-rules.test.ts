// Decisions of the artefact store: chunks, what is kept under a key, what a failure means, how often a key is
// looked for.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { artefactName, artefactOfKey } from '../../../core/checkpoint/artefact-names.ts';
import { chunkCount, chunkRange } from '../../../core/checkpoint/chunks.ts';
import {
  contentDigest,
  isHeld,
  keptManifest,
  manifestOf,
  manifestText,
  partDigest,
} from '../../../core/checkpoint/manifest.ts';
import { LOOK_AGAIN_MS, LOOK_SOON_MS, nextPauseMs } from '../../../core/checkpoint/manifest-watch.ts';
import { verdictWithinDeadline, verdictWithoutEnd } from '../../../core/checkpoint/persistence.ts';
import { sha256Hex } from '../../../core/digest.ts';
import { FleetError } from '../../../core/errors.ts';

const isDataLoss = (pattern: RegExp) => (error: unknown) =>
  error instanceof FleetError && error.code === 'dataLoss' && pattern.test(error.message);

const chunks = ['a', 'b', 'c'].map((text) => sha256Hex(text));
const parts = [
  { name: 'backbone', bytes: 25, chunkBytes: 10, digest: partDigest(chunks), chunks },
  { name: 'head', bytes: 0, chunkBytes: 10, digest: partDigest([]), chunks: [] },
];
const metadata = { step: '3' };
const offered = { digest: contentDigest({ metadata, parts }), metadata, parts };
const entryOf = (text: string) => ({
  key: 'checkpoint.run.1',
  revision: 5,
  value: new TextEncoder().encode(text),
  created: new Date(1_000),
  json: <T>() => JSON.parse(text) as T,
});
const read = (text: string) => manifestOf('pf-manifests', entryOf(text));

test('chunks cover every byte once, all but the last of one length', () => {
  fc.assert(
    fc.property(fc.nat(5_000), fc.integer({ min: 1, max: 700 }), (bytes, chunkBytes) => {
      const count = chunkCount({ bytes, chunkBytes });
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

test('a manifest survives the bucket, also one whose part was let go, and keeps its digest then', () => {
  const whole = read(manifestText(offered));
  assert.deepEqual(whole, {
    ...offered,
    key: 'checkpoint.run.1',
    form: 'parts',
    bytes: 25,
    storedAtMs: 1_000,
    revision: 5,
  });
  const { chunks: _, ...letGo } = parts[0]!;
  const less = read(manifestText({ ...offered, parts: [{ ...letGo, chunks: undefined }, parts[1]!] }));
  assert.deepEqual(
    less.parts.map((part) => isHeld(less, part)),
    [false, true],
  );
  assert.equal(less.digest, whole.digest);
});

test('a manifest of a release before parts is one part with a digest of the whole', () => {
  const digest = 'a'.repeat(64);
  const blob = read(JSON.stringify({ digest, bytes: 25, chunkBytes: 10, metadata }));
  assert.equal(blob.form, 'blob');
  assert.deepEqual(blob.parts, [{ name: 'file', bytes: 25, chunkBytes: 10, digest, chunks: undefined }]);
  assert.ok(isHeld(blob, blob.parts[0]!));
});

test('what no fleet wrote, and what was changed since, is refused with what is wrong and how to remove it', () => {
  const changed = (part: object) =>
    manifestText({ ...offered, parts: [{ ...parts[0]!, ...part }, parts[1]!] });
  for (const [text, what] of [
    ['{', /1 bytes that are no JSON/],
    ['{}', /digest/],
    ['null', /mapping/],
    [manifestText({ ...offered, digest: 'x' }), /digest/],
    [changed({ bytes: -1 }), /bytes/],
    [changed({ bytes: 35 }), /the chunks of part backbone are not those that its digest names/],
    [changed({ chunks: [...chunks.slice(0, 2), sha256Hex('d')] }), /the chunks of part backbone/],
    [
      manifestText({ ...offered, metadata: { step: '4' } }),
      /its digest is not that of its parts and metadata/,
    ],
  ] as const) {
    assert.throws(
      () => read(text),
      isDataLoss(/revision 5 .* `nats kv del pf-manifests checkpoint\.run\.1`/),
    );
    assert.throws(() => read(text), isDataLoss(what));
  }
});

test('what is stored under a key stays when the same comes, and anything else is dataLoss that names both', () => {
  const manifest = read(manifestText(offered));
  assert.equal(keptManifest(manifest, offered.digest), manifest);
  assert.throws(
    () => keptManifest(manifest, 'c'.repeat(64)),
    isDataLoss(new RegExp(`digest ${offered.digest} and was to be stored with c+`)),
  );
});

test('a key says the run and the stage, with and without the uid of a journal before it', () => {
  for (const prefix of ['', 'Ab12.']) {
    assert.deepEqual(artefactOfKey(`${prefix}checkpoint.run-7.12`), {
      noun: 'checkpoint',
      runId: 'run-7',
      stage: 12,
      step: undefined,
    });
    assert.equal(artefactName(`${prefix}checkpoint.run-7.12`), "run-7's stage 12");
    assert.equal(artefactName(`${prefix}checkpoint.run-7.s57`), "run-7's step 57");
    assert.equal(artefactName(`${prefix}evaluation.run-7`), "run-7's evaluation");
  }
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
