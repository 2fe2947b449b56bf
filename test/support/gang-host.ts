// A host for the gangs of one test file: a broker, and a folder of files in memory that members share. Both end with the
// file's tests.

import assert from 'node:assert/strict';
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { after, before } from 'node:test';
import { type GangOptions, gang } from './gang.ts';
import { startNats, type TestNats } from './nats.ts';

export interface GangHost {
  /** Of the shared files. */
  readonly folder: string;
  /** The broker, once the tests run. */
  nats(): TestNats;
  /** `gang` on this broker; afterwards the folder is empty. */
  gang(options: Omit<GangOptions, 'nats'>, work: Parameters<typeof gang>[1]): Promise<void>;
}

/** `token`: of the broker. */
export function gangHost(token: string): GangHost {
  let nats: TestNats;
  const folder = mkdtempSync('/dev/shm/pocketfleet-test-');
  before(async () => {
    nats = await startNats({ jetstream: false, token });
  });
  after(async () => {
    await nats.stop();
    rmSync(folder, { recursive: true });
  });
  return {
    folder,
    nats: () => nats,
    async gang(options, work) {
      await gang({ ...options, nats }, work);
      assert.deepEqual(readdirSync(folder), [], 'no file is left');
    },
  };
}
