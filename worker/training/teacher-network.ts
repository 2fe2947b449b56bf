// A stage of a teacher as a student's step uses it: raw embeddings of the same shard batch, and the weight of the
// distillation term. Decides how a block that nobody has is computed here: as one pass over the batch, or from rows of
// single images that are kept, where the network's rows are proven to depend on neither batch nor place.

import type { Clock } from '../../core/clock.ts';
import { FleetError } from '../../core/errors.ts';
import { type BlockForm, type DistillationSpec, distillationWeightAt } from '../../core/spec/distillation.ts';
import type { NetworkSpec } from '../../core/spec/network.ts';
import { rowsBytesOf } from '../../core/spec/share.ts';
import { formatBytes } from '../../core/text/bytes-text.ts';
import { type BeginPhase, during } from '../../core/worker-time.ts';
import type { Compute } from '../compute/client.ts';
import { roundedBlock } from './block-form.ts';
import type { BlockSupply, Made } from './block-supply.ts';
import { embedByImage, type RowSample } from './by-image.ts';
import type { EmbedPass, RowProofs } from './row-proof.ts';
import type { TeacherBlocks } from './teacher-blocks.ts';
import type { RowSharing, RowsKey, RowsSize, StageRows, TeacherRows } from './teacher-rows.ts';

/** The teacher at one stage, ready to embed shard batches. */
export interface TeacherNetwork {
  readonly stage: number;
  /** Of the checkpoint of that stage, SHA-256, hex. */
  readonly digest: string;
  /**
   * What a step takes beside its batch: raw embeddings [b, E] of the very images that the student sees, and
   * the weight [1].
   */
  inputsOf(batch: ShardBatch): Promise<readonly [Float32Array, Float32Array]>;
  /** Computes the embeddings of a shard batch for the students of all workers, unless somebody has done so, or does. */
  make(
    place: { readonly step: number; readonly shard: number },
    read: () => Promise<Uint8Array>,
  ): Promise<Made>;
  /** Computes the embeddings of a batch before its step; a failure is told to whoever takes them. */
  ahead(batch: ShardBatch): void;
}

/** Images of one shard in one step, RGB bytes, [b, 112, 112, 3]. */
export interface ShardBatch {
  readonly step: number;
  readonly shard: number;
  readonly images: Uint8Array;
}

/** What the networks of all stages of a teacher have in common. */
export interface NetworkOptions {
  readonly teacherRunId: string;
  /** How strong the term is. */
  readonly strength: Pick<DistillationSpec, 'weight' | 'pull'>;
  /** Images of one shard. */
  readonly batch: number;
  /** Where students on this worker share embeddings. */
  readonly blocks: TeacherBlocks;
  /** Of data, order, cut of the steps and form of the blocks (`orderKeyOf`). */
  readonly order: string;
  /** Of the embeddings that students use. */
  readonly form: BlockForm;
  /**
   * So many images had their embeddings computed here for this student, shared with another one here, fetched from the
   * stream, or kept here since an earlier batch, here or on another worker, had them.
   */
  readonly onImages: (images: number, source: 'computed' | 'shared' | 'fetched' | 'kept') => void;
  /** Where rows of single images are kept, and what is known of the batches of this student; absent: nowhere. */
  readonly imageRows?: ImageRows | undefined;
  /** The time in which a step waits for embeddings. */
  readonly begin: BeginPhase;
  /**
   * Size of the embeddings that are compared, to which the teacher's must be equal: the student's, or what its
   * adapter maps them to.
   */
  readonly embedding: number;
  readonly compute: Compute;
  readonly clock: Pick<Clock, 'monotonic'>;
}

/** What it takes to keep embeddings by image. */
export interface ImageRows {
  readonly rows: TeacherRows;
  readonly proofs: RowProofs;
  /** Names the data set by its content (`dataKeyOf`). */
  readonly data: string;
  /** Of the rows, as `RowsKey` has it. */
  readonly device: string;
  /** Rows that other workers compute; absent: each is computed here. */
  readonly sharing?: RowSharing | undefined;
  /** Images of the training split. */
  readonly images: number;
  /** 2: a batch may have an image mirrored. */
  readonly flips: 1 | 2;
  /** The spec asks for it: what stands in the way is a failure then, and otherwise told here. */
  readonly isAsked: boolean;
  /** The images of a batch, in their order. */
  samplesOf(step: number, shard: number): readonly RowSample[];
  readonly onRefused: (reason: string) => void;
}

