// What a build fails with.

/** A failure that a person can act on: a source that does not compile, or a folder that cannot be written. */
export class BuildError extends Error {}
