// A text as one word of a shell: what a message tells a person to type must mean the same when it is pasted.

/** The text itself where a shell leaves it alone, in quotes otherwise. */
export function shellWord(text: string): string {
  return /^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`;
}
