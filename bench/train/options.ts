// The options of the benchmarks in this folder. An unknown option ends a benchmark with the list of those
// that exist.

import { parseArgs } from 'node:util';
import { toFleetError } from '../../core/errors.ts';
import type { Work } from './work.ts';

export interface BenchOptions {
  readonly json: boolean;
  readonly batch: number;
  readonly works: readonly Work[];
  readonly rounds: number;
  /** Of a way's turn; a step that has begun is finished. */
  readonly milliseconds: number;
}

const LONG = { rounds: 4, milliseconds: 1500 };
const QUICK = { rounds: 2, milliseconds: 800 };

/** `--json`, `--quick` for shorter rounds, `--network=NAME` for one of them, `--batch=N` images a step. */
export function benchOptions(worksOf: (batch: number) => Work[]): BenchOptions {
  try {
    const { values } = parseArgs({
      options: {
        json: { type: 'boolean', default: false },
        quick: { type: 'boolean', default: false },
        network: { type: 'string' },
        batch: { type: 'string', default: '16' },
      },
    });
    const batch = Number(values.batch);
    if (!Number.isInteger(batch) || batch < 2)
      throw new Error(`--batch=${values.batch}: a whole number from 2 on, which batch norm needs`);
    const all = worksOf(batch);
    const works = all.filter(({ name }) => values.network === undefined || name === values.network);
    if (works.length === 0)
      throw new Error(`--network=${values.network}: one of ${all.map(({ name }) => name).join(', ')}`);
    return { json: values.json, batch, works, ...(values.quick ? QUICK : LONG) };
  } catch (caught) {
    process.stderr.write(`${toFleetError(caught).message}\n`);
    process.exit(2);
  }
}
