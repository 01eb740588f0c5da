// JSON that every reader understands alike. `JSON.parse` keeps the last of two members of one name and rounds what is too
// large: who checks such a text and who acts on it may see two different calls. Here the one is refused, the other marked.

export type Json = null | boolean | number | bigint | string | Json[] | { [name: string]: Json };
export type JsonObject = { [name: string]: Json };

// What TypeScript does not know yet: the text of a number.
const parse = JSON.parse as (
  text: string,
  see: (name: string, held: Json, context: { source?: string }) => Json,
) => Json;
const TOKENS = /"(?:[^"\\]|\\.)*"(\s*:)?|[{}[\]]/gs;
const UTF_8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/**
 * The value of one JSON text. A whole number that a double does not hold becomes a bigint, which has no canonical form.
 *
 * Throws a SyntaxError for what is no JSON in UTF-8, for a member that is there twice (however it is escaped), half of a
 * surrogate pair, a number beyond all doubles, more nesting than `depth` and more members and elements than `members`.
 */
export function readStrictly(bytes: Uint8Array, depth: number, members: number): Json {
  let text: string;
  try {
    text = UTF_8.decode(bytes);
  } catch {
    throw new SyntaxError('not UTF-8');
  }
  let count = -1; // the value itself is no member
  const value = parse(text, (name, held, { source }) => {
    count += 1;
    if (!name.isWellFormed() || (typeof held === 'string' && !held.isWellFormed()))
      throw new SyntaxError('half of a surrogate pair');
    if (typeof held !== 'number') return held;
    if (!Number.isFinite(held)) throw new SyntaxError('a number that no double can hold');
    return !Number.isSafeInteger(held) && /^-?\d+$/.test(source!) ? BigInt(source!) : held;
  });
  if (count > members) throw new SyntaxError(`more than ${members} members`);
  refuseDuplicates(text, depth);
  return value;
}

/** text: is JSON, so a string before a colon is the name of a member of the innermost object. */
function refuseDuplicates(text: string, depth: number): void {
  const open: Set<string>[] = [];
  for (const [token, colon] of text.matchAll(TOKENS)) {
    if (token === '{' || token === '[') {
      if (open.push(new Set()) > depth) throw new SyntaxError(`nested deeper than ${depth}`);
    } else if (token === '}' || token === ']') {
      open.pop();
    } else if (colon !== undefined) {
      const name: string = JSON.parse(token.slice(0, -colon.length));
      if (open.at(-1)!.has(name)) throw new SyntaxError('a duplicate member');
      open.at(-1)!.add(name);
    }
  }
}

export function isObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
