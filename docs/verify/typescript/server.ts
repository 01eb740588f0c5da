// An MCP server that takes nothing but calls that the gateway countersigned. On the official SDK, in both eras of MCP.
//
//   node server.ts --port 9000 --issuer https://gateway.example.com --audience https://weather.example.com/mcp
//   node server.ts vectors < vectors.jsonl

import { createServer } from 'node:http';
import { parseArgs } from 'node:util';
import { toNodeHandler } from '@modelcontextprotocol/node';
import { createMcpHandler, McpServer } from '@modelcontextprotocol/server';
import { z } from 'zod';
import { guard } from './guard.ts';
import { Keys } from './keys.ts';
import { runVectors } from './vectors.ts';
import { Verifier, type Verified } from './verifier.ts';

const options = { port: { type: 'string' }, issuer: { type: 'string' }, audience: { type: 'string' } } as const;
const {
  values: { port, issuer, audience },
  positionals,
} = parseArgs({ options, allowPositionals: true });

function weatherServer(): McpServer {
  const server = new McpServer({ name: 'weather', version: '1.0.0' });
  const description = 'The weather in a city.';
  server.registerTool(
    'get_weather',
    { description, inputSchema: z.object({ city: z.string() }) },
    async ({ city }, { http }) => {
      const { subject } = http!.authInfo!.extra!.verified as Verified;
      console.log(`get_weather was called for ${subject}`);
      return { content: [{ type: 'text', text: `${city} for ${subject}` }] };
    },
  );
  return server;
}

if (positionals[0] === 'vectors') {
  await runVectors();
} else if (!port || !issuer || !audience) {
  console.error('usage: node server.ts --port PORT --issuer ISSUER --audience AUDIENCE');
  process.exitCode = 2;
} else {
  const verifier = new Verifier({ issuer, audience, keys: Keys.of(issuer) });
  const serve = toNodeHandler(createMcpHandler(weatherServer));
  const server = createServer(guard(verifier, serve));
  server.listen(Number(port), '127.0.0.1', () => console.log(`listening on http://127.0.0.1:${port}`));
}
