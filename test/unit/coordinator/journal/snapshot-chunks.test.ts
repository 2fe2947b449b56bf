// Writing a snapshot of a long past holds up nothing else, and what is written is read back.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createDesk } from '../../../../coordinator/decisions/desk.ts';
import { decideGroup } from '../../../../coordinator/decisions/group.ts';
import { createJournalIndex, type JournalIndex } from '../../../../coordinator/journal/journal-index.ts';
import {
  chunksOf,
  decodeSnapshot,
  frameBytes,
  framesOf,
  partsOf,
} from '../../../../coordinator/journal/snapshot-chunks.ts';
import type { Event } from '../../../../coordinator/model/events.ts';
import { evolve } from '../../../../coordinator/model/evolve.ts';
import { type State, trialOf } from '../../../../coordinator/model/state.ts';
import { pagesOf } from '../../../../coordinator/model/table.ts';
import { systemClock } from '../../../../core/clock.ts';
import { connections, plainOf } from '../../../support/state.ts';
import { longestTurnMs } from '../../../support/turns.ts';
import { grow } from '../model/grown.ts';

/** A turn is as long with 100,000 trials: 6.5 ms against 4 ms with 5,000. */
const { state, events } = grow({ trials: 1_500, cancelled: 100, reasonBytes: 40, yamlBytes: 100 });
const index = createJournalIndex();
for (const [at, event] of events.entries()) index.add(at + 1, [event]);

test('no turn of the event loop takes longer than 20 ms while a snapshot is written', async () => {
  const chunks: Uint8Array[] = [];
  const longest = await longestTurnMs(async () => {
    chunks.length = 0;
    const clock = { monotonic: systemClock.monotonic, sleep: () => systemClock.sleep(0) };
    for await (const chunk of chunksOf(partsOf(state, index.encoded()), { clock, signal: undefined }))
      chunks.push(chunk);
  });
  assert.ok(longest <= 20, `${longest} ms of processor in one turn`);
  const read = decodeSnapshot(chunks);
  assert.deepEqual(plainOf(read.state), JSON.parse(JSON.stringify(plainOf(state))));
});

/** The chunks of a snapshot. */
async function written(of: { readonly state: State; readonly index: JournalIndex }): Promise<Uint8Array[]> {
  const chunks: Uint8Array[] = [];
  const clock = { monotonic: () => 0, sleep: async () => undefined };
  for await (const chunk of chunksOf(partsOf(of.state, of.index.encoded()), { clock, signal: undefined }))
    chunks.push(chunk);
  return chunks;
}

/** The deflated bytes of all pages. */
const pagesIn = (chunks: readonly Uint8Array[]): Uint8Array[] =>
  chunks.flatMap((chunk) => framesOf(chunk).flatMap(({ kind, bytes }) => (kind === 0 ? [] : [bytes])));

test('pages in which nobody has looked are stored again as they are, and one that has changed is made anew', async () => {
  const first = await written({ state, index });
  const read = decodeSnapshot(first);
  const again = await written(read);
  assert.deepEqual(again, first);
  const kept = pagesIn(first);
  assert.ok(kept.length > 20, `${kept.length} pages`);
  const trial = trialOf(read.state, 'trial-300');
  const changed = evolve(read.state, {
    ...{ kind: 'work.prioritised', trialId: trial.id, priority: 3, reason: 'asked for', atMs: 1 },
  } as Event);
  const third = decodeSnapshot(await written({ state: changed, index: read.index }));
  assert.deepEqual(plainOf(third.state), JSON.parse(JSON.stringify(plainOf(changed))));
  // The state that was read is as it was.
  assert.deepEqual(plainOf(decodeSnapshot(first).state), JSON.parse(JSON.stringify(plainOf(state))));
});

test('a coordinator that starts decides without looking at what has ended', async () => {
  const read = decodeSnapshot(await written({ state, index }));
  const input = { kind: 'started', version: 'test' } as const;
  const at = () => ({ now: 1_000_000, connected: connections([]) });
  let group = decideGroup(read.state, [{ input }], at, createDesk());
  assert.deepEqual(group.refused, []);
  for (let i = 0; group.isUnfinished && i < 10; i++) group = decideGroup(group.state, [], at, createDesk());
  const looked = [read.state.trials, read.state.runs].map((table) => {
    const pages = [...pagesOf<unknown>(table)];
    return [pages.length, pages.filter((page) => 'rows' in page).length];
  });
  // The newest, and the best trial with its run.
  assert.ok(
    looked.every(([pages = 0, made = 0]) => pages >= 6 && made <= 2),
    JSON.stringify(looked),
  );
});

test('a page whose bytes are no page is damage when it is looked at, and no sooner', async () => {
  const chunks = await written({ state, index });
  const frames = chunks.flatMap(framesOf);
  const place = frames.findIndex(({ kind }) => kind === 1);
  const broken = frames.map((frame, at) =>
    frameBytes(at === place ? { ...frame, bytes: Uint8Array.of(1, 2, 3) } : frame),
  );
  const read = decodeSnapshot(broken);
  assert.throws(() => trialOf(read.state, 'trial-1'), /it is no state that this release has written/);
  assert.equal(trialOf(read.state, 'trial-300').id, 'trial-300');
});

test('a chunk that ends within a part, or has a part of another kind, is damage', async () => {
  const [chunk = new Uint8Array()] = await written({ state, index });
  const wrong: readonly (readonly [Uint8Array, RegExp])[] = [
    [chunk.subarray(0, chunk.length - 1), /has no end/],
    [chunk.subarray(0, 5), /has no beginning/],
    [frameBytes({ kind: 77, numbers: [0, 0], bytes: new Uint8Array() }), /of the kind 77/],
  ];
  for (const [bytes, message] of wrong) assert.throws(() => decodeSnapshot([bytes]), message);
});
