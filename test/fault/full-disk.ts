// npm run soak:full-disk: a whole fleet of `up` on a disk of 40 MB (tmpfs, so root is needed), filled twice: by its own
// checkpoints and by somebody else's file, and given room again each time. Not part of `npm test`: it mounts and takes minutes.

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, statfsSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { startFleet } from '../../coordinator/cli/local/up.ts';
import type { Snapshot } from '../../proto/gen/pocketfleet/v1/fleet.ts';

const dir = mkdtempSync(join(tmpdir(), 'pocketfleet-full-disk-'));
execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=40m', 'tmpfs', dir]);
const say = (text: string) =>
  console.log(`${((performance.now() - startedAt) / 1000).toFixed(1).padStart(6)} s  ${text}`);
const startedAt = performance.now();
const stopping = new AbortController();
const fleet = await startFleet({ dir: join(dir, 'fleet'), workers: 1, signal: stopping.signal, say });
try {
  const { client } = fleet;
  const submit = (name: string, epochs: number) =>
    client.ask(
      (service) => service.submit,
      { yaml: runText(name, epochs), baseDir: dir, dryRun: false, overrides: {} },
      60_000,
    );
  async function seen(
    what: string,
    condition: (snapshot: Snapshot) => boolean,
    deadlineMs: number,
  ): Promise<Snapshot> {
    const since = performance.now();
    const signal = AbortSignal.timeout(deadlineMs);
    const all = { planId: '', sweepId: '', runId: '', rateHz: 20, untilFinished: false };
    for await (const snapshot of client.follow((service) => service.watch, all, signal))
      if (condition(snapshot)) {
        say(`${what}: after ${((performance.now() - since) / 1000).toFixed(1)} s`);
        return snapshot;
      }
    const now = await client.ask((service) => service.getStore, {});
    throw new Error(`not within ${deadlineMs} ms: ${what}; the store: ${JSON.stringify(now)}`);
  }

  await submit('first', 300);
  const first = await seen('full of its own checkpoints', ({ store }) => store?.state === 'full', 300_000);
  say(first.store!.reason);
  const waits = await seen('its run says that it waits', ({ runs }) => runs[0]?.state === 'waiting', 10_000);
  say(waits.runs[0]!.reason);
  const asked = performance.now();
  await assert.rejects(submit('refused', 1), { code: 'resourceExhausted' });
  say(`a submit was refused after ${(performance.now() - asked).toFixed(0)} ms`);
  execFileSync('mount', ['-o', 'remount,size=90m', dir]);
  await seen('room: the store takes what is written', ({ store }) => store?.state === 'ok', 60_000);
  const at = waits.runs[0]!.checkpoints;
  await seen('the run goes on', ({ runs }) => runs[0]!.checkpoints > at + 2, 60_000);

  const { bavail, bsize } = statfsSync(dir);
  writeFileSync(join(dir, 'others'), Buffer.alloc(bavail * bsize - 64 * 1024));
  const second = await seen(
    "full of somebody else's file",
    ({ store }) => (store?.state ?? 'ok') !== 'ok',
    60_000,
  );
  say(second.store!.reason);
  await assert.rejects(submit('refused', 1), { code: 'resourceExhausted' });
  await new Promise((resolve) => setTimeout(resolve, 15_000));
  const before = await client.ask((service) => service.getRun, { id: 'run-1' });
  say(`meanwhile: ${before.state}, ${before.reason}`);
  rmSync(join(dir, 'others'));
  await seen('room: the store takes what is written', ({ store }) => store?.state === 'ok', 90_000);
  await seen('the run goes on', ({ runs }) => runs[0]!.checkpoints > before.checkpoints + 2, 90_000);
  await client.ask((service) => service.cancel, { id: 'run-1', reason: 'seen enough' });
  await submit('taken', 1);
  await seen(
    'another run is done',
    ({ runs }) => runs.some((run) => run.name === 'taken' && run.state === 'done'),
    120_000,
  );
} finally {
  await fleet.close();
  execFileSync('umount', [dir]);
  rmSync(dir, { recursive: true });
}

function runText(name: string, epochs: number): string {
  return `
kind: teacher
name: ${name}
network: { kind: pocketnet, channels: 8, layers: 4, embedding: 64 }
data: { kind: synthetic, identities: 12, images: 8, holdout: 4 }
training: { epochs: ${epochs}, batch: 16 }
verification: { pairs: 40 }
workers: { min: 1, max: 1 }
`;
}