/** A stage that is stored, whose network is loaded at most once. */
export interface OpenStage {
  readonly stored: StoredStage;
  load(): Promise<StoredNetwork>;
  /** The longest that loading may still take, milliseconds; 0 once it is loaded. */
  loadMsMax(): number;
}

/** What a network is taken to be loaded with at least, bytes a millisecond (10 MB/s). */
const LOAD_BYTES_PER_MS = 10_000;

/** Loads nothing yet. */
export function openStage(options: NetworkOptions, stored: StoredStage, signal: AbortSignal): OpenStage {
  let loading: Promise<StoredNetwork> | undefined;
  let isLoaded = false;
  return {
    stored,
    load() {
      if (loading !== undefined) return loading;
      const begun = stored.load(signal).then((network) => {
        assertComparable(network, options);
        isLoaded = true;
        return network;
      });
      loading = begun;
      // Whoever needs it next loads it again.
      begun.catch(() => {
        loading = undefined;
      });
      return begun;
    },
    loadMsMax: () => (isLoaded ? 0 : stored.bytes / LOAD_BYTES_PER_MS),
  };
}

/** The teacher at a stage, in an epoch of the student. */
export function teacherNetwork(
  options: NetworkOptions,
  open: OpenStage,
  of: {
    readonly stage: number;
    readonly epoch: number;
    readonly supply: () => BlockSupply | undefined;
    readonly rowBytesMax: () => number | undefined;
    readonly onPass: (images: number, seconds: number) => void;
  },
): TeacherNetwork {
  const { batch, blocks, order, embedding, onImages } = options;
  const { stage, epoch, supply } = of;
  const weight = Float32Array.of(distillationWeightAt(options.strength, { epoch, embedding }));
  const keyOf = ({ step, shard }: { readonly step: number; readonly shard: number }) => ({
    ...{ network: open.stored.networkDigest, order, step, shard },
  });
  const length = batch * embedding;
  const computed = createComputation(options, open, of);
  const embeddings = async (taken: ShardBatch): Promise<Float32Array> => {
    const key = keyOf(taken);
    const compute = () => computed(taken, taken.images);
    const { block, isShared } = blocks.get(key, async () => {
      const supplied = await supply()?.obtain(key, length, compute);
      if (supplied === undefined) return compute();
      if (supplied.source === 'fetched') onImages(batch, 'fetched');
      return supplied.values;
    });
    const values = await block;
    if (isShared) onImages(batch, 'shared');
    return values;
  };
  /** Blocks that were begun before their step, so that none is counted twice. */
  const early = new Map<string, Promise<Float32Array>>();
  return {
    stage,
    digest: open.stored.digest,
    async inputsOf(taken) {
      const name = `${taken.step}/${taken.shard}`;
      const begun = early.get(name);
      early.delete(name);
      return [await during(options.begin, 'teacher_pass', begun ?? embeddings(taken)), weight];
    },
    async make(place, read) {
      const compute = async () => computed(place, await read());
      return (await supply()?.make(keyOf(place), length, compute)) ?? 'away';
    },
    ahead(next) {
      const name = `${next.step}/${next.shard}`;
      if (early.has(name)) return;
      const block = embeddings(next);
      block.catch(() => undefined);
      early.set(name, block);
    },
  };
}

/**
 * Computes the block of a shard batch here, as one pass over it or from rows of its images; it is rounded as students use
 * it. Rows that are kept are not.
 */
