// A program's registry, made from its catalogue. Decides that every series whose labels are known exists from
// the start, at 0: a series that appears with its first event begins at 1, in which Prometheus sees no increase.
// A series with an open label begins with `begin`, and goes with `remove`.

import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from 'prom-client';
import { type Catalogue, type Description, type Labels, type LabelsOf, labelSets } from './description.ts';

type Args<L extends Labels> = keyof L extends never ? [] : [labels: LabelsOf<L>];

/** A counter that accepts the labels of its description alone. */
export interface CounterFamily<L extends Labels> {
  inc(...args: [...labels: Args<L>, by?: number]): void;
}

/** A gauge that accepts the labels of its description alone. */
export interface GaugeFamily<L extends Labels> {
  set(...args: [...labels: Args<L>, value: number]): void;
  inc(...args: [...labels: Args<L>, by?: number]): void;
  /** Takes every series with labels away, and sets one without labels to 0. */
  reset(): void;
}

/** A histogram that accepts the labels of its description alone. */
export interface HistogramFamily<L extends Labels> {
  /** The series with these labels, at 0. */
  zero(labels: LabelsOf<L>): void;
  observe(...args: [...labels: Args<L>, value: number]): void;
}

type Family<D> =
  D extends Description<'counter', infer L>
    ? CounterFamily<L>
    : D extends Description<'gauge', infer L>
      ? GaugeFamily<L>
      : D extends Description<'histogram', infer L>
        ? HistogramFamily<L>
        : never;

/** The families of a catalogue, under the same names. */
export type Families<C extends Catalogue> = { readonly [K in keyof C]: Family<C[K]> };

/** The registry of a program. */
export interface ProgramMetrics<C extends Catalogue> {
  readonly registry: Registry;
  readonly families: Families<C>;
  /** The series in which this open label has this value, at 0, as far as the other labels are closed. */
  begin(label: string, value: string): void;
  /** Takes every series in which the label has this value away. */
  remove(label: string, value: string): void;
}

/** A registry whose gauges are filled when it is scraped. */
class ScrapedRegistry extends Registry {
  readonly #beforeScrape: () => void;
  constructor(beforeScrape: () => void) {
    super();
    this.#beforeScrape = beforeScrape;
  }
  override async metrics(): Promise<string> {
    this.#beforeScrape();
    return super.metrics();
  }
}

type Made = Counter | Gauge | Histogram;

/** A registry of its own, so that several programs in one process do not share counts. */
export function createProgramMetrics<const C extends Catalogue>(
  catalogue: C,
  beforeScrape: () => void,
): ProgramMetrics<C> {
  const registry = new ScrapedRegistry(beforeScrape);
  collectDefaultMetrics({ register: registry });
  const made = new Map<Description, Made>();
  const families = Object.fromEntries(
    Object.entries(catalogue).map(([key, description]) => {
      const family = familyOf(description, registry);
      made.set(description, family);
      return [key, family];
    }),
  );
  return {
    registry,
    families: families as unknown as Families<C>,
    begin(label, value) {
      for (const [{ labels }, family] of made) {
        const open = Object.keys(labels).filter((name) => labels[name] === 'open');
        if (open.length !== 1 || open[0] !== label) continue;
        for (const set of labelSets(labels)) setToZero(family, inOrder(labels, { ...set, [label]: value }));
      }
    },
    remove(label, value) {
      for (const [{ labels }, family] of made) if (label in labels) removeSeries(family, label, value);
    },
  };
}

function familyOf({ type, name, help, labels, buckets }: Description, registry: Registry): Made {
  const common = { name, help, labelNames: Object.keys(labels), registers: [registry] };
  const family =
    type === 'counter'
      ? new Counter(common)
      : type === 'gauge'
        ? new Gauge(common)
        : new Histogram({ ...common, buckets: [...(buckets ?? [])] });
  const isClosed = Object.values(labels).every((values) => values !== 'open');
  if (isClosed) for (const set of labelSets(labels)) setToZero(family, set);
  return family;
}

/** A scrape shows labels in the order in which they were first given: that of the description. */
function inOrder(labels: Labels, set: Readonly<Record<string, string>>): Readonly<Record<string, string>> {
  return Object.fromEntries(Object.keys(labels).map((name) => [name, set[name]!]));
}

/** A gauge has no series before it is filled: 0 would be a statement. */
function setToZero(family: Made, labels: Readonly<Record<string, string>>): void {
  if (family instanceof Counter) family.inc(labels, 0);
  else if (family instanceof Histogram) family.zero(labels);
}

/** A histogram lists one value a bucket; removing the same labels twice is harmless. */
function removeSeries(family: Made, label: string, value: string): void {
  const { hashMap } = family as unknown as {
    hashMap: Record<string, { labels: Record<string, string> }>;
  };
  for (const { labels } of Object.values(hashMap)) if (labels[label] === value) family.remove(labels);
}
