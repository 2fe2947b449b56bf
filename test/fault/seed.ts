// The seed of a schedule of faults: the one that a person asks for, or the usual one.

export function seedOf(usual: number): number {
  const asked = process.env.POCKETFLEET_SEED;
  if (asked === undefined) return usual;
  const seed = Number(asked);
  if (!Number.isInteger(seed) || seed < 0 || seed > 0xffff_ffff)
    throw new Error(`POCKETFLEET_SEED: ${asked} is not a whole number below 2^32`);
  return seed;
}
