// Makes text of strangers safe to show. Characters that a terminal, a log reader or a browser would act on
// instead of printing them become visible escapes, so that a line stays a line and no text changes the look
// or the order of what is around it. Decides which characters those are. Only shown text is changed; stored
// and sent text keeps its characters.

/**
 * C0 and C1 controls and DEL, line and paragraph separators, bidirectional controls (they reorder what
 * follows), zero-width and other invisible format characters, tags and lone surrogates.
 */
const UNSEEN =
  /[\p{Cc}\u00ad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\u{e0000}-\u{e007f}]|\p{Cs}/gu;

/** One line of visible characters: `\n` is shown as `\n`, an escape as `\u001b`. */
export function printable(text: string): string {
  return text.replace(UNSEEN, escapeOf);
}

/** Like `printable`, but line ends stay: for lines of a program whose foreign parts are printable already. */
export function printableLines(text: string): string {
  return text.replace(UNSEEN, (found) => (found === '\n' ? found : escapeOf(found)));
}

/**
 * The first `most` characters of a line and an ellipsis: enough to recognise a text, and never a whole file.
 */
export function excerpt(text: string, most = 80): string {
  const start = text.slice(0, most + 1);
  return printable(start.length > most ? `${start.slice(0, most - 1)}…` : start);
}

/** A value in the form for a sentence: texts shortened and in quotes, lists and mappings by their size. */
export function foundText(value: unknown): string {
  switch (typeof value) {
    case 'string':
      return `"${excerpt(value, 60).replaceAll('"', '\\"')}"`;
    case 'undefined':
      return 'nothing';
    case 'object': {
      if (value === null) return 'nothing';
      if (Array.isArray(value)) return `a list of ${value.length}`;
      return 'a mapping';
    }
    default:
      return excerpt(String(value), 60);
  }
}

/** A name as it stands in a sentence, without quotes; what is no text, as `foundText`. */
export const nameText = (value: unknown): string =>
  typeof value === 'string' ? excerpt(value) : foundText(value);

const SHORT: Readonly<Record<string, string>> = { '\n': '\\n', '\r': '\\r', '\t': '\\t' };

const hexEscape = (unit: number): string => `\\u${unit.toString(16).padStart(4, '0')}`;

function escapeOf(found: string): string {
  if (SHORT[found] !== undefined) return SHORT[found];
  // Code units instead of code points: then an escape within JSON has the meaning of JSON.
  return Array.from({ length: found.length }, (_, i) => hexEscape(found.charCodeAt(i))).join('');
}
