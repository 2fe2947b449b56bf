// The confirmation of a lead, and the lease that it needs, on a clock and a key of the test's own.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { confirmLeadFor } from '../../../../coordinator/journal/lead-confirmation.ts';
import { LEASE_MS, type LeaseKey, openLease } from '../../../../coordinator/journal/lease.ts';
import { systemClock } from '../../../../core/clock.ts';
import { FleetError } from '../../../../core/errors.ts';

/** A key whose server takes writes, has no room, or has lost the others of its cluster. */
function keyOf() {
  const found: { value: string | undefined; revision: number } = { value: undefined, revision: 0 };
  const server = { state: 'whole' as 'whole' | 'full' | 'alone' };
  const key: LeaseKey = {
    find: async () => ({ ...found }),
    async write(value, revision) {
      if (server.state === 'full') throw new FleetError('resourceExhausted', 'no room');
      if (server.state === 'alone') throw new FleetError('deadlineExceeded', 'no majority');
      if (revision !== found.revision) return undefined;
      Object.assign(found, { value, revision: revision + 1 });
      return found.revision;
    },
    remove: async () => undefined,
  };
  return { key, server };
}

function leaseOn(key: LeaseKey, clock: { nowMs: number }) {
  const address = Promise.resolve('here:1');
  return openLease({ key, address, version: '1', clock: { monotonic: () => clock.nowMs } });
}

test('a lease is fresh until another coordinator may take it, counted from before the write', async () => {
  const clock = { nowMs: 1_000 };
  const { key, server } = keyOf();
  const slow: LeaseKey = {
    ...key,
    async write(value, revision) {
      const written = await key.write(value, revision);
      clock.nowMs += 500;
      return written;
    },
  };
  const lease = leaseOn(slow, clock);
  assert.equal(lease.isFresh, false, 'before it was held');
  assert.deepEqual(await lease.hold(1), { kind: 'ours' });
  clock.nowMs = 1_000 + LEASE_MS - 300;
  assert.equal(lease.isFresh, true);
  server.state = 'alone';
  await assert.rejects(lease.hold(1), { code: 'deadlineExceeded' });
  clock.nowMs = 1_000 + LEASE_MS;
  assert.equal(lease.isFresh, false, 'a write that was not taken renews nothing');
  server.state = 'whole';
  await lease.hold(1);
  assert.equal(lease.isFresh, true);
});

test('a store without room for a renewal keeps nobody from confirming its lead', async () => {
  const clock = { nowMs: 0 };
  const { key, server } = keyOf();
  const lease = leaseOn(key, clock);
  await lease.hold(1);
  server.state = 'full';
  clock.nowMs = 10 * LEASE_MS;
  assert.equal(lease.isFresh, false);
  assert.deepEqual(await lease.hold(1), { kind: 'unwritable' });
  assert.equal(lease.isFresh, true);
});

test('a server that is cut off from its cluster answers what it knew, and confirms no lead', async () => {
  const clock = { nowMs: 0 };
  const { key } = keyOf();
  const lease = leaseOn(key, clock);
  await lease.hold(1);
  const stale = { confirmLead: async () => undefined };
  const { signal } = new AbortController();
  await confirmLeadFor({ journal: stale, lease, clock: systemClock, signal });
  clock.nowMs = LEASE_MS;
  let looks = 0;
  const journal = {
    async confirmLead() {
      looks += 1;
      if (looks === 3) throw new FleetError('aborted', 'another coordinator has written');
    },
  };
  await assert.rejects(confirmLeadFor({ journal, lease, clock: systemClock, signal }), { code: 'aborted' });
  assert.equal(looks, 3);
});
