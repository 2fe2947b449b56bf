// Reads which libraries a shared library needs and where the loader looks for them: the dynamic section of
// 64-bit little-endian ELF, which every platform with a pinned libtensorflow has. Follows the rules of
// ld.so(8) for DT_RUNPATH and DT_RPATH; LD_LIBRARY_PATH and the loader's own folders are the machine's, and
// are left to it.

import { closeSync, existsSync, openSync, readSync } from 'node:fs';
import { dirname } from 'node:path';
import { SetupError } from './report.mjs';

const PT_LOAD = 1;
const PT_DYNAMIC = 2;
const DT_NULL = 0n;
const DT_NEEDED = 1n;
const DT_STRTAB = 5n;
const DT_STRSZ = 10n;
const DT_SONAME = 14n;
const DT_RPATH = 15n;
const DT_RUNPATH = 29n;

/**
 * Longer than any real dynamic section, and than any name or list of folders; what a damaged file claims
 * beyond it is not read.
 */
const PART_BYTES_MAX = 1 << 20;
const TEXT_BYTES_MAX = 1 << 16;

/**
 * The loader's other words, `$LIB` and `$PLATFORM`, are the machine's own; folders that need them are left
 * out.
 */
const ORIGIN = /\$ORIGIN\b|\$\{ORIGIN\}/g;

/**
 * Names as they are written in the file: `needed`, `soname`, and the folders of `runpath` and `rpath`,
 * `$ORIGIN` unexpanded.
 */
export function readDynamic(path) {
  const file = openSync(path, 'r');
  try {
    const segments = readSegments(file, path);
    const dynamic = segments.find(({ type }) => type === PT_DYNAMIC);
    if (dynamic === undefined) throw refused(path, 'has no dynamic section, as a program linked statically');
    const entries = readEntries(read(file, path, dynamic.offset, dynamic.size));
    const values = (tag) => entries.filter((entry) => entry.tag === tag).map(({ value }) => value);
    const [address] = values(DT_STRTAB);
    const [size] = values(DT_STRSZ);
    if (address === undefined || size === undefined) throw refused(path, 'has no table of names');
    const table = { offset: fileOffset(segments, address, path), size: Number(size) };
    const names = (tag) => values(tag).map((at) => readText(file, path, table, Number(at)));
    const folders = (tag) => names(tag).flatMap((text) => text.split(':').filter((folder) => folder !== ''));
    return {
      needed: names(DT_NEEDED),
      soname: names(DT_SONAME)[0],
      runpath: folders(DT_RUNPATH),
      rpath: folders(DT_RPATH),
    };
  } finally {
    closeSync(file);
  }
}

/**
 * Folders in which the loader looks first for what the library at `path` opens or needs. DT_RPATH counts only
 * without a DT_RUNPATH. `$ORIGIN` is the folder of the path by which the library is opened: the loader
 * follows no symbolic link for it.
 */
export function searchFolders(path, { runpath, rpath } = readDynamic(path)) {
  const folders = (runpath.length > 0 ? runpath : rpath)
    .filter((folder) => !folder.replace(ORIGIN, '').includes('$'))
    .map((folder) => folder.replace(ORIGIN, () => dirname(path)));
  // TensorFlow's build names each of its eighteen folders some forty times.
  return [...new Set(folders)];
}

/**
 * Where the loader finds a library of this name for the one at `path`, through that one's own folders;
 * undefined when nowhere.
 */
export function findThrough(path, name, dynamic) {
  // Not `join`, which drops `folder/..` where the system first follows a folder that is a link.
  return searchFolders(path, dynamic)
    .map((folder) => `${folder}/${name}`)
    .find((candidate) => existsSync(candidate));
}

function readSegments(file, path) {
  const header = read(file, path, 0, 64, 'is shorter than a header of ELF');
  if (header.readUInt32BE(0) !== 0x7f454c46) throw refused(path, 'is no ELF file');
  if (header[4] !== 2) throw refused(path, 'is not for 64 bits');
  if (header[5] !== 1) throw refused(path, 'is big-endian');
  const offset = header.readBigUInt64LE(32);
  const [size, count] = [header.readUInt16LE(54), header.readUInt16LE(56)];
  if (size < 56 || count === 0) throw refused(path, 'has no program headers');
  const table = read(file, path, Number(offset), size * count);
  return Array.from({ length: count }, (_, i) => {
    const at = i * size;
    return {
      type: table.readUInt32LE(at),
      offset: Number(table.readBigUInt64LE(at + 8)),
      address: table.readBigUInt64LE(at + 16),
      size: Number(table.readBigUInt64LE(at + 32)),
    };
  });
}

function readEntries(section) {
  const entries = [];
  for (let at = 0; at + 16 <= section.length; at += 16) {
    const entry = { tag: section.readBigInt64LE(at), value: section.readBigUInt64LE(at + 8) };
    if (entry.tag === DT_NULL) break;
    entries.push(entry);
  }
  return entries;
}

/**
 * The place in the file of an address in memory: the dynamic section has addresses, and the loaded segments
 * map them to the file.
 */
function fileOffset(segments, address, path) {
  const segment = segments.find(
    ({ type, address: start, size }) =>
      type === PT_LOAD && address >= start && address < start + BigInt(size),
  );
  if (segment === undefined) throw refused(path, 'has its table of names in no segment');
  return segment.offset + Number(address - segment.address);
}

function read(file, path, offset, size, otherwise = 'ends before its own tables') {
  if (size > PART_BYTES_MAX || offset > Number.MAX_SAFE_INTEGER) throw refused(path, otherwise);
  const bytes = Buffer.alloc(size);
  if (readSync(file, bytes, 0, size, offset) !== size) throw refused(path, otherwise);
  return bytes;
}

/** The table itself may have hundreds of megabytes, so only the text at this place is read. */
function readText(file, path, table, at) {
  if (at >= table.size) throw refused(path, 'has a name outside its table of names');
  const bytes = read(file, path, table.offset + at, Math.min(table.size - at, TEXT_BYTES_MAX));
  const end = bytes.indexOf(0);
  if (end < 0) throw refused(path, 'has a name without an end');
  return bytes.toString('utf8', 0, end);
}

const refused = (path, why) =>
  new SetupError(`${path} ${why}; set-up reads shared libraries of 64-bit Linux (ELF)`);
