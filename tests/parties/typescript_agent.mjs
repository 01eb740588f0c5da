// One call by the official TypeScript client that knows a gateway's address and credentials of its own, told as JSON.
//
//   node typescript_agent.mjs URL CLIENT_ID CLIENT_SECRET ISSUER
//
// Where to get a token, for what, and with which scopes it finds out by itself. It calls `whoami` and writes
// {"claims": ..., "token": the access token that it got}, or {"error": message}.

import { Client, ClientCredentialsProvider, StreamableHTTPClientTransport } from '@modelcontextprotocol/client';

const [url, clientId, clientSecret, expectedIssuer] = process.argv.slice(2);
const authProvider = new ClientCredentialsProvider({ clientId, clientSecret, expectedIssuer });
const client = new Client({ name: 'counterseal-tests', version: '1' }, { versionNegotiation: { mode: { pin: '2026-07-28' } } });

try {
  await client.connect(new StreamableHTTPClientTransport(new URL(url), { authProvider }));
  const { structuredContent } = await client.callTool({ name: 'whoami', arguments: {} });
  console.log(JSON.stringify({ claims: structuredContent, token: authProvider.tokens().access_token }));
  await client.close();
} catch (error) {
  console.log(JSON.stringify({ error: String(error) }));
}
