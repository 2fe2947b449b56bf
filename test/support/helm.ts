// The chart as tests read it: rendered by a real helm into objects.

import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { parseAllDocuments } from 'yaml';
import { PACKAGE_ROOT } from '../../core/system/places.ts';
import { helmProgram } from './tools.ts';

export const chart = join(PACKAGE_ROOT, 'helm/pocketfleet');

export interface KubernetesObject {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: { readonly name: string; readonly labels?: Record<string, string> };
  // biome-ignore lint/suspicious/noExplicitAny: the shape is what kubernetes.ts checks.
  readonly [field: string]: any;
}

/** Runs helm; rejects with its output. */
export async function helm(...argv: readonly string[]): Promise<string> {
  const program = await helmProgram();
  try {
    const { stdout } = await promisify(execFile)(program, argv, { maxBuffer: 1 << 26, cwd: PACKAGE_ROOT });
    return stdout;
  } catch (caught) {
    const { stderr = '' } = caught as { stderr?: string };
    throw new Error(`helm ${argv.join(' ')}: ${stderr}`, { cause: caught });
  }
}

/** `helm template` of the chart. */
export function renderText(...options: readonly string[]): Promise<string> {
  return helm('template', 'pocketfleet', chart, '--namespace', 'pocketfleet', ...options);
}

const INSTALL_HEAD = `# The whole fleet in the namespace pocketfleet, for an empty cluster: kubectl apply -f deploy/install.yaml
# Made from the chart by \`npm run generate:install\`. Another namespace, other names or values:
#   helm template NAME helm/pocketfleet --namespace OTHER --set namespace.create=true | kubectl apply -f -
# \`kubectl delete -f\` of this file deletes the namespace, and with it the volume with the journal and all checkpoints.
`;

/** What deploy/install.yaml holds. */
export async function installText(): Promise<string> {
  return INSTALL_HEAD + (await renderText('--set', 'namespace.create=true'));
}

const rendered = new Map<string, Promise<readonly KubernetesObject[]>>();

/** The chart's objects; rendered once for equal options, because nobody changes the chart or the objects meanwhile. */
export async function render(...options: readonly string[]): Promise<readonly KubernetesObject[]> {
  const key = JSON.stringify(options);
  const known = rendered.get(key) ?? renderText(...options).then((text) => frozen(objectsOf(text)));
  rendered.set(key, known);
  return known;
}

/** The value, which throws when anything in it is changed. */
function frozen<T>(value: T): T {
  if (typeof value === 'object' && value !== null)
    for (const inner of Object.values(Object.freeze(value))) frozen(inner);
  return value;
}

export function objectsOf(text: string): readonly KubernetesObject[] {
  return parseAllDocuments(text)
    .map((document) => document.toJS() as KubernetesObject | null)
    .filter((object) => object !== null);
}
