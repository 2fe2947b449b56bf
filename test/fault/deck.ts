// Which faults happen in which order: a shuffled deck, determined by its seed and size. Decides how often each kind comes and
// that whoever was taken away comes back; performing a fault is battle.ts'.

export type Fault =
  /** A publication of the exchange is lost, or arrives twice. */
  | { readonly kind: 'drop' | 'duplicate'; readonly pick: number }
  /** Nothing passes between a worker and the broker for a while. */
  | { readonly kind: 'slow'; readonly pick: number; readonly ms: number }
  /** A worker's connections to the broker, or to the coordinator, break. */
  | { readonly kind: 'cut' | 'deaf'; readonly pick: number }
  /** SIGSTOP, and SIGCONT before anybody takes the worker for lost, or long after. */
  | { readonly kind: 'pause' | 'freeze'; readonly pick: number; readonly ms: number }
  /** kill -9, or SIGTERM; the worker starts again with a later `join`. */
  | { readonly kind: 'kill' | 'leave'; readonly pick: number }
  | { readonly kind: 'join' }
  /** kill -9, and a new process after a while. */
  | { readonly kind: 'broker' | 'coordinator'; readonly ms: number };

/** Of a hundred faults; the rest is rounding. Each kind comes at least once. */
const SHARES: Readonly<Record<Exclude<Fault['kind'], 'join'>, number>> = {
  drop: 40,
  duplicate: 24,
  slow: 12,
  cut: 7,
  deaf: 4,
  pause: 4,
  freeze: 0.5,
  kill: 3,
  leave: 1,
  broker: 1,
  coordinator: 1,
};

export function dealDeck(seed: number, size: number): Fault[] {
  const random = mulberry(seed);
  const between = (low: number, high: number) => low + Math.floor(random() * (high - low));
  const deal = (kind: keyof typeof SHARES): Fault => {
    const pick = random();
    switch (kind) {
      case 'slow':
        return { kind, pick, ms: between(20, 400) };
      case 'pause':
        return { kind, pick, ms: between(30, 500) };
      case 'freeze':
        return { kind, pick, ms: between(2_500, 4_000) };
      case 'broker':
      case 'coordinator':
        return { kind, ms: between(0, 800) };
      default:
        return { kind, pick };
    }
  };
  const kinds = Object.keys(SHARES) as (keyof typeof SHARES)[];
  const cards = kinds.flatMap((kind) =>
    Array.from({ length: Math.max(1, Math.round((SHARES[kind] * size) / 100)) }, () => deal(kind)),
  );
  const deck: Fault[] = shuffled(cards, random);
  // From the end, so that a card that is put in does not move those still to be looked at.
  for (let i = deck.length - 1; i >= 0; i--)
    if (deck[i]!.kind === 'kill' || deck[i]!.kind === 'leave')
      deck.splice(Math.min(deck.length, i + between(1, 9)), 0, { kind: 'join' });
  return deck;
}

function shuffled<T>(cards: readonly T[], random: () => number): T[] {
  const deck = [...cards];
  for (let i = deck.length - 1; i > 0; i--) {
    const j = Math.floor(random() * (i + 1));
    [deck[i], deck[j]] = [deck[j]!, deck[i]!];
  }
  return deck;
}

/** Not the generator of the product, so that neither can hide a fault of the other. */
function mulberry(seed: number): () => number {
  let a = seed >>> 0;
  return () => {
    a = (a + 0x6d2b79f5) >>> 0;
    let t = Math.imul(a ^ (a >>> 15), 1 | a);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
}
