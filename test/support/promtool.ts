// Prometheus's own tool on files that a test makes.

import { execFile } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { promtoolProgram } from './tools.ts';

/**
 * Runs promtool in a folder with these files (text by name), with the arguments that follow; the answer is what
 * it printed, also when it fails.
 */
export async function promtool(
  files: Readonly<Record<string, string>>,
  command: readonly string[],
  /** Name of the file that it reads as its input. */
  input?: string,
): Promise<string> {
  const folder = mkdtempSync(join(tmpdir(), 'pocketfleet-promtool-'));
  try {
    for (const [name, text] of Object.entries(files)) writeFileSync(join(folder, name), text);
    const running = promisify(execFile)(await promtoolProgram(), [...command], {
      cwd: folder,
      maxBuffer: 1 << 26,
    });
    running.child.stdin?.end(input === undefined ? '' : files[input]);
    const { stdout, stderr } = await running;
    return `${stdout}${stderr}`;
  } catch (caught) {
    const { stdout, stderr, message } = caught as { stdout?: string; stderr?: string; message: string };
    return stdout === undefined ? message : `${stdout}${stderr}`;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
