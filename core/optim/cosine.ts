// The learning rate of a search's weights: half a cosine from the first rate down to the last, constant
// within an epoch (Loshchilov and Hutter, 2017, eq. 5, without restarts; reference facts 2.1).

/** Rate in a 0-based epoch; `last` would be reached in the epoch after the last one. */
export function cosineRate(options: {
  readonly first: number;
  readonly last: number;
  readonly epoch: number;
  readonly epochs: number;
}): number {
  const { first, last, epoch, epochs } = options;
  const angle = (Math.PI * Math.min(epoch, epochs)) / epochs;
  return last + ((first - last) * (1 + Math.cos(angle))) / 2;
}
