// Every name that the chart makes, for every release that helm takes: legal for the kind of object, accepted by the
// programs that read it, and another one for another release. Decides nothing about what a name should look like.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { coordinatorConfigSchema, workerConfigSchema } from '../../core/config.ts';
import { chart, helm, type KubernetesObject, objectsOf } from '../support/helm.ts';

const DNS_LABEL = /^[a-z]([a-z0-9-]{0,61}[a-z0-9])?$/;
const SUBDOMAIN = /^[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*$/;
const LABEL_VALUE = /^[A-Za-z0-9]([A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?$/;
/** Helm's own bound. */
const RELEASE_MAX = 53;
/** A StatefulSet puts this after its name in a label of its pods: a dash and ten characters. */
const REVISION_LENGTH = 11;
const ORDINAL_MAX = 99_999;

const long = 'face-recognition-research-team-europe-production-';
const RELEASES: readonly string[] = [
  'pocketfleet',
  'f',
  '7',
  '2026-fleet',
  'team.faces',
  'pocketfleet.v2.eu',
  `${'a'.repeat(38)}-b`,
  `${'a'.repeat(28)}-`.padEnd(30, 'b'),
  'b'.repeat(40),
  'b'.repeat(41),
  'b'.repeat(RELEASE_MAX),
  `${long}one`,
  `${long}two`,
  `${'c'.repeat(30)}.${'d'.repeat(22)}`,
  `${'1.'.repeat(26)}1`,
  `e${'-'.repeat(50)}e`,
  `${'x'.repeat(29)}-pocketfleet-${'y'.repeat(11)}`,
];

async function rendered(
  release: string,
  ...options: readonly string[]
): Promise<readonly KubernetesObject[]> {
  return objectsOf(await helm('template', release, chart, '--namespace', 'faces', ...options));
}

const key = ({ kind, metadata }: KubernetesObject) => `${kind}/${metadata.name}`;

/** What Kubernetes or our own programs would refuse. */
function faultsOf(objects: readonly KubernetesObject[]): string[] {
  const faults: string[] = [];
  const check = (holds: boolean, what: string) => {
    if (!holds) faults.push(what);
  };
  const checkLabels = (where: string, labels: Readonly<Record<string, string>>) => {
    for (const [label, value] of Object.entries(labels))
      check(LABEL_VALUE.test(value), `${where}: label ${label}=${value}`);
  };
  for (const object of objects) {
    const { kind, metadata, spec } = object;
    const { name } = metadata;
    check(name.length <= 253 && SUBDOMAIN.test(name), `${key(object)}: no subdomain`);
    if (['Service', 'StatefulSet', 'Deployment', 'Job'].includes(kind))
      check(DNS_LABEL.test(name), `${key(object)}: no DNS label`);
    checkLabels(key(object), metadata.labels ?? {});
    const template = spec?.template;
    if (template === undefined) continue;
    checkLabels(`pods of ${key(object)}`, template.metadata.labels);
    for (const { env } of template.spec.containers)
      for (const { name: variable, value } of env) {
        if (variable === 'POCKETFLEET_FLEET')
          check(coordinatorConfigSchema.shape.fleet.safeParse(value).success, `${variable}=${value}`);
        if (variable === 'POCKETFLEET_COORDINATOR')
          check(workerConfigSchema.shape.coordinator.safeParse(value).success, `${variable}=${value}`);
      }
    if (kind !== 'StatefulSet') continue;
    check(name.length + REVISION_LENGTH <= 63, `${key(object)}: label with the revision`);
    const pod = `${name}-${ORDINAL_MAX}`;
    check(DNS_LABEL.test(pod), `pod ${pod}`);
    check(workerConfigSchema.shape.id.safeParse(pod).success, `worker ${pod}`);
  }
  return faults;
}

test('every release that helm takes has legal names, which no other release has', async () => {
  const all = await Promise.all(RELEASES.map((release) => rendered(release)));
  const owners = new Map<string, string>();
  RELEASES.forEach((release, at) => {
    assert.deepEqual(faultsOf(all[at]!), [], release);
    for (const object of all[at]!) {
      assert.equal(owners.get(key(object)), undefined, `${release} and another have ${key(object)}`);
      owners.set(key(object), release);
    }
  });
  const fleetOf = (objects: readonly KubernetesObject[]) =>
    objects
      .find(({ kind }) => kind === 'Deployment')!
      .spec.template.spec.containers[0].env.find((one: { name: string }) => one.name === 'POCKETFLEET_FLEET')
      .value;
  assert.equal(new Set(all.map(fleetOf)).size, RELEASES.length, 'fleets have names of their own');
  assert.equal(fleetOf(all[0]!), 'pocketfleet');
});

test('the check of names finds a label that is too long and a name with a dot', () => {
  const service: KubernetesObject = {
    apiVersion: 'v1',
    kind: 'Service',
    metadata: { name: 'a.b', labels: { instance: 'x'.repeat(64) } },
  };
  assert.equal(faultsOf([service]).length, 2);
});

test('names that worked keep: objects of another name would leave the journal behind', async () => {
  const names = async (release: string) => (await rendered(release)).map(({ metadata }) => metadata.name);
  assert((await names('pocketfleet')).includes('pocketfleet-nats'));
  assert((await names('faces')).includes('faces-pocketfleet-nats'));
  assert((await names('b'.repeat(39))).includes(`${'b'.repeat(39)}-nats`));
});

test('overrides are names as they are given, or refused with their path', async () => {
  for (const value of [
    'nameOverride=faces',
    `nameOverride=${'n'.repeat(40)}`,
    `fullnameOverride=${'n'.repeat(40)}`,
  ])
    assert.deepEqual(faultsOf(await rendered('research.eu', '--set', value)), [], value);
  for (const value of [
    'nameOverride=Faces',
    'nameOverride=a.b',
    `nameOverride=${'n'.repeat(41)}`,
    'fullnameOverride=2faces',
    'fullnameOverride=a.b',
    'fullnameOverride=a-',
    'auth.existingSecret=a..b',
    'serviceAccount.name=a.-b',
    'fleet=a.b',
  ])
    await assert.rejects(
      rendered('faces', '--set', value),
      (error: Error) => error.message.includes(value.split('=')[0]!.replace('.', '/')),
      value,
    );
});
