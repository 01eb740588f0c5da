// Checks a call token of a Counterseal gateway against the call that came with it. The order of the checks is that of
// docs/verifying.md, and single use comes last: only a token that was good for this call is used up by it.

import { createHash } from 'node:crypto';
import { isDeepStrictEqual } from 'node:util';
import canonicalize from 'canonicalize';
import { base64url, compactVerify, errors } from 'jose';
import type { Keys } from './keys.ts';
import { isObject, readStrictly, type Json, type JsonObject } from './strict.ts';

/** What a call asks for. name: of the tool or prompt, or the resource's URI. arguments: as `readStrictly` read them. */
export interface Operation {
  method: string;
  name?: string;
  arguments?: JsonObject;
}

export interface Verified {
  subject: string;
  actors: string[];
  clientId: string;
  scope: string;
  jti: string;
  txn: string;
  expires: number;
  claims: JsonObject;
}

/** The token is bad (401), or good for another call than this one (403). `message` quotes nothing of it. */
export class Refused extends Error {
  readonly reason: string;
  constructor(reason: string, message: string) {
    super(message);
    this.reason = reason;
  }
  get status(): number {
    return ['scope', 'operation', 'arguments'].includes(this.reason) ? 403 : 401;
  }
}

/** Nobody can tell whether the token is good: 503, and never a pass. */
export class CannotTell extends Error {}

/**
 * requiredClaims: what a token must say besides: path -> the values of which one will do, or null for any.
 * requireArguments: false for a gateway with `bind_arguments: false`. now: seconds since 1970.
 */
export interface Options {
  issuer: string;
  audience: string;
  keys: Keys;
  now?: () => number;
  requiredClaims?: Record<string, Json[] | null>;
  requireArguments?: boolean;
}

const LEEWAY = 30;
const LONGEST_LIFE = 900;
const MOST_USED = 200_000;
const WITH_ARGUMENTS = ['tools/call', 'prompts/get'];

export class Verifier {
  readonly #options: Options;
  readonly #now: () => number;
  readonly #used = new Map<string, number>(); // jti -> when it may be forgotten

  constructor(options: Options) {
    this.#options = options;
    this.#now = options.now ?? (() => Date.now() / 1000);
  }

  async verify(token: string, operation: Operation): Promise<Verified> {
    const { typ, claims } = await this.#signed(token);
    this.#checkClaims(claims, typ);
    const actors = this.#checkShape(claims);
    this.#checkOperation(claims, operation);
    const expires = claims.exp as number;
    this.#use(claims.jti as string, expires + LEEWAY);
    const { sub, client_id, scope, jti, txn } = claims as Record<string, string>;
    return { subject: sub!, actors, clientId: client_id!, scope: scope!, jti: jti!, txn: txn!, expires, claims };
  }

