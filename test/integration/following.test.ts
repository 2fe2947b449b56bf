// Commands that follow something, on a real coordinator that is stopped in order and killed while they do.

import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { jetstream } from '@nats-io/jetstream';
import { unary } from '../../core/net/grpc-client.ts';
import { connectNats } from '../../core/net/nats.ts';
import { LogLine } from '../../proto/gen/pocketfleet/v1/fleet.ts';
import { startFleet } from '../support/fleet.ts';
import { namesOn } from '../support/names.ts';
import { type Program, startTypeScript, until } from '../support/processes.ts';
import { onTerminal } from '../support/terminal.ts';

const CLI = fileURLToPath(new URL('../../coordinator/cli/main.ts', import.meta.url));
const folder = mkdtempSync(join(tmpdir(), 'pf-following-'));
const fleet = await startFleet({ workers: [] });
const connection = await connectNats({ ...fleet.nats.access, name: 'test' });
const names = await namesOn(connection, 'test');
after(async () => {
  await Promise.all(programs.map((program) => program.stop('SIGKILL')));
  waiting.child.kill('SIGKILL');
  await connection.close();
  await fleet.stop();
  rmSync(folder, { recursive: true });
});

/** It waits for workers until it is cancelled. */
const SPEC = `
kind: teacher
name: waits
network: { kind: pocketnet, channels: 2, layers: 4, embedding: 8, genotype: casia }
data: { kind: synthetic, identities: 8, images: 8, holdout: 3, seed: 5 }
training: { epochs: 1, batch: 16, shards: 4, seed: 7, optimizer: { learningRate: 0.05 } }
verification: { pairs: 40 }
`;

const where = ['--coordinator', fleet.endpoint, '--token', fleet.token];
const programs: Program[] = [];
function pocketfleet(...args: string[]): Program {
  const program = startTypeScript(CLI, [...args, ...where]);
  programs.push(program);
  return program;
}

const specFile = join(folder, 'waits.yaml');
writeFileSync(specFile, SPEC);
// On a terminal, where the bars are.
const waiting = onTerminal(['submit', specFile, '--wait', ...where], { columns: 200 });
await waiting.untilOutput(/^run-\d+\r$/m, 120_000);
const runId = /^run-\d+/m.exec(waiting.output())![0];

let written = 0;
/** Lines of the run, as its workers publish them. */
async function writeLines(count: number): Promise<void> {
  for (let i = 0; i < count; i++) {
    written += 1;
    const line = { atMs: 1, workerId: 'w1', runId, level: 'info', text: `numbered ${written}`, sequence: 0 };
    await jetstream(connection).publish(names.logSubject(runId, 'w1'), LogLine.encode(line).finish());
  }
}
const numbersIn = (text: string) => [...text.matchAll(/ {2}numbered (\d+)$/gm)].map(([, n]) => Number(n));

test('submit --wait, watch and logs -f outlive a coordinator that is stopped and one that is killed', async () => {
  const watching = pocketfleet('watch', runId, '--json');
  await writeLines(5);
  const logs = pocketfleet('logs', runId, '-f');
  await Promise.all([
    logs.untilOutput(/numbered 5\n/, 120_000),
    watching.untilOutput(/"runs"/, 120_000),
    waiting.untilOutput(/teacher waits/, 120_000),
  ]);
  for (const [i, signal] of (['SIGTERM', 'SIGKILL'] as const).entries()) {
    const all = (what: RegExp) =>
      Promise.all([waiting, watching, logs].map((program) => untilTimes(program, what, i + 1)));
    await fleet.killCoordinator(signal);
    await all(/no coordinator answers at .*; the work goes on/g);
    await writeLines(5);
    await fleet.startCoordinator();
    await writeLines(5);
    await all(/the coordinator answers again/g);
    await writeLines(5);
  }
  await logs.untilOutput(/numbered 35\n/, 60_000);
  const expected = Array.from({ length: 35 }, (_, n) => n + 1);
  assert.deepEqual(numbersIn(logs.output()), expected, 'each line once and in order');
  assert.equal((await logs.stop('SIGINT')).code, 130);
  assert.doesNotMatch(logs.output(), /pocketfleet:/);
  await unary(fleet.client, fleet.client.cancel, { id: runId, reason: 'the test has seen enough' });
  assert.equal((await watching.ended).code, 1, watching.output());
  assert.match(watching.output(), /run waits cancelled: the test has seen enough\n$/);
  assert.equal(await waiting.ended, 1, waiting.output());
  assert.match(waiting.output(), /pocketfleet: run waits cancelled: the test has seen enough\r\n$/);
  // With each movement of the cursor as a new line, a sentence is a line of its own: it does not run into a bar.
  const movement = new RegExp(`${'\u001b'}\\[[0-9;?]*[A-Za-z]`, 'g');
  const lines = waiting
    .output()
    .replace(movement, '\n')
    .split(/[\r\n]+/);
  const sentences = lines.filter((line) => /coordinator answers/.test(line));
  assert.equal(sentences.length, 4);
  for (const line of sentences)
    assert.match(line, /^(no coordinator answers at [^█░]* min|the coordinator answers again)$/);
});

async function untilTimes(program: Pick<Program, 'output'>, what: RegExp, count: number): Promise<void> {
  const times = () => [...program.output().matchAll(what)].length;
  await until(`${what} ${count} times`, () => times() >= count, 120_000).catch((caught: Error) => {
    throw new Error(`${caught.message}; it said\n${program.output()}`);
  });
}
