// The README's sample of the demo: where it lies, which plan it was made from, and what two runs of the demo
// must have in common.

import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

export const README = fileURLToPath(new URL('../../README.md', import.meta.url));
export const PLAN = fileURLToPath(new URL('../../examples/demo.yaml', import.meta.url));
const BLOCK =
  /<!-- sample of the demo, plan ([0-9a-f]{16}); made by `npm run generate:sample` -->\n\n([\s\S]*?)\n\n<!-- end of the sample -->/;

export interface Sample {
  /** First 64 bits of the SHA-256 of the plan that the sample was made from, without comments, hex. */
  readonly plan: string;
  readonly lines: readonly string[];
}

export function readSample(readme: string = readFileSync(README, 'utf8')): Sample {
  const [, plan, block] = BLOCK.exec(readme) ?? [];
  if (plan === undefined || block === undefined) throw new Error('README.md has no sample of the demo');
  return { plan, lines: block.split('\n').map((line) => line.replace(/^ {4}/, '')) };
}

/** The README with another sample. */
export function withSample(readme: string, lines: readonly string[]): string {
  const indented = lines.map((line) => (line === '' ? '' : `    ${line}`)).join('\n');
  const block = `<!-- sample of the demo, plan ${planDigest()}; made by \`npm run generate:sample\` -->\n\n${indented}\n\n<!-- end of the sample -->`;
  if (!BLOCK.test(readme)) throw new Error('README.md has no sample of the demo');
  // A function, since a replacement text gives `$` a meaning.
  return readme.replace(BLOCK, () => block);
}

/** Lines that are comments do not count, because the demo does not depend on them. */
export const planDigest = (): string =>
  createHash('sha256')
    .update(readFileSync(PLAN, 'utf8').replace(/^#.*\n/gm, ''))
    .digest('hex')
    .slice(0, 16);

/** "teacher teacher   1 %  step 3/250, …": how far something is, which changes all the time. */
export const isProgress = (line: string): boolean =>
  /^(search|teacher|student) \S+ +\d+ % |^\d+ of \d+ workers attached$/.test(line);

/**
 * A line without what differs between two plans of the same shape: numbers, cells, verdicts, widths of
 * columns. Lines of progress come and go with the speed of a machine and have none.
 */
export function skeletonOf(line: string): string | undefined {
  if (isProgress(line) || line.trim() === '') return undefined;
  return line
    .replace(/ is (better|worse) than /, ' against ')
    .replace(/^(\S+) and (\S+) are too close to tell apart/, '$1 against $2')
    .replace(/ is (not )?passed: (.*) (may be read|are void)$/, ' is passed: $2')
    .replace(/student-(distilled|alone)/g, 'student')
    .replace(/(\(logs in ).*(\/logs\))/, '$1…$2')
    .replace(/(plan |submitted ).*?(examples\/)?demo[\w-]*\.yaml/, '$1PLAN')
    .replace(/\S*out\/demo-/, 'out/demo-')
    .replace(/(\d+ min )?[\d][\d.,]*( (s|KiB|MiB))?/g, 'N')
    .replace(/[+-]N/g, 'N')
    .replace(/(best|exported)$/, '')
    .replace(/(dw\S+|avg|max|skip|·)( |$)/g, '')
    .replace(/dwN ?/g, '')
    .replace(/\s+/g, ' ')
    .trim();
}