  /** Form, key and signature. Which algorithms a key may verify, the key says and not the token. */
  async #signed(token: string): Promise<{ typ: Json | undefined; claims: JsonObject }> {
    const parts = token.split('.');
    if (token.length > 8192 || parts.length !== 3 || !parts.every(isCanonicalBase64Url))
      throw malformed('three segments of base64url');
    const [header, claims] = [readObject(parts[0]!), readObject(parts[1]!)];
    const { alg, kid, typ } = header;
    if (typeof alg !== 'string' || !isText(kid, 512) || !isText(typ))
      throw malformed('`alg`, `kid` and `typ` as strings');
    for (const name of ['crit', 'b64', 'zip', 'enc', 'jwk', 'jku', 'x5u']) {
      if (name in header) throw malformed('no header that chooses a key or changes the meaning');
    }
    const key = await this.#options.keys.find(alg, kid as string | undefined);
    try {
      await compactVerify(token, key, { algorithms: [alg] });
    } catch (error) {
      if (error instanceof errors.JOSEError) throw new Refused('signature', 'the signature does not verify');
      throw error;
    }
    return { typ, claims };
  }

  #checkClaims(claims: JsonObject, typ: Json | undefined): void {
    const { issuer, audience } = this.#options;
    if (claims.iss !== issuer) throw new Refused('issuer', '`iss` is not this gateway');
    if (typeof typ !== 'string' || typ.toLowerCase().replace(/^application\//, '') !== 'at+jwt')
      throw new Refused('typ', '`typ` is not at+jwt');
    if ('events' in claims) throw new Refused('typ', 'a security event, not an access token');
    if (claims.aud !== audience) throw new Refused('audience', '`aud` is not this server, as one string');
    const [exp, nbf, iat] = ['exp', 'nbf', 'iat'].map(name => date(claims, name));
    if (exp === undefined) throw new Refused('time', '`exp` is missing');
    if (iat === undefined || iat > exp || exp - iat > LONGEST_LIFE || (nbf ?? exp) > exp)
      throw new Refused('lifetime', 'it lives too long, or contradicts itself');
    const now = this.#now();
    if (now >= exp + LEEWAY) throw new Refused('expired', 'the token is over');
    if (now < Math.max(iat, nbf ?? iat) - LEEWAY) throw new Refused('not_yet_valid', '`nbf` or `iat` is in the future');
    const { sub } = claims;
    if (!isName(sub) || /[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/u.test(sub))
      throw new Refused('subject', '`sub` is not a string of 1 to 255 visible characters');
    if ('cnf' in claims) throw new Refused('confirmation', 'the token is bound to a key and came without the proof');
  }

  /** What every call token has besides, and the actors, the immediate one first. */
  #checkShape(claims: JsonObject): string[] {
    for (const name of ['client_id', 'jti', 'txn']) {
      if (!isName(claims[name])) throw new Refused('claim', `\`${name}\` is not a string of 1 to 255 characters`);
    }
    if (typeof claims.scope !== 'string') throw new Refused('scope', '`scope` is not a string');
    const actors: string[] = [];
    for (
      let act: Json | undefined = claims.act;
      actors.length === 0 || (act !== undefined && act !== null);
      act = act.act
    ) {
      if (!isObject(act)) throw new Refused('actor', '`act` is not a chain of objects');
      const name: Json | undefined = 'sub' in act ? act.sub : act.client_id;
      if (typeof name !== 'string' || name === '' || actors.push(name) > 4)
        throw new Refused('actor', '`act` is not 1 to 4 actors with a name');
    }
    for (const [path, allowed] of Object.entries(this.#options.requiredClaims ?? {})) {
      const steps = path.includes('://') ? [path] : path.split('.');
      const held = steps.reduce<Json | undefined>(
        (at, step) => (isObject(at) && Object.hasOwn(at, step) ? at[step] : undefined),
        claims,
      );
      const said = Array.isArray(held) ? held : [held];
      if (isNothing(held) || (allowed !== null && !said.some(one => allowed.includes(one as Json)))) {
        throw new Refused('claim', `\`${path}\` is missing, or not what this server asks for`);
      }
    }
    return actors;
  }

  #checkOperation(claims: JsonObject, { method, name, arguments: given }: Operation): void {
    if (claims.scope !== scopeOf(method, name))
      throw new Refused('scope', "the token's scope is for another operation");
    const details = claims.authorization_details;
    const [bound] = Array.isArray(details) ? details : [];
    if (!Array.isArray(details) || details.length !== 1 || !isObject(bound))
      throw new Refused('operation', '`authorization_details` is not a list of one object');
    const { arguments_digest: digest, ...rest } = bound;
    const expected = {
      type: 'mcp_call',
      locations: [this.#options.audience],
      actions: [method],
      ...(name === undefined ? {} : { identifier: name }),
    };
    if (!isDeepStrictEqual({ ...rest }, expected))
      throw new Refused('operation', 'the token is for another method, name or server');
    if (!WITH_ARGUMENTS.includes(method)) {
      if (digest !== undefined) throw new Refused('arguments', 'the token binds arguments, and this method has none');
    } else if (digest === undefined) {
      if (this.#options.requireArguments ?? true)
        throw new Refused('arguments', 'the token does not bind the arguments');
    } else if (digest !== digestOf(given ?? {})) {
      throw new Refused('arguments', 'the token is for other arguments');
    }
  }

  /** In this process alone: several that serve one audience need a store to share. Full, it forgets no living token. */
  #use(jti: string, until: number): void {
    if (this.#used.has(jti)) throw new Refused('replayed', 'the token was used before');
    if (this.#used.size >= MOST_USED) {
      const now = this.#now();
      for (const [used, end] of this.#used) if (end <= now) this.#used.delete(used);
      if (this.#used.size >= MOST_USED) throw new CannotTell('the memory of used tokens is full');
    }
    this.#used.set(jti, until);
  }
}

/** The scope for a call. A tool's name is percent-encoded, all but letters, digits and `-._~`, so no two share one. */
export function scopeOf(method: string, name: string | undefined): string {
  return method === 'tools/call'
    ? `mcp:tools/call:${encode(name ?? '')}`
    : `mcp:${encode(method).replaceAll('%2F', '/')}`;
}

function encode(text: string): string {
  return encodeURIComponent(text).replace(/[!'()*]/g, one => `%${one.charCodeAt(0).toString(16).toUpperCase()}`);
}

/** SHA-256 over the canonical form (RFC 8785), in which a bigint cannot be written. */
function digestOf(value: JsonObject): string {
  let canonical: string;
  try {
    canonical = canonicalize(value)!;
  } catch {
    throw new Refused('arguments', 'the arguments have no canonical form');
  }
  return `sha-256:${createHash('sha256').update(canonical).digest('base64url')}`;
}

function readObject(segment: string): JsonObject {
  try {
    const value = readStrictly(base64url.decode(segment), 16, 256);
    if (isObject(value)) return value;
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error;
  }
  throw malformed('header and payload as strict JSON objects');
}

/** No padding, no white space, no stray bits: what other readers might pass over. */
function isCanonicalBase64Url(segment: string): boolean {
  return /^[\w-]+$/.test(segment) && base64url.encode(base64url.decode(segment)) === segment;
}

function malformed(expected: string): Refused {
  return new Refused('malformed', `not a compact JWS: ${expected} expected`);
}

function isText(value: Json | undefined, longest = Infinity): boolean {
  return value === undefined || (typeof value === 'string' && [...value].length <= longest);
}

function isName(value: Json | undefined): value is string {
  return typeof value === 'string' && value !== '' && [...value].length <= 255;
}

function isNothing(value: Json | undefined): boolean {
  return (
    value === undefined ||
    value === null ||
    value === '' ||
    (typeof value === 'object' && Object.keys(value).length === 0)
  );
}

function date(claims: JsonObject, name: string): number | undefined {
  const value = claims[name];
  if (value === undefined) return undefined;
  if (typeof value !== 'number' || value < 0 || value > 253402300799)
    throw new Refused('time', `\`${name}\` is not a number of seconds`);
  return value;
}
