// Lets a message through to an MCP server if the call token in its header was made for it, whatever its method.

import type { IncomingMessage, ServerResponse } from 'node:http';
import type { AuthInfo } from '@modelcontextprotocol/server';
import { isObject, readStrictly, type JsonObject } from './strict.ts';
import { CannotTell, Refused, scopeOf, type Operation, type Verified, type Verifier } from './verifier.ts';

type Serve = (request: IncomingMessage & { auth?: AuthInfo }, response: ServerResponse, body: unknown) => Promise<void>;

class NoCall extends Error {
  readonly status: number;
  readonly code: number;
  readonly reason: string;
  readonly headers: Record<string, string>;
  constructor(status: number, code: number, reason: string, message: string, headers: Record<string, string> = {}) {
    super(message);
    [this.status, this.code, this.reason, this.headers] = [status, code, reason, headers];
  }
}

const BODY = 4 * 1024 * 1024;
const NAMED_BY = new Map([
  ['tools/call', 'name'],
  ['prompts/get', 'name'],
  ['resources/read', 'uri'],
  ['resources/subscribe', 'uri'],
  ['resources/unsubscribe', 'uri'],
]);
const REFERRED_BY = new Map([
  ['ref/prompt', 'name'],
  ['ref/resource', 'uri'],
]);
const BOUND = ['tools/call', 'prompts/get'];
// Until the signature holds all refusals look the same.
const SAY_NOTHING = ['malformed', 'algorithm', 'key_unknown', 'signature', 'issuer'];

/** serve: gets the body as JSON, and the caller as `request.auth`: `extra` is what was verified. */
export function guard(
  verifier: Verifier,
  serve: Serve,
): (request: IncomingMessage, response: ServerResponse) => Promise<void> {
  return async (request, response) => {
    let message: JsonObject | undefined;
    let operation: Operation | undefined;
    let token: string;
    let verified: Verified;
    let bytes: Uint8Array | undefined;
    try {
      token = bearerToken(request);
      if (request.method === 'POST') {
        bytes = await readBody(request);
        message = parse(bytes);
      }
      operation = operationOf(request.method, message);
      verified = await verifier.verify(token, operation);
    } catch (error) {
      refuse(response, asNoCall(error, operation), message?.id);
      return;
    }
    const { clientId, scope, expires } = verified;
    const auth = { token, clientId, scopes: [scope], expiresAt: expires, extra: { verified } };
    await serve(Object.assign(request, { auth }), response, bytes && JSON.parse(new TextDecoder().decode(bytes)));
  };
}

function bearerToken({ headersDistinct: { authorization = [] } }: IncomingMessage): string {
  if (authorization.length > 1)
    throw new NoCall(400, 40001, 'ambiguous_credentials', 'more than one Authorization header');
  const match = /^bearer ([\w.~+/=-]+)$/i.exec(authorization[0] ?? '');
  if (match === null)
    throw new NoCall(401, 40101, 'credential_missing', 'no call token: send it as a bearer token', {
      'www-authenticate': 'Bearer',
    });
  return match[1]!;
}

async function readBody(request: IncomingMessage): Promise<Uint8Array> {
  const chunks: Uint8Array[] = [];
  let size = 0;
  for await (const chunk of request) {
    size += chunk.length;
    if (size > BODY)
      throw new NoCall(413, 41301, 'too_large', `the body is longer than ${BODY} bytes`, { connection: 'close' });
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}

function parse(bytes: Uint8Array): JsonObject {
  let message;
  try {
    message = readStrictly(bytes, 64, 100_000);
  } catch (error) {
    throw new NoCall(400, -32700, 'parse_error', `the body is not strict JSON: ${(error as Error).message}`);
  }
  if (!isObject(message)) throw new NoCall(400, -32600, 'invalid_request', 'the body is not one JSON object');
  return message;
}

/** What a message asks for. Who serves it must read it the same way, so what has two readings asks for nothing. */
function operationOf(http: string | undefined, message: JsonObject | undefined): Operation {
  if (message === undefined) {
    if (http === 'GET') return { method: 'io.counterseal/stream' };
    if (http === 'DELETE') return { method: 'io.counterseal/end-session' };
    throw new NoCall(405, 40501, 'http_method_refused', 'use POST, GET or DELETE', { allow: 'POST, GET, DELETE' });
  }
  const { method, params = {} } = message;
  const answers = 'result' in message || 'error' in message;
  if (method === undefined && answers) return { method: 'io.counterseal/reply' };
  if (typeof method !== 'string' || answers) throw invalid('`method` as a string, and no `result`');
  if (!isObject(params)) throw invalid('`params` as an object');
  const holder = method === 'completion/complete' ? params.ref : params;
  const member = method === 'completion/complete' ? referenceMember(holder) : NAMED_BY.get(method);
  const name = member === undefined ? undefined : (holder as JsonObject)[member];
  if (member !== undefined && typeof name !== 'string') throw invalid(`\`${member}\` as a string`);
  const given = BOUND.includes(method) ? params.arguments : undefined;
  if (given !== undefined && !isObject(given)) throw invalid('`params.arguments` as an object');
  return {
    method,
    ...(name === undefined ? {} : { name: name as string }),
    ...(given === undefined ? {} : { arguments: given }),
  };
}

function referenceMember(reference: unknown): string {
  const member = isObject(reference) ? REFERRED_BY.get(String(reference.type)) : undefined;
  if (member === undefined) throw invalid('`params.ref` as a reference to a prompt or resource');
  return member;
}

function invalid(expected: string): NoCall {
  return new NoCall(400, -32600, 'invalid_request', `expected ${expected}`);
}

function asNoCall(error: unknown, operation: Operation | undefined): NoCall {
  if (error instanceof NoCall) return error;
  if (!(error instanceof Refused)) {
    console.warn('a call could not be verified:', error instanceof CannotTell ? error.message : error);
    return new NoCall(503, 50350, 'unavailable', 'the call token cannot be verified now', { 'retry-after': '5' });
  }
  console.warn(`a call was refused: ${error.reason}: ${error.message}`);
  const { status } = error;
  const hidden = SAY_NOTHING.includes(error.reason);
  const scope = status === 403 && operation ? scopeOf(operation.method, operation.name) : '';
  const challenge =
    status === 401
      ? 'error="invalid_token"'
      : `error="insufficient_scope"${scope.length > 512 ? '' : `, scope="${scope}"`}`;
  return new NoCall(
    status,
    status * 100 + 50,
    hidden ? 'invalid_token' : error.reason,
    hidden ? 'the call token is not valid here' : error.message,
    { 'www-authenticate': `Bearer ${challenge}` },
  );
}

function refuse(response: ServerResponse, { status, code, reason, message, headers }: NoCall, id: unknown): void {
  const known = typeof id === 'string' || Number.isSafeInteger(id) ? id : null;
  response.writeHead(status, { 'content-type': 'application/json', 'cache-control': 'no-store', ...headers });
  response.end(JSON.stringify({ jsonrpc: '2.0', id: known, error: { code, message, data: { reason } } }));
}
