// An identity provider: the certified `oidc-provider`, with switches for what a test wants to happen to it.
//
//   node idp.mjs --port PORT [--issuer URL] [--client JSON]...
//
// Tokens are for a resource, and the resource decides their format: `urn:idp:rs256`, `:es256`, `:ps256`, `:eddsa` and `:opaque`
// are there from the start, and `/_test/set` adds others. Clients: `agent` (client_credentials), `ide` (public, authorization code
// with PKCE), `gateway` and `gateway-post` (they may introspect), whatever registers itself, and each `--client`, which is metadata
// as in RFC 7591. One whose name begins with `gateway` may introspect everybody's tokens, any other nobody's.
//
//   POST /_test/rotate             new keys sign and the old ones are gone
//   POST /_test/rotate/publish     new keys are published and do not sign yet
//   POST /_test/rotate/sign        the newest keys sign and the older ones stay published
//   POST /_test/rotate/retire      only the newest keys stay
//   POST /_test/down/{0,1,2,3}     up | the connection is reset | 503 | no answer
//   POST /_test/set                JSON, laid over the settings below
//   POST /_test/token              JSON {"header", "payload"}, which replace what is usual: {"token"}, by its ES256 key
//   GET  /_test/seen               [{"method", "path"}] of every other request, also while it is down
//
// `listening on http://127.0.0.1:PORT` is written once it is up. It ends when its parent does.

import http from 'node:http';
import { generateKeyPair, randomUUID } from 'node:crypto';
import { parseArgs, promisify } from 'node:util';
import { importJWK, SignJWT } from 'jose';
import { errors, Provider } from 'oidc-provider';

const parent = process.ppid;
setInterval(() => { if (process.ppid !== parent) process.exit(); }, 500).unref();
process.on('SIGTERM', () => process.exit());

const { values: options } = parseArgs({
  options: { port: { type: 'string' }, issuer: { type: 'string' }, client: { type: 'string', multiple: true, default: [] } },
});
const address = `http://127.0.0.1:${options.port}`;
const issuer = options.issuer ?? address;

const settings = {
  // resource -> 'opaque' or the algorithm of its JWTs
  resources: {
    'urn:idp:rs256': 'RS256', 'urn:idp:es256': 'ES256', 'urn:idp:ps256': 'PS256', 'urn:idp:eddsa': 'EdDSA', 'urn:idp:opaque': 'opaque',
  },
  scope: 'mcp:call mcp:list', // what every resource knows
  seconds: 300, // the life of an access token
  claims: {}, // added to every access token
};

const clients = [
  {
    client_id: 'agent', client_secret: 'agent-secret-agent-secret-agent-1', token_endpoint_auth_method: 'client_secret_basic',
    grant_types: ['client_credentials'], redirect_uris: [], response_types: [],
  },
  {
    client_id: 'ide', token_endpoint_auth_method: 'none', application_type: 'native',
    grant_types: ['authorization_code', 'refresh_token'], redirect_uris: ['http://127.0.0.1/callback'], response_types: ['code'],
  },
  {
    // What must be encoded in the Basic scheme (RFC 6749 section 2.3.1) is in it.
    client_id: 'gateway', client_secret: 'gateway:secret%41+/&=? gateway-secret', token_endpoint_auth_method: 'client_secret_basic',
    grant_types: ['client_credentials'], redirect_uris: [], response_types: [],
  },
  {
    client_id: 'gateway-post', client_secret: 'gateway-post&secret%41+=? of-the-gateway', token_endpoint_auth_method: 'client_secret_post',
    grant_types: ['client_credentials'], redirect_uris: [], response_types: [],
  },
  ...options.client.map(text => JSON.parse(text)),
];

// Codes, grants, opaque tokens and registered clients: they outlive a rotation, for which the provider is built anew.
const stored = new Map();

class Storage {
  constructor(model) { this.model = model; }

  key(id) { return `${this.model}:${id}`; }

  async find(id) { return stored.get(this.key(id)); }

  async upsert(id, payload) { stored.set(this.key(id), payload); }

  async destroy(id) { stored.delete(this.key(id)); }

  async consume(id) { stored.get(this.key(id)).consumed = Math.floor(Date.now() / 1000); }

  async findByUid(uid) { return this.first(payload => payload.uid === uid); }

  async findByUserCode(code) { return this.first(payload => payload.userCode === code); }

  async revokeByGrantId(grant) {
    for (const [key, payload] of stored) if (payload.grantId === grant) stored.delete(key);
  }

  first(fits) {
    for (const [key, payload] of stored) if (key.startsWith(`${this.model}:`) && fits(payload)) return payload;
    return undefined;
  }
}

const KINDS = {
  RS256: ['rsa', { modulusLength: 2048 }], PS256: ['rsa', { modulusLength: 2048 }], ES256: ['ec', { namedCurve: 'P-256' }], EdDSA: ['ed25519', {}],
  ES384: ['ec', { namedCurve: 'P-384' }],
};
let generation = 0;

