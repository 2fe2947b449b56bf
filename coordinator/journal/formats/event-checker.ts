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
    Object.entries(shapes).map(([kind, shape]) => {
      const fields = { atMs: z.number(), ...shape };
      return [kind, { schema: z.object(fields), fits: quickCheck(fields) }];
    }),
  );
  return (events: readonly { readonly kind: string }[]): Refusal | undefined => {
    for (const event of events) {
      const known = schemas.get(event.kind);
      if (known === undefined) {
        const phrase = `has an event of the unknown kind ${foundText(event.kind)}`;
        return { phrase, isUnknownKind: true };
      }
      if (known.fits(event)) continue;
      const { error } = known.schema.safeParse(event);
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

/**
 * Whether an event is of this shape, without a word about what is wrong. A start asks for millions of events whose
 * fields are texts and numbers, and zod copies each event that it looks at.
 */
function quickCheck(shape: Readonly<Record<string, z.ZodType>>): (event: object) => boolean {
  const of = (found: (field: z.ZodType) => boolean) =>
    Object.entries(shape).filter(([, field]) => found(field));
  const isPlain = (field: z.ZodType): boolean => isText(field) || isNumber(field);
  const texts = of(isText).map(([name]) => name);
  const numbers = of(isNumber).map(([name]) => name);
  const others = of((field) => !isPlain(field));
  return (event) => {
    const fields = event as Readonly<Record<string, unknown>>;
    for (const name of texts) if (typeof fields[name] !== 'string') return false;
    for (const name of numbers) if (!Number.isFinite(fields[name])) return false;
    for (const [name, field] of others) if (!field.safeParse(fields[name]).success) return false;
    return true;
  };
}

const isText = (field: z.ZodType): boolean => isBare(field, 'string');
const isNumber = (field: z.ZodType): boolean => isBare(field, 'number');

/** Any value of a type; a shape with further conditions is looked at by zod alone. */
const isBare = ({ def }: z.ZodType, type: 'string' | 'number'): boolean =>
  def.type === type && !('check' in def) && (def.checks ?? []).length === 0;
