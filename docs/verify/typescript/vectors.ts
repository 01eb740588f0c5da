// Runs test vectors, one JSON object a line, through the very same verifier: `node server.ts vectors < vectors.jsonl`.

import { text } from 'node:stream/consumers';
import { Keys } from './keys.ts';
import { isObject, readStrictly, type Json, type JsonObject } from './strict.ts';
import { CannotTell, Refused, Verifier, type Operation } from './verifier.ts';

/** Prints `ID accept`, `ID refuse REASON` or `ID cannot_tell` for each. */
export async function runVectors(): Promise<void> {
  // Not `readline`, for which U+2028 ends a line.
  for (const line of (await text(process.stdin)).split('\n').filter(Boolean)) {
    const vector = readStrictly(Buffer.from(line), 64, 10_000) as JsonObject;
    const options = isObject(vector.options) ? vector.options : {};
    const verifier = new Verifier({
      issuer: vector.issuer as string,
      audience: vector.audience as string,
      keys: new Keys(async () => {
        if (vector.jwks === null) throw new Error('none');
        return Buffer.from(JSON.stringify(vector.jwks));
      }),
      now: () => vector.now as number,
      requiredClaims: options.required_claims as Record<string, Json[] | null>,
      requireArguments: options.require_arguments as boolean,
    });
    for (const before of (vector.after ?? []) as JsonObject[]) await outcome(verifier, before);
    console.log(`${vector.id} ${await outcome(verifier, vector)}`);
  }
}

async function outcome(verifier: Verifier, presented: JsonObject): Promise<string> {
  try {
    await verifier.verify(presented.token as string, presented.call as unknown as Operation);
    return 'accept';
  } catch (error) {
    if (error instanceof Refused) return `refuse ${error.reason}`;
    if (error instanceof CannotTell) return 'cannot_tell';
    throw error;
  }
}
