// The rights of a worker: the page that administrators copy from, and what is never among them.

import { deepEqual, equal } from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { SERVICES_OF_FLEET, SERVICES_OF_WORKERS, workerRights } from '../../../core/net/rights.ts';
import { namesOf, PREFIXES_OF_OLD, prefixesOf } from '../../../core/net/subjects.ts';

test('docs/broker.md lists exactly the rights of a worker, and what passes between the accounts', () => {
  const page = readFileSync(new URL('../../../docs/broker.md', import.meta.url), 'utf8');
  const blocks = [...page.matchAll(/```text\n([^`]*)```/g)].map(([, block]) => block!.trim().split('\n'));
  const { publish, subscribe } = workerRights(
    namesOf({ streams: 'PF_FLEET_', subjects: 'pf.FLEET.', keys: '*.' }),
    'ID',
  );
  deepEqual(blocks, [publish, subscribe, [...SERVICES_OF_FLEET], [...SERVICES_OF_WORKERS]]);
});

test('no right of a worker reaches the journal, a list, a consumer, another worker or another fleet', () => {
  for (const prefixes of [prefixesOf('local', 'u1'), PREFIXES_OF_OLD]) {
    const names = namesOf(prefixes);
    const { publish, subscribe } = workerRights(names, 'w1');
    const others = [
      ...[
        names.journalSubject,
        names.journalMarkSubject,
        names.importSubject,
        names.snapshotSubject(0, 'head'),
      ],
      ...[`$KV.${names.fleetBucket}.journal`, `$KV.${names.fleetBucket}.leader`],
      ...['INFO', 'STREAM.LIST', 'STREAM.NAMES'].map((what) => `$JS.API.${what}`),
      ...['CREATE', 'UPDATE', 'DELETE', 'PURGE', 'INFO', 'MSG.GET', 'MSG.DELETE', 'SNAPSHOT'].flatMap(
        (what) =>
          [names.journalStream, names.artefactStream, names.manifestStream].map(
            (stream) => `$JS.API.STREAM.${what}.${stream}`,
          ),
      ),
      `$JS.API.DIRECT.GET.${names.journalStream}`,
      `$JS.API.DIRECT.GET.${names.journalStream}.${names.journalSubject}`,
      `$JS.API.DIRECT.GET.${names.manifestStream}`,
      `$JS.API.CONSUMER.CREATE.${names.manifestStream}.x`,
      ...[names.logSubject('run-1', 'w2'), names.presenceSubject('w2', 'i'), `${names.inboxPrefix('w2')}.x`],
      ...['$SYS.REQ.SERVER.PING', '>', 'x'],
      namesOf(prefixesOf('other', 'u9')).historySubject('run-1'),
    ];
    for (const subject of others)
      equal(
        [...publish, ...subscribe].find((right) => covers(right, subject)),
        undefined,
        subject,
      );
    for (const subject of [
      names.rankSubject('run-1', 3, 1),
      names.gangSubject('run-1', 3),
      names.hostsSubject('run-1', 3, 1),
      names.logSubject('-', 'w1'),
      names.historySubject('run-1'),
      names.chunkSubject('run-1', 'a'.repeat(64)),
      `$KV.${names.manifestBucket}.${names.checkpointKey('run-1', 4)}`,
    ])
      equal(publish.filter((right) => covers(right, subject)).length, 1, subject);
  }
});

/** Whether a right with wildcards covers a subject. */
function covers(right: string, subject: string): boolean {
  const [parts, tokens] = [right.split('.'), subject.split('.')];
  const tail = parts.indexOf('>');
  if (tail >= 0 ? tokens.length <= tail : tokens.length !== parts.length) return false;
  return parts.every((part, i) => part === '*' || part === '>' || part === tokens[i]);
}
