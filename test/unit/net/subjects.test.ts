// Names of two fleets, of one fleet with two journals, and of a fleet from before names had prefixes.

import { deepEqual, equal, throws } from 'node:assert/strict';
import { test } from 'node:test';
import { type Names, namesOf, PREFIXES_OF_OLD, prefixesOf } from '../../../core/net/subjects.ts';
import { FLEET_NAME } from '../../../core/text/wire-text.ts';

/** Every stream, bucket and subject, for comparison. */
const fixed = (names: Names) => [
  names.journalStream,
  names.journalSubject,
  names.journalMarkSubject,
  names.fleetBucket,
  names.artefactStream,
  names.blobChunkSubject('d', 0),
  names.manifestBucket,
  names.historyStream,
  names.logStream,
  names.presenceSubject('w', 'i'),
];
/** What belongs to run-1. */
const ofRun = (names: Names) => [
  names.checkpointKey('run-1', 1),
  names.evaluationKey('run-1'),
  names.historySubject('run-1'),
  names.logSubject('run-1', 'w'),
  names.rankSubject('run-1', 1, 0),
  names.gangSubject('run-1', 1),
  names.hostsSubject('run-1', 1, 0),
];

const [a, b, later] = [
  namesOf(prefixesOf('a', 'u1')),
  namesOf(prefixesOf('b', 'u2')),
  namesOf(prefixesOf('a', 'u3')),
];
const old = namesOf(PREFIXES_OF_OLD);

test('two fleets have no name in common, and a new journal of a fleet finds nothing of the runs before', () => {
  const [first, second] = [a, b].map((names) => [...fixed(names), ...ofRun(names).slice(2)]);
  deepEqual(
    first!.filter((name) => second!.includes(name)),
    [],
  );
  deepEqual(fixed(a), fixed(later));
  deepEqual(
    ofRun(a).filter((name) => ofRun(later).includes(name)),
    [],
  );
});

test('a fleet from before the prefixes keeps the names that it had', () => {
  deepEqual(fixed(old), [
    'PF_JOURNAL',
    'pf.journal',
    'pf.journal.truncated',
    'pf-fleet',
    'PF_ARTEFACTS',
    'pf.artefact.d.0',
    'pf-manifests',
    'PF_HISTORY',
    'PF_LOGS',
    'pf.presence.w.i',
  ]);
  deepEqual(ofRun(old), [
    'checkpoint.run-1.1',
    'evaluation.run-1',
    'pf.history.run-1',
    'pf.logs.run-1.w',
    'pf.ar.run-1.1.r.0',
    'pf.ar.run-1.1.all',
    'pf.ar.run-1.1.h.0',
  ]);
});

test('what a stream takes covers its subjects, and those of no other fleet', () => {
  const covers = (filter: string, subject: string): boolean => {
    const [wanted, found] = [filter.split('.'), subject.split('.')];
    return wanted.length === found.length && wanted.every((part, i) => part === '*' || part === found[i]);
  };
  for (const names of [a, later, old]) {
    equal(covers(names.historySubjects, names.historySubject('run-1')), true);
    equal(covers(names.logSubjects, names.logSubject('run-1', 'w')), true);
  }
  for (const names of [b, old]) {
    equal(covers(a.historySubjects, names.historySubject('run-1')), false);
    equal(covers(a.logSubjects, names.logSubject('run-1', 'w')), false);
  }
});

test('a name or uid that is no part of a subject is refused, and so is a name that begins subjects of old', () => {
  throws(() => prefixesOf('a.b', 'u'), /fleet: expected letters/);
  throws(() => prefixesOf('a', ''), /journal: expected letters/);
  for (const name of ['history', 'logs', 'journal', 'ar', 'Two', 'a b', ''])
    equal(FLEET_NAME.test(name), false);
  for (const name of ['local', 'history-2', 'a']) equal(FLEET_NAME.test(name), true);
});
