// How events are held against the shapes of their format. Decides the words of a refusal. Fields that no shape
// names pass through, since a release may add some within its format; a kind that is not named is refused,
// since to fold a journal without it would give another state.

import { z } from 'zod';
import { excerpt, foundText } from '../../../core/text/printable.ts';

/** What each kind of event must have, beside the time at which it was decided. */
export type EventShapes = Readonly<Record<string, Readonly<Record<string, z.ZodType>>>>;

/** Why events are not those of their format. */
export interface Refusal {
  /** As a phrase that goes on after "the message". */
  readonly phrase: string;
  /** A kind is not known, as when a newer release wrote it; otherwise a shape is wrong. */
  readonly isUnknownKind: boolean;
}

/** Wrong fields that a phrase names. */
const WRONG_MAX = 8;

/** The check of a format; undefined: the events are its own. */
export function eventChecker(shapes: EventShapes) {
  const schemas = new Map(
    // Of `z.object` alone zod makes a compiled check, and what it leaves out of its output is not looked at.
    Object.entries(shapes).map(([kind, shape]) => [kind, z.object({ atMs: z.number(), ...shape })]),
  );
  return (events: readonly { readonly kind: string }[]): Refusal | undefined => {
    for (const event of events) {
      const schema = schemas.get(event.kind);
      if (schema === undefined) {
        const phrase = `has an event of the unknown kind ${foundText(event.kind)}`;
        return { phrase, isUnknownKind: true };
      }
      const { error } = schema.safeParse(event);
      if (error === undefined) continue;
      const wrong = error.issues
        .slice(0, WRONG_MAX)
        .map((issue) => excerpt(issue.path.join('.')))
        .join(', ');
      return { phrase: `has a ${event.kind} event with a wrong ${wrong}`, isUnknownKind: false };
    }
    return undefined;
  };
}
