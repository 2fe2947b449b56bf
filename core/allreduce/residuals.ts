// What int8 has left of shards (own-vectors.ts), between generations: a member that comes into the next one, with other shards
// perhaps, brings what it had, and gives to others what is theirs now. Decides what is kept and who has what; moving it
// is sync.ts' and state-transfer.ts'.

/** What earlier steps left of a shard, to be added in `step`. */
export interface Residual {
  readonly shard: number;
  readonly step: number;
  readonly values: Float32Array;
}

/** Of one run on one worker; outlives its exchanges. */
export interface ResidualStore {
  replace(residuals: readonly Residual[]): void;
  all(): readonly Residual[];
  find(shard: number, step: number): Float32Array | undefined;
}

export function createResidualStore(): ResidualStore {
  let kept: readonly Residual[] = [];
  return {
    replace(residuals) {
      // Of one shard and step the first: a generation that ended before its first sum brings the same ones again.
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

/** Copies of what a generation leaves to the next. The open step may yet turn out complete elsewhere: then what it left here counts. */
export function residualsLeft(left: {
  readonly shards: Iterable<number>;
  /** The open step. */
  readonly step: number;
  /** This member has given all that the others need to end it. */
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

/** Shards and steps of what somebody has: three words each, the step in two. */
export function encodeInventory(residuals: readonly Residual[]): number[] {
  return residuals.flatMap(({ shard, step }) => [shard, Math.floor(step / 2 ** 32), step >>> 0]);
}

export function decodeInventory(words: readonly number[]): readonly Omit<Residual, 'values'>[] {
  const items: Omit<Residual, 'values'>[] = [];
  for (let i = 0; i + 3 <= words.length; i += 3)
    items.push({ shard: words[i]!, step: words[i + 1]! * 2 ** 32 + words[i + 2]! });
  return items;
}
