// How well a network classifies a batch, from its logits. Decides what of a batch counts and how its losses are
// summed: in double precision, in the order of the images.

/** Of some images: sums, which those of other images can be added to. */
export interface LogitsScore {
  /** Sum of the cross entropies of the images with their labels, nats. */
  readonly loss: number;
  /** Images whose label has the largest logit; of equal ones the first counts. */
  readonly right: number;
}

/** `logits` [b, K], `labels` [b]; `images`: so many of the first ones count, default b. */
export function scoreLogits(
  logits: Float32Array,
  labels: ArrayLike<number>,
  images: number = labels.length,
): LogitsScore {
  const classes = logits.length / labels.length;
  let [loss, right] = [0, 0];
  for (let image = 0; image < images; image++) {
    const row = logits.subarray(image * classes, (image + 1) * classes);
    const label = labels[image]!;
    let best = 0;
    for (let other = 1; other < classes; other++) if (row[other]! > row[best]!) best = other;
    right += Number(best === label);
    // About the largest logit, so that no exponential overflows.
    let sum = 0;
    for (const logit of row) sum += Math.exp(logit - row[best]!);
    loss += Math.log(sum) + row[best]! - row[label]!;
  }
  return { loss, right };
}
