// What is trained while faults happen: texts of small runs that are submitted again and again.

/** A run that must end with the same bytes whatever happens to it. */
export interface Disturbed {
  /** For the log. */
  readonly said: string;
  /** The text of a run of this name, for so many workers at most. */
  readonly yaml: (name: string, workersMax: number) => string;
}

/** 5 training identities x 24 images = 120 images, 16 a step: 8 epochs of 7.5 steps, a checkpoint each. */
export const training = (sync: string): Disturbed => ({
  said: sync,
  yaml: (name, workersMax) => `
kind: teacher
name: ${name}
network: { kind: pocketnet, channels: 2, layers: 4, embedding: 8, genotype: casia }
data: { kind: synthetic, identities: 8, images: 24, holdout: 3, seed: 5 }
training:
  epochs: 8
  batch: 16
  shards: 8
  seed: 7
  sync: ${sync}
  optimizer: { learningRate: 0.05, milestones: [6] }
verification: { pairs: 40 }
workers: { min: 1, max: ${workersMax} }
`,
});

/** 6 training identities x 8 images: 24 images in each half, 8 a step: 4 epochs of 3 steps, a genotype each. */
export const searching = (order: 'first' | 'second', variant: 'noleak' | 'darts'): Disturbed => ({
  said: `search, ${order} order, ${variant}`,
  yaml: (name, workersMax) => `
kind: search
name: ${name}
supernet: { channels: 2, layers: 4 }
data: { kind: synthetic, identities: 8, images: 8, holdout: 2, seed: 5 }
search: { order: ${order}, variant: ${variant}, epochs: 4, batch: 8, shards: 4, seed: 7, warmUpEpochs: 1, force: true }
workers: { min: 1, max: ${workersMax} }
`,
});
