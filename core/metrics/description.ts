// What a metric is, as data: its name, its labels with the values that they may have, its unit and the subject
// that it belongs to. The catalogues of both programs consist of these; families, rules, dashboards and docs
// follow from them.

/** What a metric tells about; a chapter of docs/metrics.md and a dashboard's concern. */
export const SUBJECTS = {
  process: 'Which program of which version is there?',
  lead: 'Does a coordinator lead and decide?',
  calls: 'Are calls answered?',
  work: 'What becomes of submitted work?',
  queue: 'What waits, and for what?',
  workers: 'Which workers are there, and which are gone?',
  cost: 'Which work uses the devices?',
  store: 'Is there room for journal and checkpoints, and is the broker there?',
  training: 'Does a run learn, and how fast?',
  exchange: 'What does the sum over a gang cost?',
  checkpoints: 'How much work would be lost if all died now?',
} as const;
export type Subject = keyof typeof SUBJECTS;

/** Of one value. `flag`: 1 or 0; `timestamp`: seconds since the epoch; `info`: always 1, its labels count. */
export type Unit =
  | 'count'
  | 'seconds'
  | 'bytes'
  | 'ratio'
  | 'flag'
  | 'timestamp'
  | 'info'
  | 'rate'
  | 'number';

/** The values that each label may have; `open`: they are known at run time alone, and their number is bounded. */
export type Labels = Readonly<Record<string, readonly string[] | 'open'>>;

/** One value for each label. */
export type LabelsOf<L extends Labels> = {
  readonly [K in keyof L]: L[K] extends readonly (infer V)[] ? V : string;
};

export type MetricType = 'counter' | 'gauge' | 'histogram';

/** One metric of a program. */
export interface Description<T extends MetricType = MetricType, L extends Labels = Labels> {
  readonly type: T;
  readonly name: string;
  /** A sentence for a person. */
  readonly help: string;
  readonly unit: Unit;
  readonly labels: L;
  readonly subject: Subject;
  /** Upper bounds of a histogram; the last one, infinity, is not listed. */
  readonly buckets?: readonly number[];
}

/** All metrics of a program, by the names that its code has for them. */
export type Catalogue = Readonly<Record<string, Description>>;

interface Given<L extends Labels> {
  readonly help: string;
  readonly unit: Unit;
  readonly subject: Subject;
  readonly labels?: L;
}

type NoLabels = Readonly<Record<never, never>>;

/** What happens; its name ends in `_total`. */
export function counter<const L extends Labels = NoLabels>(
  name: string,
  given: Given<L>,
): Description<'counter', L> {
  return { ...given, type: 'counter', name, labels: given.labels ?? ({} as L) };
}

/** What is. */
export function gauge<const L extends Labels = NoLabels>(
  name: string,
  given: Given<L>,
): Description<'gauge', L> {
  return { ...given, type: 'gauge', name, labels: given.labels ?? ({} as L) };
}

/** How long something takes, each time that it happens. */
export function histogram<const L extends Labels = NoLabels>(
  name: string,
  given: Omit<Given<L>, 'unit'> & { readonly buckets: readonly number[] },
): Description<'histogram', L> {
  return { ...given, type: 'histogram', unit: 'seconds', name, labels: given.labels ?? ({} as L) };
}

/** `count` bounds, each `factor` times the one before. */
export function geometric(first: number, factor: number, count: number): readonly number[] {
  return Array.from({ length: count }, (_, i) => first * factor ** i);
}

/** Every combination of the values of these labels; those of open labels are not in it. */
export function labelSets(labels: Labels): readonly Readonly<Record<string, string>>[] {
  return Object.entries(labels).reduce<readonly Readonly<Record<string, string>>[]>(
    (sets, [label, values]) =>
      values === 'open' ? sets : sets.flatMap((set) => values.map((value) => ({ ...set, [label]: value }))),
    [{}],
  );
}

/** Names of the series that a scrape shows of a metric. */
export function seriesNames({ name, type }: Description): readonly string[] {
  return type === 'histogram' ? [`${name}_bucket`, `${name}_count`, `${name}_sum`] : [name];
}
