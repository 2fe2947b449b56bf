// `host:port` as people write it: the one place where it is read and written. Decides what is an address, and
// which sentence refuses a text that is none. An IPv6 address is in brackets in the text and without them
// inside.

import { isIPv6 } from 'node:net';
import { FleetError, toFleetError } from '../errors.ts';
import { excerpt, foundText } from './printable.ts';

/** An address in its two parts. */
export interface HostPort {
  /** A name or an address; an IPv6 address without brackets. */
  readonly host: string;
  readonly port: number;
}

const PORT_MAX = 65_535;
/**
 * A name has at most 253 characters (RFC 1035, 2.3.4, as text); a longer text is no address and is not
 * repeated in a message.
 */
const TEXT_MAX = 300;

/** The address. Throws `invalidArgument` with what is wrong and what to write. Port 0 is allowed. */
export function parseHostPort(text: string): HostPort {
  if (text.length > TEXT_MAX)
    throw new FleetError(
      'invalidArgument',
      `a text of ${text.length} characters is not host:port, which has at most ${TEXT_MAX}`,
    );
  const { host, port } = split(text);
  if (!/^\d{1,5}$/.test(port) || Number(port) > PORT_MAX)
    throw refusal(text, `${foundText(port)} is no port, a number up to ${PORT_MAX}`);
  return { host, port: Number(port) };
}

function split(text: string): { readonly host: string; readonly port: string } {
  const [, bracketed, , afterBrackets] = /^\[([^\]]*)\](:(.*))?$/.exec(text) ?? [];
  if (bracketed !== undefined) {
    if (!isIPv6(bracketed)) throw refusal(text, `${foundText(bracketed)} is no IPv6 address`);
    if (afterBrackets === undefined) throw refusal(text, `the port is missing: [${bracketed}]:7070`);
    return { host: bracketed, port: afterBrackets };
  }
  const at = text.lastIndexOf(':');
  const [host, port] = at < 0 ? [text, undefined] : [text.slice(0, at), text.slice(at + 1)];
  if (host.includes(':') && (isIPv6(text) || isIPv6(host)))
    throw refusal(
      text,
      `an IPv6 address is in brackets: ${isIPv6(host) ? `[${host}]:${port}` : `[${text}]:7070`}`,
    );
  if (/^[a-z]+:\/\//i.test(text)) throw refusal(text, 'it is a URL');
  if (/[\s\p{C}:/[\]@]/u.test(host)) throw refusal(text, `${foundText(host)} is no host`);
  if (host === '') throw refusal(text, `the host is missing: localhost:${port || 7070}`);
  if (port === undefined) throw refusal(text, `the port is missing: ${host}:7070`);
  return { host, port };
}

function refusal(text: string, reason: string): FleetError {
  return new FleetError('invalidArgument', `${foundText(text)} is not host:port (${excerpt(reason, 300)})`);
}

/** The text of an address, in the form that `parseHostPort` reads. */
export function formatHostPort({ host, port }: HostPort): string {
  return `${host.includes(':') ? `[${host}]` : host}:${port}`;
}

/** The reason why a text is no address with a port of at least `portMin`; undefined for one that is. */
export function refusalOfAddress(text: string, portMin: 0 | 1): string | undefined {
  try {
    if (parseHostPort(text).port >= portMin) return undefined;
    return `${foundText(text)} names port 0, where nobody listens`;
  } catch (caught) {
    return toFleetError(caught).message;
  }
}

/** The addresses of a text, with commas between. */
export function addressesOf(text: string): readonly string[] {
  return text.split(',').map((address) => address.trim());
}

/** The reason why a text is no list of addresses of servers; undefined for one that is. */
export function refusalOfAddresses(text: string): string | undefined {
  for (const address of addressesOf(text)) {
    const refusal = refusalOfAddress(address, 1);
    if (refusal !== undefined) return refusal;
  }
  return undefined;
}

/** The address as it is, or a host alone with this port. */
export function withPort(text: string, port: number): string {
  if (isIPv6(text)) return formatHostPort({ host: text, port });
  return /^[^:]+$|\]$/.test(text) ? `${text}:${port}` : text;
}
