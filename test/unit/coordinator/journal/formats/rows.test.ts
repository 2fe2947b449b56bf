// Rows of format 3: each event comes back as it was, whether it stood as a row or not, and what is no row of the
// format is refused.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { eventsOf, isRefusal, shownEvents } from '../../../../../coordinator/journal/formats/reader.ts';
import { isRow, rowsOf } from '../../../../../coordinator/journal/formats/rows.ts';
import {
  decodeGroup,
  type Envelope,
  encodeGroup,
  isForeign,
} from '../../../../../coordinator/journal/message.ts';
import { journalFixture } from '../../../../support/journal-fixtures.ts';

const LINK = { journal: 'test', group: 1, before: '', writer: 'w' };

const text = fc.string({ maxLength: 6 });
/** Nearly every id is that of the state; any other text is none that a row has a place for. */
const idOf = (noun: string) =>
  fc.oneof(
    { weight: 9, arbitrary: fc.integer({ min: 1, max: 999_999_999 }).map((number) => `${noun}-${number}`) },
    {
      weight: 1,
      arbitrary: fc.oneof(
        text,
        fc.constantFrom(`${noun}-0`, `${noun}-01`, `${noun}-1e3`, `${noun}-1234567890`),
      ),
    },
  );
const runId = idOf('run');
const trialId = idOf('trial');
const number = fc.double({ noNaN: true, noDefaultInfinity: true }).map((value) => value + 0);
const evaluation = fc.record(
  {
    ...{ accuracy: number, accuracyStd: number, auc: number, eer: number, tarAtFar: number, pairs: fc.nat() },
    accuracyUntrained: number,
  },
  { requiredKeys: ['accuracy', 'accuracyStd', 'auc', 'eer', 'tarAtFar', 'pairs'] },
);
const costs = fc.record({ parameters: fc.nat(), mflops: number, multiplyAdds: fc.nat() });
const cursor = fc.record({ draws: fc.nat(), walked: fc.nat() }, { requiredKeys: ['draws'] });
const member = fc.record({ workerId: text, shardFirst: fc.nat(), shardCount: fc.nat() });
const state = fc.constantFrom('done', 'failed', 'cancelled');
const fidelity = fc.record({ epochs: fc.nat() });
const by = fc.record({ name: text, role: text, fingerprint: text });

type Fields = Record<string, fc.Arbitrary<unknown>>;

/** An event of this kind: its fields, any of those for which a row has a place, and now and then any of the others. */
function eventOf(kind: string, fields: Fields, placed: Fields, others: Fields) {
  const some = (optional: Fields) => fc.record<Fields>(optional as never, { requiredKeys: [] });
  const present = fc.record<Fields>({ atMs: fc.nat(), ...fields } as never);
  const more = fc.oneof(fc.constant({}), some({ by, ...others }));
  return fc.tuple(present, some(placed), more).map((parts) => Object.assign({ kind }, ...parts) as object);
}

const event = fc.oneof(
  eventOf(
    'run.checkpointed',
    { runId, stage: fc.nat(), step: fc.nat(), bytes: fc.nat(), digest: text, workerId: text },
    { isOnlyStage: fc.constant(true), weightsDigest: text, stateDigest: text, ledgerDigest: text },
    { teacherDigest: text, evaluation },
  ),
  eventOf(
    'run.finished',
    { runId, generation: fc.nat(), workerId: text, step: fc.nat(), weightsDigest: text },
    { evaluation },
    { stopped: text },
  ),
  eventOf(
    'trial.ended',
    { trialId, state, reason: text },
    { objectives: fc.dictionary(text, number) },
    { measuredOn: text },
  ),
  eventOf(
    'trial.proposed',
    { trialId, sweepId: text, number: fc.nat(), genotype: text, costs },
    { cursor },
    { why: text, parents: fc.array(fc.nat()), fidelity, seed: fc.nat() },
  ),
  eventOf('trial.attempted', { trialId, runId, reason: text }, { attempt: fc.nat() }, { fidelity }),
  eventOf(
    'run.assigned',
    { runId, generation: fc.nat(), members: fc.array(member), deviceClass: text, reason: text },
    {},
    { agedPriority: fc.nat(), lentByRunId: text },
  ),
  eventOf(
    'stage.dropped',
    { runId, parts: fc.constantFrom('state', 'all'), reason: text },
    {},
    { stages: fc.array(fc.nat()) },
  ),
  eventOf('run.cancelled', { runId, reason: text }, {}, {}),
);

