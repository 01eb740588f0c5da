// Verifies tokens with `jose` against a JWKS address, the way a server's owner would write it.
//
//   node jose_verify.mjs JWKS ISSUER < [{"token": ..., "audience": ..., "algorithm": ...}, ...]
//
// Standard output: a JSON list with one {"claims": ...} or {"error": code} for each.

import { createRemoteJWKSet, jwtVerify } from 'jose';

const [jwks, issuer] = process.argv.slice(2);
const keys = createRemoteJWKSet(new URL(jwks));
let input = '';
for await (const chunk of process.stdin) input += chunk;

const told = [];
for (const { token, audience, algorithm } of JSON.parse(input)) {
  try {
    const { payload } = await jwtVerify(token, keys, { issuer, audience, typ: 'at+jwt', algorithms: [algorithm] });
    told.push({ claims: payload });
  } catch (error) {
    told.push({ error: error.code ?? String(error) });
  }
}
console.log(JSON.stringify(told));