async function newKeys() {
  generation += 1;
  const made = Object.entries(KINDS).map(async ([alg, [kind, parameters]]) => {
    const { privateKey } = await promisify(generateKeyPair)(kind, parameters);
    return { ...privateKey.export({ format: 'jwk' }), use: 'sig', alg, kid: `${alg.toLowerCase()}-${generation}` };
  });
  return Promise.all(made);
}

function resourceServer(resource) {
  const format = settings.resources[resource];
  if (format === undefined) throw new errors.InvalidTarget();
  const common = { scope: settings.scope, audience: resource, accessTokenTTL: settings.seconds };
  if (format === 'opaque') return { ...common, accessTokenFormat: 'opaque' };
  return { ...common, accessTokenFormat: 'jwt', jwt: { sign: { alg: format } } };
}

// The first key of an algorithm signs.
function provide(keys) {
  const provider = new Provider(issuer, {
    adapter: Storage,
    clients,
    jwks: { keys },
    cookies: { keys: ['of-a-test'] },
    scopes: ['openid', 'offline_access', ...settings.scope.split(' ')],
    claims: { openid: ['sub'], email: ['email', 'email_verified'] },
    clientAuthMethods: ['client_secret_basic', 'client_secret_post', 'private_key_jwt', 'none'],
    enabledJWA: {
      idTokenSigningAlgValues: Object.keys(KINDS),
      clientAuthSigningAlgValues: Object.keys(KINDS),
      introspectionSigningAlgValues: Object.keys(KINDS),
    },
    pkce: { required: () => true },
    findAccount: (ctx, id) => ({ accountId: id, claims: () => ({ sub: id, email: `${id}@example.com`, email_verified: true }) }),
    extraTokenClaims: () => ({ groups: ['eng', 'oncall'], realm_access: { roles: ['reader'] }, ...settings.claims }),
    rotateRefreshToken: false,
    issueRefreshToken: (ctx, client) => client.grantTypeAllowed('refresh_token'),
    features: {
      devInteractions: { enabled: true },
      clientCredentials: { enabled: true },
      introspection: { enabled: true, allowedPolicy: (ctx, client) => client.clientId.startsWith('gateway') },
      jwtIntrospection: { enabled: true },
      revocation: { enabled: true, allowedPolicy: (ctx, client, token) => token.clientId === client.clientId },
      registration: { enabled: true },
      resourceIndicators: {
        enabled: true,
        defaultResource: () => undefined,
        useGrantedResource: () => true,
        getResourceServerInfo: (ctx, resource) => resourceServer(resource),
      },
    },
  });
  provider.on('server_error', (ctx, error) => console.error('server_error', error.stack));
  return provider.callback();
}

let published = await newKeys();
let handler = provide(published);
let down = 0;
const seen = [];

async function rotate(step) {
  const newest = key => key.kid.endsWith(`-${generation}`);
  if (step === 'publish') published = [...published, ...await newKeys()];
  else if (step === 'sign') published = [...published.filter(newest), ...published.filter(key => !newest(key))];
  else if (step === 'retire') published = published.filter(newest);
  else published = await newKeys();
  handler = provide(published);
  return generation;
}

async function read(request) {
  let text = '';
  for await (const chunk of request) text += chunk;
  return JSON.parse(text);
}

async function signed({ header, payload }) {
  const key = published.find(each => each.alg === 'ES256');
  const now = Math.floor(Date.now() / 1000);
  const token = new SignJWT({ iss: issuer, iat: now, exp: now + settings.seconds, jti: randomUUID(), ...payload });
  token.setProtectedHeader({ alg: key.alg, typ: 'at+jwt', kid: key.kid, ...header });
  return { token: await token.sign(await importJWK(key)) };
}

async function ordered(request, path) {
  const [order, argument] = path.split('/').slice(2);
  switch (order) {
    case 'rotate': return rotate(argument);
    case 'down': down = Number(argument); return down;
    case 'seen': return seen;
    case 'token': return signed(await read(request));
    case 'set': Object.assign(settings, await read(request)); handler = provide(published); return settings;
    default: return null;
  }
}

const server = http.createServer(async (request, response) => {
  const path = request.url.split('?')[0];
  if (path.startsWith('/_test/')) {
    response.setHeader('content-type', 'application/json');
    response.end(JSON.stringify(await ordered(request, path)));
    return;
  }
  seen.push({ method: request.method, path });
  if (down === 1) request.socket.resetAndDestroy();
  else if (down === 2) response.writeHead(503, { 'content-type': 'text/html' }).end('<html>down</html>');
  else if (down === 0) handler(request, response);
});
server.listen(Number(options.port), '127.0.0.1', () => console.log(`listening on ${address}`));