function written(events: readonly unknown[]): Envelope {
  const group = decodeGroup(encodeGroup(LINK, events));
  assert.ok(!isForeign(group));
  return group;
}

test('every event comes back as it was, whatever it has beside its fields', () => {
  let rows = 0;
  fc.assert(
    fc.property(fc.array(event, { minLength: 1 }), (events) => {
      const group = written(events);
      rows += group.events.filter(isRow).length;
      const plain = JSON.parse(JSON.stringify(events)) as unknown[];
      assert.deepEqual(JSON.parse(JSON.stringify(eventsOf(group))), plain);
      assert.deepEqual(JSON.parse(JSON.stringify(shownEvents(group))), plain);
    }),
  );
  assert.ok(rows > 100, `${rows} of them stood as rows`);
});

test('a field of another release, an absent one in the middle and a null keep what they are', () => {
  const attempt = { kind: 'trial.attempted', trialId: 'trial-1', runId: 'run-1', reason: 'r', atMs: 5 };
  assert.deepEqual(rowsOf([attempt]), [[4, 1, 1, 'r', 5]]);
  assert.deepEqual(rowsOf([{ ...attempt, later: 1 }]), [{ ...attempt, later: 1 }]);
  assert.deepEqual(rowsOf([{ ...attempt, attempt: null }]), [{ ...attempt, attempt: null }]);
  const stage = { runId: 'run-1', stage: 1, step: 2, bytes: 3, digest: 'd', workerId: 'w', atMs: 4 };
  const stored = { kind: 'run.checkpointed', ...stage, ledgerDigest: 'l' };
  assert.deepEqual(rowsOf([stored]), [[0, 1, 1, 2, 3, 'd', 'w', 4, null, null, null, 'l']]);
});

test('of a short journal a third of the events are rows', () => {
  const shown = journalFixture('format-3/sweep-in-mid-flight').flatMap(({ data }) => {
    const group = decodeGroup(data);
    assert.ok(!isForeign(group));
    return group.events;
  });
  const rows = shown.filter(isRow).length;
  assert.ok(rows > shown.length / 3, `${rows} of ${shown.length}`);
});

test('a value that is none of its place refuses its message, and a row of an unknown kind names a newer release', () => {
  const rows = [
    [0, 1, 1, 4, 9, 'd', 'w', 5, 1, 'a', 'b', 'c'],
    [1, 1, 1, 'w', 4, 'd', 5, [0.5, 0.1, 0.5, 0.5, 0.5, 600]],
    [2, 1, 'done', 'r', 5, { accuracy: 0.5 }],
    [3, 1, 'sweep-1', 1, 'g', [1, 2, 3], [4], 5],
    [4, 1, 1, 'r', 5, 1],
    [5, 1, 1, [['w', 0, 8]], 'cpu', 'r', 5],
    [6, 1, 'all', 'r', 5],
  ];
  const read = (row: unknown) => {
    const json = { format: 3, ...LINK, count: 1, events: [row] };
    const group = decodeGroup(Buffer.from(JSON.stringify(json)));
    assert.ok(!isForeign(group));
    return eventsOf(group);
  };
  for (const row of rows) {
    assert.ok(!isRefusal(read(row)));
    for (let place = 1; place < row.length; place++) {
      const wrong = row.map((value, at) => (at === place ? { not: 'this' } : value));
      const refused = read(wrong);
      // Objectives are any values by name, as they are in an event that is no row.
      if (row[0] === 2 && place === 5) continue;
      assert.ok(isRefusal(refused), JSON.stringify(wrong));
      assert.match(refused.phrase, /^has a [a-z.]+ event with a wrong row$/);
      assert.equal(refused.isUnknownKind, false);
    }
    const longer = read([...row, ...Array(13 - row.length).fill(1)]);
    assert.ok(isRefusal(longer), 'a row has no more places');
  }
  for (const row of [[7, 1], ['run.finished'], []]) {
    const refused = read(row);
    assert.ok(isRefusal(refused));
    assert.ok(refused.isUnknownKind);
    assert.match(refused.phrase, /^has a row of the unknown kind /);
  }
});
