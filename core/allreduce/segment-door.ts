// Whether this member shares memory with others of its host, and how. Decides what a host is: one boot of one
// machine, by the id that the kernel gives it.

import { existsSync, readFileSync } from 'node:fs';
import { FleetError } from '../errors.ts';
import { memoryMap } from '../system/memory-map.ts';
import type { ExchangeMemory } from './memory.ts';
import type { SegmentDoor } from './neighbours.ts';
import type { Plan } from './plan.ts';
import { createSegment, openPeerSegment, removeOrphans } from './segment.ts';

/** How members of one host share memory; plain data. */
export interface Sharing {
  /** Folder of files in memory that the processes of the host share, e.g. `/dev/shm`. */
  readonly folder: string;
  /** The same in all processes of one boot of one machine. Default: what the kernel says. */
  readonly host?: string | undefined;
}

const BOOT_ID = '/proc/sys/kernel/random/boot_id';

/**
 * The way to the files of the host; undefined where none is wanted, or the host has no id. What else is missing is the
 * reason that `create` throws when a neighbour is there.
 */
export function segmentDoor(options: {
  readonly plan: Plan;
  readonly rank: number;
  readonly memory: ExchangeMemory;
  readonly sharing: Sharing | undefined;
}): SegmentDoor | undefined {
  const { plan, rank, memory, sharing } = options;
  if (sharing === undefined || sharing.folder === '') return undefined;
  const { folder } = sharing;
  const host = sharing.host ?? bootId();
  if (host === undefined) return undefined;
  const mapping = memoryMap();
  if (mapping === undefined) return { host, create: withoutAddon, open: withoutAddon, sweep: () => {} };
  const common = { plan, rank, memory, folder, mapping };
  return {
    host,
    create: () => createSegment(common),
    open: (source, name) => openPeerSegment(common, source, name),
    sweep: () => removeOrphans(folder, mapping),
  };
}

function withoutAddon(): never {
  throw new FleetError(
    'failedPrecondition',
    'the addon that maps files into memory is not there or does not load; run `npm run setup`',
  );
}

function bootId(): string | undefined {
  return existsSync(BOOT_ID) ? readFileSync(BOOT_ID, 'utf8').trim() : undefined;
}
