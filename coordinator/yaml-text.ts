// A submitted text as plain values: several YAML documents, and overrides laid over the first. Decides what counts as
// readable; whether the values make sense is the schemas'.

import { parse, parseAllDocuments } from 'yaml';
import { FleetError } from '../core/errors.ts';

export interface Parsed {
  readonly value: unknown;
  /** `document 2: ` where a text has several; otherwise empty. Put before a problem. */
  readonly where: string;
}

/** The journal keeps the text in one message; real plans have a few kilobytes. */
const TEXT_BYTES_MAX = 256 * 1024;

export function parseDocuments(text: string, overrides: Readonly<Record<string, string>>): Parsed[] {
  if (Buffer.byteLength(text) > TEXT_BYTES_MAX)
    throw new FleetError(
      'invalidArgument',
      `the text has ${Buffer.byteLength(text)} bytes, at most ${TEXT_BYTES_MAX} are taken`,
    );
  const documents = parseAllDocuments(text);
  const list = Array.isArray(documents) ? documents : [];
  const values = list.map((document, i) => {
    const [error] = document.errors;
    if (error) throw new FleetError('invalidArgument', `document ${i + 1}: not YAML: ${error.message}`);
    return toValue(() => document.toJS() as unknown, i);
  });
  const filled = values.filter((value) => value !== null && value !== undefined);
  if (filled.length === 0)
    throw new FleetError('invalidArgument', 'the text has no document; it needs a plan, a sweep or a run');
  for (const [path, value] of Object.entries(overrides)) override(filled[0], path, value);
  return filled.map((value, i) => ({ value, where: filled.length > 1 ? `document ${i + 1}: ` : '' }));
}

/** Too many aliases are a YAML bomb, and the parser says so by throwing. */
function toValue(make: () => unknown, index: number): unknown {
  try {
    return make();
  } catch (caught) {
    throw new FleetError('invalidArgument', `document ${index + 1}: ${(caught as Error).message}`, {
      cause: caught,
    });
  }
}

function override(document: unknown, path: string, text: string): void {
  const keys = path.split('.');
  const refuse = (why: string) => new FleetError('invalidArgument', `override ${path}: ${why}`);
  if (keys.some((key) => key === '' || key === '__proto__' || key === 'constructor' || key === 'prototype'))
    throw refuse('is no dotted path such as data.kind or students.0.workers.max');
  let at: unknown = document;
  for (const [i, key] of keys.entries()) {
    if (typeof at !== 'object' || at === null)
      throw refuse(`${keys.slice(0, i).join('.') || 'the document'} is not a mapping or list`);
    const container = at as Record<string, unknown>;
    if (Array.isArray(at) && !(Number(key) >= 0 && Number(key) < at.length))
      throw refuse(`${keys.slice(0, i).join('.')} has ${at.length} entries, none numbered ${key}`);
    if (i === keys.length - 1) container[key] = parsedValue(text, refuse);
    else container[key] ??= {};
    at = container[key];
  }
}

function parsedValue(text: string, refuse: (why: string) => FleetError): unknown {
  try {
    return parse(text) as unknown;
  } catch (caught) {
    throw refuse(`its value is not YAML: ${(caught as Error).message}`);
  }
}
