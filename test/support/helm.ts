// The chart as tests see it: rendered by a real helm into objects. Decides nothing about what they must be.

import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { parseAllDocuments } from 'yaml';
import { helmProgram } from './tools.ts';

const root = fileURLToPath(new URL('../../', import.meta.url));
export const chart = join(root, 'helm/pocketfleet');

export interface KubernetesObject {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: { readonly name: string; readonly labels?: Record<string, string> };
  // biome-ignore lint/suspicious/noExplicitAny: the shape is what kubernetes.ts checks.
  readonly [field: string]: any;
}

/** Runs helm; rejects with what it said. */
export async function helm(...argv: readonly string[]): Promise<string> {
  const program = await helmProgram();
  try {
    const { stdout } = await promisify(execFile)(program, argv, { maxBuffer: 1 << 26, cwd: root });
    return stdout;
  } catch (caught) {
    const { stderr = '' } = caught as { stderr?: string };
    throw new Error(`helm ${argv.join(' ')}: ${stderr}`, { cause: caught });
  }
}

/** `helm template` of the chart, as deploy/install.yaml is made. */
export function renderText(...options: readonly string[]): Promise<string> {
  return helm('template', 'pocketfleet', chart, '--namespace', 'pocketfleet', ...options);
}

export async function render(...options: readonly string[]): Promise<readonly KubernetesObject[]> {
  return objectsOf(await renderText(...options));
}

export function objectsOf(text: string): readonly KubernetesObject[] {
  return parseAllDocuments(text)
    .map((document) => document.toJS() as KubernetesObject | null)
    .filter((object) => object !== null);
}
