// One visit of the official TypeScript client, told as JSON on standard output.
//
//   node typescript_client.mjs URL ERA TOKEN [SERVER]      ERA: modern | legacy; SERVER: which one, where URL is that of all servers
//
// It connects, lists, calls, reads, and then calls a tool that it may not call. Every step is {"value": ...} or
// {"error": message, "body": text}, as a program that catches the exception can read them: `message` is the exception's, and
// `body` is what the SDK's HTTP errors keep of the answer in `data.text`.

import { Client, StreamableHTTPClientTransport } from '@modelcontextprotocol/client';

const [url, era, token, server] = process.argv.slice(2);
const named = name => (server ? `${server}__${name}` : name);
const spelled = uri => (server ? `counterseal:${server}/${uri}` : uri);
const mode = era === 'modern' ? { pin: '2026-07-28' } : 'legacy';
const client = new Client({ name: 'counterseal-tests', version: '1' }, { versionNegotiation: { mode } });
const transport = new StreamableHTTPClientTransport(new URL(url), {
  requestInit: { headers: { Authorization: `Bearer ${token}` } },
});

const steps = {
  connect: async () => { await client.connect(transport); return client.getNegotiatedProtocolVersion?.() ?? null; },
  tools: async () => (await client.listTools()).tools.map(tool => tool.name),
  call: async () => (await client.callTool({ name: named('echo'), arguments: { message: 'from TypeScript' } })).content[0].text,
  prompts: async () => (await client.listPrompts()).prompts.map(prompt => prompt.name),
  prompt: async () => (await client.getPrompt({ name: named('test_simple_prompt') })).messages[0].content.text,
  resources: async () => (await client.listResources()).resources.map(resource => resource.uri),
  resource: async () => (await client.readResource({ uri: spelled('test://static-text') })).contents[0].text,
  forbidden: async () => (await client.callTool({ name: named('forbidden'), arguments: { message: 'x' } })).content[0].text,
};

const told = {};
for (const [name, step] of Object.entries(steps)) {
  try {
    told[name] = { value: await step() };
  } catch (error) {
    told[name] = { error: String(error), body: error.data?.text ?? null };
    if (name === 'connect') break;
  }
}
if ('value' in told.connect) await client.close();
console.log(JSON.stringify(told));
