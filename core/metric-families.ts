// Counters and histograms whose labels have a closed set of values. Decides that every series exists from the
// start, at 0: a series that appears with its first event begins at 1, in which Prometheus sees no increase.

import { Counter, Histogram, type Registry } from 'prom-client';

/** The values that each label may have. */
export type LabelValues = Readonly<Record<string, readonly string[]>>;

/** One value for each label. */
export type LabelsOf<V extends LabelValues> = { readonly [L in keyof V]: V[L][number] };

/** Accepts only the labels that it was made with, so that every series is known from the start. */
export type ClosedCounter<V extends LabelValues> = Omit<Counter<keyof V & string>, 'inc'> & {
  inc(labels: LabelsOf<V>, by?: number): void;
};

/** A histogram that accepts only the labels that it was made with. */
export type ClosedHistogram<V extends LabelValues> = Omit<
  Histogram<keyof V & string>,
  'observe' | 'startTimer'
> & {
  observe(labels: LabelsOf<V>, value: number): void;
};

interface Described<V extends LabelValues> {
  readonly name: string;
  readonly help: string;
  readonly values: V;
  readonly registry: Registry;
}

/** A counter with all its series at 0. */
export function closedCounter<const V extends LabelValues>(options: Described<V>): ClosedCounter<V> {
  const { name, help, values, registry } = options;
  const counter = new Counter({ name, help, labelNames: Object.keys(values), registers: [registry] });
  for (const labels of labelSets(values)) counter.inc(labels, 0);
  return counter as unknown as ClosedCounter<V>;
}

/** A histogram with all its series at 0. */
export function closedHistogram<const V extends LabelValues>(
  options: Described<V> & { readonly buckets: number[] },
): ClosedHistogram<V> {
  const { name, help, values, registry, buckets } = options;
  const labelNames = Object.keys(values);
  const histogram = new Histogram({ name, help, labelNames, buckets, registers: [registry] });
  for (const labels of labelSets(values)) histogram.zero(labels);
  return histogram as unknown as ClosedHistogram<V>;
}

/** Every combination of the values. */
export function labelSets(values: LabelValues): readonly Readonly<Record<string, string>>[] {
  return Object.entries(values).reduce<readonly Readonly<Record<string, string>>[]>(
    (sets, [label, all]) => sets.flatMap((set) => all.map((value) => ({ ...set, [label]: value }))),
    [{}],
  );
}
