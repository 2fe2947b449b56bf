// Failures of a plugin as errors of the family. Decides the code by PJRT's own and keeps the plugin's first
// sentences: what follows is its call stack.

import { CODES, type Code, FleetError } from '../../errors.ts';

/** Runs a call of the addon; its failure becomes `DOING: what the plugin reports`. */
export function calling<T>(doing: string, call: () => T): T {
  try {
    return call();
  } catch (caught) {
    throw refusalOf(caught, doing);
  }
}

/** The error of the family; `doing` is what was attempted. */
function refusalOf(caught: unknown, doing: string): FleetError {
  const { message, code } = caught as { message?: string; code?: string };
  return new FleetError(codeOf(code), `${doing}: ${sentencesOf(message ?? String(caught))}`, {
    cause: caught,
  });
}

/** `RESOURCE_EXHAUSTED` is `resourceExhausted`; what PJRT does not know, and `UNKNOWN`, is `internal`. */
function codeOf(name = ''): Code {
  const camel = name.toLowerCase().replace(/_(.)/g, (_, letter: string) => letter.toUpperCase());
  return camel in CODES ? (camel as Code) : 'internal';
}

const WORDS_MAX = 400;

function sentencesOf(message: string): string {
  const text = message
    .split('\n=== Source Location Trace')[0]!
    .trim()
    .replace(/\s*\n\s*/g, '; ');
  return text.length > WORDS_MAX ? `${text.slice(0, WORDS_MAX)}...` : text;
}
