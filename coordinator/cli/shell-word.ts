// A text quoted as one word of a shell, so that a command in a message means the same when it is pasted.

/** The text itself where a shell leaves it alone, in quotes otherwise. */
export function shellWord(text: string): string {
  return /^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`;
}
