// The text of a document as it took effect: what was submitted, with overrides and resolved paths in their
// places and a comment at each of them. Decides how that text reads: comments and order of the submitted text
// stay, and where the text shares one value between several places (aliases, merge keys) the values are
// written out.

import { isDeepStrictEqual } from 'node:util';
import { type Document, isNode, parseAllDocuments, stringify } from 'yaml';

/** A value that took effect and does not stand in the text. */
export interface Replaced {
  readonly path: readonly string[];
  /** Comment behind the value, e.g. `override`. */
  readonly why: string;
}

/** The text of document `index` with these values of `effective` in it. */
export function effectiveText(
  yaml: string,
  index: number,
  effective: unknown,
  replaced: readonly Replaced[],
): string {
  const parsed = parseAllDocuments(yaml);
  const documents = (Array.isArray(parsed) ? parsed : []).filter(
    (document) => document.contents !== null && document.toJS() !== null,
  ) as Document[];
  if (replaced.length === 0 && documents.length === 1) return yaml;
  const document = documents[index];
  if (document === undefined) return stringify(effective);
  for (const one of replaced) replace(document, effective, one);
  // Aliases and merge keys can make one value of the text several of the document: then its values are
  // written out.
  if (isDeepStrictEqual(plain(document.toJS()), plain(effective))) return document.toString({ lineWidth: 0 });
  const names = replaced.map(({ path, why }) => `# ${path.join('.')}: ${why}\n`).join('');
  return names + stringify(effective, { lineWidth: 0 });
}

function replace(document: Document, effective: unknown, { path, why }: Replaced): void {
  let value = effective;
  const keys = path.map((key) => {
    const inList = Array.isArray(value);
    value = (value as Record<string, unknown> | undefined)?.[key];
    return inList ? Number(key) : key;
  });
  const before = document.getIn(keys);
  const node = document.createNode(value);
  if (isNode(node)) node.comment = ` ${why}${wasText(before)}`;
  document.setIn(keys, node);
}

/** What stood there before, for the comment; empty where that is not one value. */
function wasText(before: unknown): string {
  if (before === undefined) return '; the text has none';
  if (isNode(before)) return '';
  return `; the text has ${JSON.stringify(before)}`;
}

/** Makes absent and undefined equal, because YAML has no undefined. */
const plain = (value: unknown): unknown => JSON.parse(JSON.stringify(value ?? null)) as unknown;