function createComputation(
  options: NetworkOptions,
  open: OpenStage,
  { rowBytesMax, onPass }: Pick<Parameters<typeof teacherNetwork>[2], 'rowBytesMax' | 'onPass'>,
): (place: { readonly step: number; readonly shard: number }, images: Uint8Array) => Promise<Float32Array> {
  const { batch, embedding, form, imageRows, onImages, clock } = options;
  return async ({ step, shard }, images) => {
    const stored = await open.load();
    const pass = async (size: number, of: Uint8Array) => {
      const begunAt = clock.monotonic();
      const values = await embed(options, stored, size, of);
      onPass(size, (clock.monotonic() - begunAt) / 1000);
      return values;
    };
    const bytesMax = rowBytesMax();
    const rows =
      imageRows === undefined || bytesMax === undefined
        ? undefined
        : await rowsOf(imageRows, { ...{ stored, open, pass, bytesMax }, ...{ batch, embedding } });
    if (rows === undefined || imageRows === undefined) {
      const values = await pass(batch, images);
      onImages(batch, 'computed');
      return roundedBlock(values, embedding, form);
    }
    const { values, kept, computed, fresh } = await embedByImage({
      ...{
        rows: rows.rows,
        images,
        embedding,
        flips: imageRows.flips,
        samples: imageRows.samplesOf(step, shard),
      },
      pass: (of) => pass(batch, of),
    });
    if (computed > 0) onImages(computed, 'computed');
    if (fresh.length > 0) imageRows.sharing?.tell(rows.key, rows.size, fresh);
    if (kept > 0) onImages(kept, 'kept');
    return roundedBlock(values, embedding, form);
  };
}

/** The rows of a stage that are kept; undefined where none are, for a reason that is told. */
async function rowsOf(
  { rows, proofs, data, device, sharing, images, flips, isAsked, onRefused }: ImageRows,
  of: Pick<NetworkOptions, 'batch' | 'embedding'> & {
    readonly stored: StoredNetwork;
    readonly open: OpenStage;
    readonly pass: EmbedPass;
    readonly bytesMax: number;
  },
): Promise<{ readonly rows: StageRows; readonly key: RowsKey; readonly size: RowsSize } | undefined> {
  const { stored, open, pass, bytesMax, batch, embedding } = of;
  const refuse = (reason: string) => {
    if (isAsked)
      throw new FleetError('invalidArgument', `distillation.embed: by-image is refused: ${reason}`);
    onRefused(reason);
    return undefined;
  };
  const proof = await proofs.of(stored.network, batch, pass);
  if (!proof.isProven) return refuse(proof.reason);
  const size = { images, flips, embedding };
  const key = { network: open.stored.networkDigest, data, device, group: proof.group };
  const found = rows.of(key, size, bytesMax);
  if (found !== undefined) {
    sharing?.follow(key, size);
    return { rows: found, key, size };
  }
  return refuse(
    `the rows of a stage take ${formatBytes(rowsBytesOf(size))}, and a worker keeps at most ${formatBytes(bytesMax)} (imageRowsBytes of the coordinator)`,
  );
}

/** The raw embeddings [b, E] of a batch, by the graph that every student uses. */
async function embed(
  { compute }: Pick<NetworkOptions, 'compute'>,
  stored: StoredNetwork,
  batch: number,
  images: Uint8Array,
): Promise<Float32Array> {
  const [embeddings] = await compute.runGraph({ kind: 'embed', network: stored.network, batch }, [
    stored.weights,
    stored.running,
    images,
  ]);
  if (!embeddings) throw new FleetError('internal', "the teacher's graph gave no output");
  return embeddings;
}

function assertComparable(stored: StoredNetwork, options: NetworkOptions): void {
  if (stored.network.embedding !== options.embedding)
    throw new FleetError(
      'invalidArgument',
      `teacher ${options.teacherRunId} has embeddings of ${stored.network.embedding} and the student of ${options.embedding}; distillation compares them directly`,
    );
}

/** A stage of a teacher that is stored. Its embeddings are named by what stands here, without its network. */
export interface StoredStage {
  /** Of the checkpoint, SHA-256, hex. */
  readonly digest: string;
  /** Of its values alone, backbone and running statistics; SHA-256, hex. */
  readonly networkDigest: string;
  /** Of the network as it is stored. */
  readonly bytes: number;
  /** The network; the students of a worker that load it at about the same time share it. */
  load(signal: AbortSignal): Promise<StoredNetwork>;
}

/** A network as an evaluation graph takes it, in memory that the compute thread shares. */
export interface StoredNetwork {
  readonly network: NetworkSpec;
  /** Backbone alone. */
  readonly weights: Float32Array;
  readonly running: Float32Array;
}
