// What int8 has left of shards, kept between generations: a member that joins the next one, perhaps with
// other shards, brings what it had and gives to others what is theirs now. Decides what is kept and who has
// what.
//
// A residual r of a shard is the part of its vector that an image of 8 bits could not carry: x + r = image +
// r', with r' added to the same shard's x of the next step (error feedback). Adding r twice, or not at all,
// changes the bits of every later step. So a residual is named by (shard, step at which it is added), and a
// member keeps at most two of a shard:
//
//   open   what the steps before left; it is added in the open step s, and needed again if nobody completes s
//   next   what s left; it counts if s turns out complete elsewhere, and the next generation goes on at s + 1
//
// `next` is whole only when this member has given all that the others need for s; before that the others
// cannot complete s.

/** What earlier steps left of a shard, to be added in `step`. */
export interface Residual {
  readonly shard: number;
  readonly step: number;
  readonly values: Float32Array;
}

/** The residuals of one run on one worker; outlives the run's exchanges. */
export interface ResidualStore {
  replace(residuals: readonly Residual[]): void;
  all(): readonly Residual[];
  find(shard: number, step: number): Float32Array | undefined;
}

export function createResidualStore(): ResidualStore {
  let kept: readonly Residual[] = [];
  return {
    replace(residuals) {
      // The first of one shard and step counts: a generation that ended before its first sum brings the same
      // ones again.
      const first = new Map<string, Residual>();
      for (const item of residuals) {
        const key = `${item.shard} ${item.step}`;
        if (!first.has(key)) first.set(key, item);
      }
      kept = [...first.values()];
    },
    all: () => kept,
    find: (shard, step) => kept.find((item) => item.shard === shard && item.step === step)?.values,
  };
}

/** Copies of what a generation leaves to the next. */
export function residualsLeft(left: {
  readonly shards: Iterable<number>;
  /** The open step. */
  readonly step: number;
  /** This member has given all that the others need to complete the open step. */
  readonly complete: boolean;
  readonly of: (shard: number, when: 'open' | 'next') => Float32Array;
}): Residual[] {
  const { step, complete, of } = left;
  return [...left.shards].flatMap((shard) => {
    const open = { shard, step, values: Float32Array.from(of(shard, 'open')) };
    return complete
      ? [open, { shard, step: step + 1, values: Float32Array.from(of(shard, 'next')) }]
      : [open];
  });
}

/** Words that name what a member has: three for each residual, the step in two. */
export function encodeInventory(residuals: readonly Residual[]): number[] {
  return residuals.flatMap(({ shard, step }) => [shard, Math.floor(step / 2 ** 32), step >>> 0]);
}

export function decodeInventory(words: readonly number[]): readonly Omit<Residual, 'values'>[] {
  const items: Omit<Residual, 'values'>[] = [];
  for (let i = 0; i + 3 <= words.length; i += 3)
    items.push({ shard: words[i]!, step: words[i + 1]! * 2 ** 32 + words[i + 2]! });
  return items;
}
