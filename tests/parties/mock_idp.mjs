// Another identity provider: `oauth2-mock-server`, which asks nobody for a secret and signs whatever it is asked to.
//
//   node mock_idp.mjs --port PORT [--kid KID]
//
// One key, ES256, under the id KID. `POST /token` with grant_type=client_credentials gives an access token (RFC 9068) that is
// about the client of the Basic scheme, for the `resource` and the `scope` of the form.
//
//   POST /_test/token    JSON {"header", "payload"}, which replace what is usual: {"token"}, by its key
//
// `listening on http://127.0.0.1:PORT` is written once it is up. It ends when its parent does.

import { randomUUID } from 'node:crypto';
import { parseArgs } from 'node:util';
import { Events, OAuth2Server } from 'oauth2-mock-server';

const parent = process.ppid;
setInterval(() => { if (process.ppid !== parent) process.exit(); }, 500).unref();
process.on('SIGTERM', () => process.exit());

const { values: options } = parseArgs({ options: { port: { type: 'string' }, kid: { type: 'string', default: 'mock-1' } } });
const address = `http://127.0.0.1:${options.port}`;
const server = new OAuth2Server();
server.issuer.url = address; // by itself it would say `localhost`
await server.issuer.keys.generate('ES256', { kid: options.kid });

server.service.on(Events.BeforeTokenSigning, (token, request) => {
  const [client] = Buffer.from((request.headers.authorization ?? '').replace(/^Basic /, ''), 'base64').toString().split(':');
  const { resource, scope } = request.body;
  token.header.typ = 'at+jwt';
  Object.assign(token.payload, { aud: resource, scope, sub: client, client_id: client, jti: randomUUID() });
});

server.service.addRoute('POST', '/_test/token', async (request, response) => {
  const token = await server.issuer.buildToken({
    scopesOrTransform: (header, payload) => {
      Object.assign(header, { typ: 'at+jwt' }, request.body.header);
      Object.assign(payload, { jti: randomUUID() }, request.body.payload);
    },
  });
  response.setHeader('content-type', 'application/json');
  response.end(JSON.stringify({ token }));
});

await server.start(Number(options.port), '127.0.0.1');
console.log(`listening on ${address}`);
