// The runs of the benchmark of distillation: a teacher whose pass costs several times a step of the students, and
// students of one order, at two sizes.

/** How much is computed. */
export interface Size {
  readonly students: number;
  readonly epochs: number;
  /** Of the teacher and the students; training images are those of all identities but two. */
  readonly identities: number;
  readonly batch: number;
  readonly shards: number;
  readonly teacherNetwork: string;
  /** Workers of the fleet in which many students share. */
  readonly workers: number;
}

const IMAGES = 8;
const HELD_OUT = 2;
const STUDENT_NETWORK = '{ kind: pocketnet, channels: 4, layers: 4, embedding: 32, genotype: casia }';
/** Whose step takes as long as a step of the student and a pass of this one. */
const LARGER_NETWORK = '{ kind: pocketnet, channels: 4, layers: 6, embedding: 32, genotype: casia }';

/** IResNet-18 in the shape of the stages that PocketNet learns from, and its smallest student. */
export const FULL: Size = {
  ...{ students: 8, epochs: 3, identities: 14, batch: 16, shards: 4, workers: 5 },
  teacherNetwork: '{ kind: iresnet, blocks: [2, 2, 2, 2], embedding: 32 }',
};
/** A look in some minutes on one core. */
export const SMALL: Size = {
  ...{ students: 8, epochs: 3, identities: 8, batch: 8, shards: 2, workers: 3 },
  teacherNetwork:
    '{ kind: iresnet, blocks: [1, 1, 1, 1], widths: [16, 32, 64, 128], stem: 16, embedding: 32 }',
};

/** With an embedding run of its own for the student, or with the teacher's pass in the student's worker. */
export type Passes = 'stream' | 'own';

/**
 * Teacher and student whose stages take equal times, in so many epochs that a student beside its teacher may end in 0.55 of
 * the time of one after the other: with E epochs that is (E + 1) / 2E at best, which three epochs leave at 0.67, twelve at
 * 0.54 and these at 0.52. `stream`: both have one network, and a third worker embeds. `own`: the student's stage has the
 * teacher's pass in it, so that the teacher is larger by as much.
 */
export const withEqualStages = (size: Size, passes: Passes): Size => ({
  ...size,
  epochs: 24,
  teacherNetwork: passes === 'stream' ? STUDENT_NETWORK : LARGER_NETWORK,
});

/** Training images of one epoch. */
export const imagesOf = ({ identities }: Size): number => (identities - HELD_OUT) * IMAGES;

const common = ({ identities, batch, shards, epochs }: Size, of: { order: number; seed: number }) => `
data: { kind: synthetic, identities: ${identities}, images: ${IMAGES}, holdout: ${HELD_OUT}, seed: 5 }
training: { epochs: ${epochs}, batch: ${batch}, shards: ${shards}, seed: ${of.seed}, order: ${of.order}, optimizer: { learningRate: 0.02 } }
verification: { pairs: 20 }`;

export const teacherText = (size: Size, order: number): string => `
kind: teacher
name: teacher-${order}
network: ${size.teacherNetwork}
priority: 60
checkpoints: { keep: all }${common(size, { order, seed: order })}
`;

/** `teacher`: id or name; undefined: the same network alone, which learns from nobody. */
export const studentText = (
  size: Size,
  of: {
    readonly teacher: string | undefined;
    readonly order: number;
    readonly seed: number;
    readonly share?: Passes;
  },
): string => `
kind: ${of.teacher === undefined ? 'candidate' : 'student'}
name: student-${of.order}-${of.seed}
network: ${STUDENT_NETWORK}${common(size, of)}
${of.teacher === undefined ? '' : `distillation: { teacher: ${of.teacher}, share: ${of.share ?? 'stream'} }`}
`;
