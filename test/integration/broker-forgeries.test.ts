// What somebody with the rights of another worker can send to a gang, and what comes of it: a stop, a sum and a
// contribution under a member's name, in front of that member's own.

import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { HEADER_BYTES, hashOf, KINDS } from '../../core/allreduce/message.ts';
import { digest64 } from '../../core/digest.ts';
import { FleetError } from '../../core/errors.ts';
import { connectNats } from '../../core/net/nats.ts';
import { failureOf } from '../../worker/run/failure.ts';
import {
  expectedSum,
  membersOf,
  nextRun,
  gang as openGang,
  type Replica,
  synchronise,
  train,
} from '../support/gang.ts';
import { NAMES } from '../support/names.ts';
import { startNats } from '../support/nats.ts';
import { assertNothingLeft, until } from '../support/processes.ts';

const nats = await startNats({ jetstream: false });
const forger = await connectNats({ ...nats.access, name: 'forger' });
const ELEMENTS = 4;
const COUNTS = [1, 1];
const MEMBERS = membersOf(COUNTS);

/** The messages of a gang's first step, of which the forgeries are made. */
const seen: { readonly subject: string; readonly data: Buffer }[] = [];
const tap = forger.subscribe(NAMES.exchangeSubjects, {
  callback: (_error, { subject, data }) => void seen.push({ subject, data: Buffer.from(data) }),
});
await forger.flush();
await openGang({ nats, counts: COUNTS, elements: ELEMENTS }, async (replicas) => {
  await Promise.all(replicas.map(synchronise));
  await Promise.all(replicas.map((replica, rank) => train(replica, MEMBERS[rank]!, 1)));
});
await until(
  'every message was seen',
  () => originalOf('result', 0) !== undefined && originalOf('contribution', 1) !== undefined,
);
tap.unsubscribe();

after(async () => {
  await forger.close();
  await nats.stop();
  await assertNothingLeft([nats.pid], [nats.port]);
});

function originalOf(kind: (typeof KINDS)[number], source: number): Buffer | undefined {
  return seen.find(({ data }) => data[5] === KINDS.indexOf(kind) && data.readUInt16LE(24) === source)?.data;
}

/** The message of that member as if it were of this run, with other data. */
function forged(runId: string, kind: (typeof KINDS)[number], source: number, data?: Uint8Array): Uint8Array {
  const original = Buffer.from(originalOf(kind === 'stop' ? 'contribution' : kind, source)!);
  original[5] = KINDS.indexOf(kind);
  original.writeUInt32LE(hashOf(runId), 12);
  const content = data ?? new Uint8Array(original.length - HEADER_BYTES);
  const head = original.subarray(0, HEADER_BYTES);
  head.writeUInt32LE(content.length, 56);
  return Buffer.concat([head, content]);
}

async function synchronised(work: (replicas: Replica[], runId: string) => Promise<void>): Promise<void> {
  const runId = nextRun();
  await openGang({ nats, counts: COUNTS, elements: ELEMENTS, runId }, async (replicas) => {
    await Promise.all(replicas.map(synchronise));
    await work(replicas, runId);
  });
}

const step = (replicas: readonly Replica[], rank: number, end: number) =>
  train(replicas[rank]!, MEMBERS[rank]!, end);

test('a stop never ends a run for good, whatever code it carries: the run goes on elsewhere', async () => {
  await synchronised(async (replicas, runId) => {
    const reason = JSON.stringify({ code: 'invalidArgument', message: 'your spec is wrong\u001b[31m' });
    forger.publish(NAMES.gangSubject(runId, 1), forged(runId, 'stop', 1, Buffer.from(reason)));
    const error = await step(replicas, 0, 1).then(
      () => assert.fail('the step ended'),
      (caught: unknown) => caught,
    );
    assert.ok(error instanceof FleetError);
    assert.equal(error.message, 'rank 1 (worker-1) stopped the gang: your spec is wrong\\u001b[31m');
    assert.deepEqual(failureOf(error), { cause: 'infrastructure', ofPlace: false });
  });
});

test('a false sum in front of the true one is found at the next step', async () => {
  await synchronised(async (replicas, runId) => {
    const first = step(replicas, 1, 1);
    forger.publish(NAMES.rankSubject(runId, 1, 1), forged(runId, 'result', 0));
    await forger.flush();
    await Promise.all([first, step(replicas, 0, 1)]);
    const [right, wrong] = replicas as [Replica, Replica];
    assert.equal(digest64(right.state.weights), digest64(expectedSum(0, 2, ELEMENTS)));
    assert.notEqual(digest64(wrong.state.weights), digest64(right.state.weights));
    const next = await Promise.allSettled([step(replicas, 0, 2), step(replicas, 1, 2)]);
    for (const result of next) {
      assert.equal(result.status, 'rejected');
      assert.match(
        String(result.reason.message),
        /replicas differ at the start of step 1: rank \d \(worker-\d\) has weights/,
      );
    }
  });
});

test('a false contribution is summed by all alike: nobody differs, and only a replay can find it', async () => {
  await synchronised(async (replicas, runId) => {
    const first = step(replicas, 0, 1);
    forger.publish(NAMES.rankSubject(runId, 1, 0), forged(runId, 'contribution', 1));
    await forger.flush();
    await Promise.all([first, step(replicas, 1, 1)]);
    const [one, two] = replicas as [Replica, Replica];
    assert.equal(digest64(one.state.weights), digest64(two.state.weights));
    assert.notEqual(digest64(one.state.weights), digest64(expectedSum(0, 2, ELEMENTS)));
    await Promise.all([step(replicas, 0, 2), step(replicas, 1, 2)]);
  });
});
