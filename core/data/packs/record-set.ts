// An InsightFace or im2rec pack as a set of labelled images: the class of each, and its bytes on request.
// Decides how the table of its records and the numbering of its labels become that, and refuses a record that
// differs from the table.

import { join } from 'node:path';
import { FleetError } from '../../errors.ts';
import { type LabelMode, labelRanges, numberingOf } from './numbering.ts';
import { type RecordTable, readRecordTable, type TableOptions, wrongPack } from './record-table.ts';
import { openRecordFile, parseImageRecord, type RecordFile } from './recordio.ts';

export interface RecordSet {
  readonly size: number;
  readonly classes: number;
  readonly file: RecordFile;
  readonly table: RecordTable;
  /** The stored labels in the order of the classes, as ranges; undefined where a label is its class. */
  readonly labelMap: string | undefined;
  key(index: number): number;
  /** 0..classes-1; -1 for a record that is broken. */
  label(index: number): number;
  /** Encoded bytes of an image. */
  read(index: number): Promise<Buffer>;
  close(): Promise<void>;
}

/**
 * Images in key order, read from `path`/train.rec and train.idx. `table`: known already, from another thread.
 */
export async function openRecordSet(
  path: string,
  options: TableOptions & {
    readonly labels?: LabelMode;
    readonly table?: RecordTable | undefined;
    /** Broken records are images that cannot be read; otherwise one of them refuses the pack. */
    readonly allowBroken?: boolean;
  } = {},
): Promise<RecordSet> {
  const table = options.table ?? (await readRecordTable(path, options));
  const { labels, offsets } = table;
  const key = (index: number) => table.keys?.[index] ?? table.firstKey + index;
  const [broken, ...more] = table.broken;
  const brokenPack = () =>
    wrongPack(
      path,
      `${brokenSentence(key(broken!.index), broken!.reason)}${more.length > 0 ? `; ${more.length} more records are wrong` : ''}`,
    );
  if (broken !== undefined && options.allowBroken !== true) throw brokenPack();
  const { classes, classOf } = numberingOf({
    labels,
    stated: table.stated,
    mode: options.labels ?? 'strict',
    nameOf: (index) => `key ${key(index)}`,
    // A class may lack images because its records are broken, so the broken records are reported first.
    wrong: (what) => (broken === undefined ? wrongPack(path, what) : brokenPack()),
  });
  const file = await openRecordFile(join(path, 'train.rec'));
  const reasons = new Map(table.broken.map(({ index, reason }) => [index, reason]));
  return {
    size: labels.length,
    classes,
    file,
    table,
    labelMap: classOf === undefined ? undefined : labelRanges(classOf),
    key,
    label: (index) => {
      const label = labels[index]!;
      return label < 0 || classOf === undefined ? label : classOf[label]!;
    },
    async read(index) {
      const reason = reasons.get(index);
      if (reason !== undefined) throw new FleetError('invalidArgument', `the record ${reason}`);
      const offset = offsets[index]!;
      const record = parseImageRecord((await file.readAt(offset)).payload, { path: file.path, offset });
      if (record.labels[0] !== labels[index])
        throw new FleetError(
          'invalidArgument',
          `the record has label ${record.labels[0]}, but ${table.labelsFrom === 'identities' ? 'its identity record' : 'an earlier look'} gives ${labels[index]}`,
        );
      return record.image;
    },
    close: () => file.close(),
  };
}

function brokenSentence(key: number, reason: string): string {
  return reason.startsWith('does not lead')
    ? `key ${key} of train.idx ${reason}; the two files are not of one pack, or train.rec is damaged there`
    : `key ${key} ${reason}`;
}
