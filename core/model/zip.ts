// Members of a zip file on disk, read one by one and in part, so that a file larger than memory is no
// problem: PyTorch stores its members uncompressed, and a tensor is then a range of the file. Decides which
// zip files are sound, and how much a compressed member (of a file that somebody packed anew) may cost: it is
// inflated as a stream, of which only the range asked for is kept.
//
// yauzl reads the directory, in all its forms (64-bit sizes, names in UTF-8), and refuses names that leave
// the archive. What it leaves to its caller is decided here: two members of one name, encryption, and sizes
// that no honest file has.

import type { FileHandle } from 'node:fs/promises';
import { type Entry, fromFdPromise, type ZipFile } from 'yauzl';
import { FleetError } from '../errors.ts';
import { excerpt } from '../text/printable.ts';
import { damaged, readAt } from './file-bytes.ts';

export interface ZipMember {
  readonly name: string;
  /** Bytes when uncompressed. */
  readonly size: number;
  /** Bytes [from, to) of it, in memory of their own; all by default. */
  read(from?: number, to?: number): Promise<Uint8Array>;
}

/** Ten thousand tensors are as many members and a few. */
const MEMBERS_MAX = 200_000;
/** Of one compressed member; a larger one belongs into the file as it is, where parts of it can be read. */
const INFLATED_BYTES_MAX = 2 ** 31;
/** Deflate makes at most 1032 bytes of one (258 of two bits); a directory that claims more lies. */
const DEFLATE_RATIO_MAX = 1032;

/** Members in the order of the directory. `where` names the file in errors. */
export async function readZip(file: FileHandle, where: string): Promise<Map<string, ZipMember>> {
  const { size: fileBytes } = await file.stat();
  const zip = await openDirectory(file, where);
  const members = new Map<string, ZipMember>();
  try {
    for await (const entry of zip.eachEntry()) {
      const refused =
        refusalOf(entry, fileBytes) ?? (members.has(entry.fileName) ? 'is there twice' : undefined);
      if (refused !== undefined) throw damaged(where, `member ${excerpt(entry.fileName)} ${refused}`);
      members.set(entry.fileName, memberOf({ file, zip, entry, where }));
    }
  } catch (caught) {
    if (caught instanceof FleetError) throw caught;
    throw damaged(where, `its zip directory is not sound (${wordsOf(caught)})`, caught);
  }
  return members;
}

async function openDirectory(file: FileHandle, where: string): Promise<ZipFile> {
  let zip: ZipFile;
  try {
    // The caller closes the handle.
    zip = await fromFdPromise(file.fd, { autoClose: false, strictFileNames: true });
  } catch (caught) {
    throw damaged(
      where,
      `it has no zip directory at its end; it may be cut off (${wordsOf(caught)})`,
      caught,
    );
  }
  if (zip.entryCount > MEMBERS_MAX)
    throw damaged(where, `its directory claims ${zip.entryCount} members, more than ${MEMBERS_MAX}`);
  return zip;
}

/**
 * What is wrong with a member by its directory entry alone, as the rest of a sentence that begins with its
 * name.
 */
function refusalOf(entry: Entry, fileBytes: number): string | undefined {
  const { compressionMethod: method, compressedSize, uncompressedSize: size } = entry;
  if (entry.isEncrypted()) return 'is encrypted';
  if (entry.relativeOffsetOfLocalHeader + compressedSize > fileBytes)
    return `claims ${size} bytes of a file of ${fileBytes}`;
  if (method === 8 && size > DEFLATE_RATIO_MAX * compressedSize)
    return `claims to inflate from ${compressedSize} to ${size} bytes, which deflate cannot do`;
  return undefined;
}

interface Place {
  readonly file: FileHandle;
  readonly zip: ZipFile;
  readonly entry: Entry;
  readonly where: string;
}

function memberOf(place: Place): ZipMember {
  const { file, zip, entry, where } = place;
  const { fileName: name, uncompressedSize: size, compressionMethod: method } = entry;
  return {
    name,
    size,
    async read(from = 0, to = size) {
      if (from < 0 || to > size || from > to)
        throw damaged(where, `bytes ${from}..${to} of member ${excerpt(name)} are asked for, it has ${size}`);
      if (method === 8) return inflated(place, from, to);
      if (method !== 0)
        throw damaged(
          where,
          `member ${excerpt(name)} is compressed by method ${method}; stored and deflated are known`,
        );
      const { fileDataStart } = await zip
        .readLocalFileHeaderPromise(entry, { minimal: true })
        .catch((caught: unknown) => {
          throw damaged(
            where,
            `member ${excerpt(name)} is not where the directory says (${wordsOf(caught)})`,
            caught,
          );
        });
      return readAt(file, fileDataStart + from, to - from, where);
    },
  };
}

/**
 * Inflates up to byte `to` and keeps what lies from `from` on: memory for the range, and time for what is
 * before it.
 */
async function inflated({ zip, entry, where }: Place, from: number, to: number): Promise<Uint8Array> {
  const { fileName: name, uncompressedSize: size } = entry;
  if (size > INFLATED_BYTES_MAX)
    throw damaged(where, `member ${excerpt(name)} would inflate to ${size} bytes; store it uncompressed`);
  const bytes = new Uint8Array(to - from);
  let at = 0;
  try {
    // The stream fails as soon as it has given more bytes than the directory promised, and at its end when it
    // has given fewer.
    for await (const chunk of await zip.openReadStreamPromise(entry)) {
      const part = (chunk as Buffer).subarray(Math.max(0, from - at), Math.max(0, to - at));
      bytes.set(part, Math.max(0, at - from));
      at += (chunk as Buffer).length;
      if (at >= to && to < size) break;
    }
  } catch (caught) {
    throw damaged(where, `member ${excerpt(name)} does not inflate to the ${size} bytes it claims`, caught);
  }
  return bytes;
}

const wordsOf = (caught: unknown): string =>
  excerpt(caught instanceof Error ? caught.message : String(caught), 200);
