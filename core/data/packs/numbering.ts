// From the labels of a pack to classes 0..C-1. Decides what `data.labels` means: `strict` takes only labels
// that are classes already and refuses others with what was found; `renumber` numbers the labels that occur,
// in rising order. The map from class to label is kept with a trained head, since it is the only way back.

import type { FleetError } from '../../errors.ts';

export type LabelMode = 'strict' | 'renumber';

export interface Numbering {
  readonly classes: number;
  /** Class of each label up to the largest; undefined: a label is its class. */
  readonly classOf: Int32Array | undefined;
}

/**
 * `labels`: -1 has none. `stated`: classes that the pack itself says it has. `wrong` makes the error of a
 * sentence, `nameOf` names an image.
 */
export function numberingOf(options: {
  readonly labels: Int32Array;
  readonly stated: number | undefined;
  readonly mode: LabelMode;
  readonly nameOf: (index: number) => string;
  readonly wrong: (what: string) => FleetError;
}): Numbering {
  const { labels, stated, mode, nameOf, wrong } = options;
  let largest = -1;
  let images = 0;
  for (let i = 0; i < labels.length; i++) {
    if (labels[i]! > largest) largest = labels[i]!;
    if (labels[i]! >= 0) images += 1;
  }
  if (largest < 0) throw wrong('no image has a label');
  const classOf = new Int32Array(largest + 1).fill(-1);
  for (const label of labels) if (label >= 0) classOf[label] = 0;
  let found = 0;
  for (let label = 0; label <= largest; label++) if (classOf[label] === 0) classOf[label] = found++;
  if (mode === 'renumber') return { classes: found, classOf: found === largest + 1 ? undefined : classOf };

  const count = stated ?? largest + 1;
  const onward = `; its ${images} images have ${found} different labels, ${labelRanges(classOf, 3)}: with \`data.labels: renumber\` they become classes 0 to ${found - 1}, and the map is kept with the model`;
  if (largest >= count)
    throw wrong(
      `${nameOf(labels.indexOf(largest))} has label ${largest}, but property counts ${count} classes (0..${count - 1})${onward}`,
    );
  if (count > images) throw wrong(`${count} classes, but only ${images} images${onward}`);
  const missing = found === count ? -1 : found === largest + 1 ? found : classOf.indexOf(-1);
  if (missing >= 0)
    throw wrong(
      missing === 0 && classOf[1] !== -1
        ? `class 0 of ${count} has no image, labels begin with 1${onward}`
        : `class ${missing} of ${count} has no image${onward}`,
    );
  return { classes: count, classOf: undefined };
}

/**
 * Labels in the order of their classes, as ranges: "1-7, 9". With `most` only so many ranges, and how many
 * more there are.
 */
export function labelRanges(classOf: Int32Array, most = Number.POSITIVE_INFINITY): string {
  const ranges: string[] = [];
  let more = 0;
  for (let label = 0; label < classOf.length; label++) {
    if (classOf[label]! < 0) continue;
    const first = label;
    while (label + 1 < classOf.length && classOf[label + 1]! >= 0) label += 1;
    if (ranges.length < most) ranges.push(first === label ? `${first}` : `${first}-${label}`);
    else more += 1;
  }
  return ranges.join(', ') + (more > 0 ? ` and ${more} more ranges` : '');
}
