// PyTorch in a throw-away environment in the cache: found when it is there, made by venv and pip when not.
// Decides version and place; that it cannot be made (no Python, no package index) is an answer, not an error.

import { execFile } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, renameSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { cacheFolder, childEnvironment } from '../../core/config.ts';
import { toFleetError } from '../../core/errors.ts';
import type { Program } from './member.ts';

const run = promisify(execFile);

const TORCH = '2.15.0';
const NUMPY = '2.4.6';
/** A download of gigabytes where the index only has the build for GPUs. */
const INSTALL_DEADLINE_MS = 1_800_000;

export type Torch =
  | { readonly kind: 'found'; readonly folder: string; readonly version: string }
  | { readonly kind: 'missing'; readonly reason: string };

export async function findTorch(talk: (line: string) => void): Promise<Torch> {
  const place = join(cacheFolder(), 'bench');
  const folder = join(place, `torch-${TORCH}`);
  try {
    if (!existsSync(folder)) {
      talk(`installing torch ${TORCH} into ${folder} (some minutes and gigabytes, once)`);
      await install(place, folder);
    }
    const { stdout } = await run(python(folder), ['-c', 'import torch; print(torch.__version__)']);
    return { kind: 'found', folder, version: stdout.trim() };
  } catch (caught) {
    return { kind: 'missing', reason: toFleetError(caught).message.trim().split('\n').slice(-2).join(' ') };
  }
}

/** Made aside and renamed, so that an interrupted installation is not taken for a whole one. */
async function install(place: string, folder: string): Promise<void> {
  mkdirSync(place, { recursive: true });
  const aside = mkdtempSync(join(place, 'new-'));
  try {
    await run('python3', ['-m', 'venv', aside]);
    const packages = [`torch==${TORCH}`, `numpy==${NUMPY}`, 'setuptools'];
    await run(python(aside), ['-m', 'pip', 'install', '--quiet', ...packages], {
      timeout: INSTALL_DEADLINE_MS,
    });
    renameSync(aside, folder);
  } finally {
    rmSync(aside, { recursive: true, force: true });
  }
}

/**
 * The process that answers for PyTorch. What its compiler makes is kept beside it, so that only the first run
 * pays.
 */
export function torchProgram(folder: string, work: string, threads: number): Program {
  return {
    file: python(folder),
    arguments: [fileURLToPath(new URL('./torch-member.py', import.meta.url)), work, String(threads)],
    environment: childEnvironment({
      OMP_NUM_THREADS: String(threads),
      TORCHINDUCTOR_CACHE_DIR: join(folder, 'inductor'),
      PYTHONUNBUFFERED: '1',
      PYTHONDONTWRITEBYTECODE: '1',
    }),
  };
}

const python = (folder: string) => join(folder, 'bin', 'python');
