// Other programs that search, for comparison with the throughput row: Optuna in one process, and Ray Tune. They
// are installed into a folder that goes away again; a machine that cannot install them has no row.

import { execFile } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { childEnvironment } from '../../core/config.ts';
import { toFleetError } from '../../core/errors.ts';
import { type Goal, say } from '../goals.ts';

const run = promisify(execFile);
const PROGRAM = fileURLToPath(new URL('./peers.py', import.meta.url));
const PEERS = { optuna: 'optuna==5.0.0', ray: 'ray[tune]==2.60.0' };
const DEADLINE_MS = 600_000;

/** Empty trials a second; no goal of ours. */
export async function benchPeers(): Promise<{ goals: Goal[]; rows: unknown }> {
  const folder = mkdtempSync(join(tmpdir(), 'pocketfleet-peers-'));
  const python = join(folder, 'bin', 'python');
  const options = { timeout: DEADLINE_MS, env: childEnvironment({ HOME: folder, RAY_TMPDIR: folder }) };
  const rows: Record<string, number | string> = {};
  try {
    await run('python3', ['-m', 'venv', folder]);
    for (const [name, pack] of Object.entries(PEERS)) {
      try {
        await run(python, ['-m', 'pip', 'install', '--quiet', pack], options);
        const { stdout } = await run(python, [PROGRAM, name, join(folder, 'results')], options);
        const { trialsPerSecond } = JSON.parse(stdout.trim().split('\n').at(-1) ?? '{}');
        rows[name] = trialsPerSecond;
        say(`${pack}: ${trialsPerSecond.toFixed(1)} empty trials a second`);
      } catch (caught) {
        rows[name] = toFleetError(caught).message.split('\n')[0] ?? '';
        say(`${pack} has no row: ${rows[name]}`);
      }
    }
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
  return { goals: [], rows };
}
