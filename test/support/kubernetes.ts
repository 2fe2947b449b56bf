// Checks objects against the types of the Kubernetes API (1.34), strictly: an unknown field is an error, as
// is a wrong type or a missing field. The types are those that the official client generates from the API's
// OpenAPI description. Only the client's declarations contain which fields are required, so they are read
// too.

import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import * as client from '@kubernetes/client-node';

interface Attribute {
  readonly name: string;
  readonly baseName: string;
  readonly type: string;
}

const models = client as unknown as Record<string, { attributeTypeMap?: readonly Attribute[] } | undefined>;
const declarations = new URL('./gen/models/', import.meta.resolve('@kubernetes/client-node'));

// The API server checks these words; in OpenAPI they are plain strings.
const WORDS: Readonly<Record<string, readonly string[]>> = {
  'V1StatefulSetSpec.podManagementPolicy': ['OrderedReady', 'Parallel'],
  'V1DeploymentStrategy.type': ['Recreate', 'RollingUpdate'],
  'V1Container.imagePullPolicy': ['Always', 'IfNotPresent', 'Never'],
  'V1ContainerPort.protocol': ['TCP', 'UDP', 'SCTP'],
  'V1ServicePort.protocol': ['TCP', 'UDP', 'SCTP'],
  'V1NetworkPolicyPort.protocol': ['TCP', 'UDP', 'SCTP'],
  'V1ServiceSpec.type': ['ClusterIP', 'NodePort', 'LoadBalancer', 'ExternalName'],
  'V1Toleration.effect': ['NoSchedule', 'PreferNoSchedule', 'NoExecute'],
  'V1Toleration.operator': ['Exists', 'Equal'],
  'V1SeccompProfile.type': ['RuntimeDefault', 'Localhost', 'Unconfined'],
  'V1LabelSelectorRequirement.operator': ['In', 'NotIn', 'Exists', 'DoesNotExist'],
  'V1StatefulSetPersistentVolumeClaimRetentionPolicy.whenDeleted': ['Retain', 'Delete'],
  'V1StatefulSetPersistentVolumeClaimRetentionPolicy.whenScaled': ['Retain', 'Delete'],
  'V1EmptyDirVolumeSource.medium': ['', 'Memory'],
};

/** Sentences, each naming object, field and fault; empty when the object is sound. */
export function faultsOf(object: {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: { readonly name: string };
}): readonly string[] {
  const version = object.apiVersion.split('/').at(-1) ?? '';
  const type = `${version.charAt(0).toUpperCase()}${version.slice(1)}${object.kind}`;
  const where = `${object.kind}/${object.metadata.name}`;
  if (models[type]?.attributeTypeMap === undefined)
    return [`${where}: ${object.apiVersion} has no ${object.kind}`];
  return check(object, type, where);
}

function check(value: unknown, type: string, where: string): readonly string[] {
  const list = /^Array<(.+)>$/.exec(type)?.[1];
  if (list !== undefined) {
    if (!Array.isArray(value)) return [`${where} must be a list`];
    return value.flatMap((item, i) => check(item, list, `${where}[${i}]`));
  }
  const map = /^\{ \[key: string\]: (.+); \}$/.exec(type)?.[1];
  if (map !== undefined) {
    if (!isRecord(value)) return [`${where} must be a map`];
    return Object.entries(value).flatMap(([key, item]) => check(item, map, `${where}.${key}`));
  }
  if (models[type]?.attributeTypeMap !== undefined) return checkModel(value, type, where);
  return checkLeaf(value, type) ? [] : [`${where} must be a ${type}, it is ${JSON.stringify(value)}`];
}

function checkModel(value: unknown, type: string, where: string): readonly string[] {
  if (!isRecord(value)) return [`${where} must be an object`];
  const attributes = models[type]!.attributeTypeMap!;
  const known = new Map(attributes.map((attribute) => [attribute.baseName, attribute]));
  const faults = Object.entries(value).flatMap(([key, item]) => {
    const attribute = known.get(key);
    if (attribute === undefined) return [`${where}.${key} is unknown to ${type}`];
    const words = WORDS[`${type}.${attribute.name}`];
    if (words !== undefined && !words.includes(String(item)))
      return [`${where}.${key} may be ${words.join(', ')}; it is ${JSON.stringify(item)}`];
    return check(item, attribute.type, `${where}.${key}`);
  });
  const missing = requiredOf(type).filter((name) => !(known.get(name)!.baseName in value));
  return [...faults, ...missing.map((name) => `${where}.${name} is missing`)];
}

function checkLeaf(value: unknown, type: string): boolean {
  switch (type) {
    case 'string':
      return typeof value === 'string';
    case 'number':
      return typeof value === 'number';
    case 'boolean':
      return typeof value === 'boolean';
    case 'IntOrString':
      return typeof value === 'number' || typeof value === 'string';
    case 'Date':
    case 'V1MicroTime':
      return typeof value === 'string' && !Number.isNaN(Date.parse(value));
    case 'any':
      return true;
    default:
      throw new Error(`a type that the checker does not know: ${type}`);
  }
}

const required = new Map<string, readonly string[]>();

/** Attributes that the declaration of a model has without a question mark. */
function requiredOf(type: string): readonly string[] {
  let names = required.get(type);
  if (names === undefined) {
    const text = readFileSync(fileURLToPath(new URL(`${type}.d.ts`, declarations)), 'utf8');
    names = [...text.matchAll(/^ {4}'([^']+)': /gm)].map((match) => match[1]!);
    required.set(type, names);
  }
  return names;
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
