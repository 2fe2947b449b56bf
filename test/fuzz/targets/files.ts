// Files that commands and programs read on their machine: of a fleet, of tokens, of certificates, of a journal.

import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { messagesIn } from '../../../coordinator/cli/commands/journal-files.ts';
import {
  fleetFilePath,
  readChildren,
  readFleetFile,
  writeChildren,
} from '../../../coordinator/cli/local/fleet-file.ts';
import { readJoinFile } from '../../../coordinator/cli/local/join-file.ts';
import { FleetError } from '../../../core/errors.ts';
import { makeAuthority, makeCertificate, readAuthority } from '../../../core/net/authority.ts';
import { expiryMs, readTlsFiles } from '../../../core/net/tls-files.ts';
import { singleToken } from '../../../core/net/token-book.ts';
import { newToken, readTokens, tokenDigest, tokensText } from '../../../core/net/token-file.ts';
import { journalFixture } from '../../support/journal-fixtures.ts';
import type { Sections, Target } from '../target.ts';

const text = (bytes: Uint8Array | undefined): string => Buffer.from(bytes ?? []).toString('utf8');
const json = (value: unknown): Buffer => Buffer.from(JSON.stringify(value));

/** Reads all; throws the first refusal, and whatever is none. */
async function all(...reads: readonly (() => unknown)[]): Promise<void> {
  let refusal: FleetError | undefined;
  for (const read of reads)
    try {
      await read();
    } catch (caught) {
      if (!(caught instanceof FleetError) || caught.code === 'internal') throw caught;
      refusal ??= caught;
    }
  if (refusal !== undefined) throw refusal;
}

const fleet = { fleet: 'local', coordinator: '127.0.0.1:7070', token: 'secret' };
const tokens = tokensText([
  {
    ...{ name: 'ada', role: 'submit', sha256: tokenDigest('x'), created: '2027-01-01T00:00:00Z' },
    ...{ createdBy: 'fleet', expires: '2028-01-01T00:00:00Z' },
  },
]);

const fleets: Target = {
  name: 'fleet-files',
  decoders: [
    'coordinator/cli/local/fleet-file.ts',
    'coordinator/cli/local/join-file.ts',
    'core/net/token-file.ts',
    'core/net/token-book.ts',
  ],
  corpus: () => [
    [
      json({ ...fleet, metrics: '127.0.0.1:9', natsUrl: 'nats://127.0.0.1:4222', pid: 7 }),
      json({ ...fleet, ca: 'a', cert: 'b', key: 'c' }),
      Buffer.from(tokens),
      Buffer.from(`${newToken('worker')}\n`),
      json([{ name: 'nats', pid: 7, startTicks: '12' }]),
    ],
  ],
  decode([fleetFile, joinFile, tokenFile, token, children], scratch) {
    const joinPath = join(scratch, 'join.json');
    writeFileSync(fleetFilePath(scratch), fleetFile!);
    writeFileSync(joinPath, joinFile!);
    writeChildren(scratch, []);
    writeFileSync(join(scratch, 'children.json'), children!);
    return all(
      () => readFleetFile(scratch),
      () => readJoinFile(joinPath),
      () => readTokens(text(tokenFile), 'tokens.yaml'),
      () => singleToken(text(token), 'token'),
      () => readChildren(scratch),
    );
  },
  memory: { times: 1_000, plus: 64 << 20 },
  lines: true,
  cases: 25,
};

const certificates: Target = {
  name: 'certificates',
  decoders: ['core/net/tls-files.ts', 'core/net/authority.ts'],
  async corpus() {
    const authority = await makeAuthority('local');
    const own = await makeCertificate({ authority, holder: 'worker', names: ['localhost'], days: 1 });
    return [[own.cert, own.key, authority.cert, authority.key].map((pem) => Buffer.from(pem))];
  },
  decode(sections, scratch) {
    const paths = sections.map((bytes, i) => {
      const path = join(scratch, `${i}.pem`);
      writeFileSync(path, bytes);
      return path;
    });
    const [certFile = '', keyFile = '', caFile = '', caKey = ''] = paths;
    return all(
      () => {
        const { cert = '' } = readTlsFiles({ certFile, keyFile, caFile });
        expiryMs(cert);
      },
      () => readAuthority({ cert: readFileSync(caFile, 'utf8'), key: readFileSync(caKey, 'utf8') }),
    );
  },
  cases: 25,
};

function exportFile(name: string): Sections {
  const messages = journalFixture(name).slice(0, 3);
  const lines = messages.map(({ data, ...rest }) =>
    JSON.stringify({ ...rest, base64: Buffer.from(data).toString('base64') }),
  );
  return [Buffer.from(`${lines.join('\n')}\n`)];
}

const journalFiles: Target = {
  name: 'journal-file',
  decoders: ['coordinator/cli/commands/journal-files.ts'],
  corpus: () =>
    ['format-1/plan-in-mid-training', 'format-2/plan-in-mid-training', 'format-3/plan-in-mid-training'].map(
      exportFile,
    ),
  async decode([bytes], scratch) {
    const path = join(scratch, 'journal.jsonl');
    writeFileSync(path, bytes!);
    for await (const { data } of messagesIn(path)) data.length;
  },
  cases: 40,
};

export const fileTargets: readonly Target[] = [fleets, certificates, journalFiles];
