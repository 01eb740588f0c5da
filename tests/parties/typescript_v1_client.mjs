// One visit of the official TypeScript client as it was before revision 2026-07-28, told as JSON on standard output.
//
//   node typescript_v1_client.mjs URL TOKEN
//
// It connects, lists, pings, calls, and ends its session.

import { Client } from '@modelcontextprotocol/sdk/client/index.js';
import { StreamableHTTPClientTransport } from '@modelcontextprotocol/sdk/client/streamableHttp.js';

const [url, token] = process.argv.slice(2);
const client = new Client({ name: 'counterseal-tests', version: '1' });
const transport = new StreamableHTTPClientTransport(new URL(url), {
  requestInit: { headers: { Authorization: `Bearer ${token}` } },
});
await client.connect(transport);
const progress = [];
const told = {
  server: client.getServerVersion().name,
  instructions: client.getInstructions(),
  tools: (await client.listTools()).tools.map(tool => tool.name),
  ping: await client.ping(),
  call: (await client.callTool({ name: 'echo', arguments: { message: 'from TypeScript' } })).content[0].text,
  count: (await client.callTool({ name: 'count', arguments: { to: 3 } }, undefined, {
    onprogress: at => progress.push(at.progress),
  })).content[0].text,
  progress,
  resource: (await client.readResource({ uri: 'note://a' })).contents[0].text,
};
await transport.terminateSession();
await client.close();
console.log(JSON.stringify(told));
