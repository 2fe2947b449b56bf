// The error of a build that a person can act on.

/** A failure that a person can act on: a source that does not compile, or a folder that cannot be written. */
export class BuildError extends Error {}
