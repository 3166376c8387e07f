// Signs bodies as Twenty's server does, with Node's HMAC and JSON.stringify, and prints the vectors
// that tests/core/second_opinion.rs verifies:
//
//   node tests/vectors/node.mjs > tests/vectors/node.json
//
// The output is always the same. The gate compares it with the file.
import { createHmac } from 'node:crypto';

const SECRET = '5b0c2f7d9e1a4c3b8d6f0e2a1c4b7d9f5b0c2f7d9e1a4c3b8d6f0e2a1c4b7d9f';
const TIMESTAMP = '1790932471733';

const sign = (secret, timestamp, body) => createHmac('sha256', secret).update(`${timestamp}:${body}`).digest('hex');

const delivery = (record) => ({ eventName: 'note.created', record });

// The object is parsed, because an object literal would set the prototype.
const proto = JSON.parse('{"__proto__":{"isAdmin":true},"constructor":{"prototype":1},"toString":null,"title":"a"}');

const payloads = {
  ascii: delivery({ title: 'plain' }),
  emoji: delivery({ title: '👩‍👩‍👧‍👦 🏳️‍🌈 é e\u0301 ẞ 漢字 עברית' }),
  'line and paragraph separators': delivery({ title: 'a\u2028b\u2029c\u0085d\ufeffe' }),
  'lone surrogates': delivery({ title: 'a\ud800b\udfffc', '\ud83d': '\ude00\ud83d' }),
  'control characters': delivery({ title: '\u0000\u0001\b\t\n\v\f\r\u001f\u007f\u0080' }),
  'quotes and slashes': delivery({ title: '"\\/ </script> <!-- \\u0041' }),
  'last of Unicode': delivery({ title: '\uffff\ufffe\u{10ffff}' }),
  numbers: delivery({ list: [1e21, 1e-7, 123456789012345680000, 0.1 + 0.2, -0, 5e-324, 1.7976931348623157e308, 2 ** 53] }),
  'no numbers': delivery({ list: [NaN, Infinity, undefined], gone: undefined }),
  'members of the prototype': delivery(proto),
  'keys out of order': { record: { z: 1, a: 2, 10: 'ten', 9: 'nine', '-1': 'minus' }, b: 0, eventName: 'note.created', a: 0 },
  'keys that are odd': delivery({ '': 1, ' ': 2, 'a.b': 3, 'é': 4, '😀': 5 }),
  dates: delivery({ at: new Date(0), far: new Date(8.64e15) }),
  deep: delivery(Array.from({ length: 100 }).reduce((inner) => ({ inner }), 'bottom')),
  'empty object': {},
  'empty string': '',
  null: null,
};

const vectors = Object.entries(payloads).map(([name, payload]) => {
  const body = JSON.stringify(payload);
  return { name, secret: SECRET, timestamp: TIMESTAMP, body, signature: sign(SECRET, TIMESTAMP, body) };
});

// Other kinds of secrets and timestamps.
for (const [name, secret, timestamp] of [
  ['secret in Unicode', 'pässwörd 🔑', TIMESTAMP],
  ['secret between spaces', ' secret\n', TIMESTAMP],
  ['secret of 64 bytes', 'k'.repeat(64), TIMESTAMP],
  ['secret of 65 bytes', 'k'.repeat(65), TIMESTAMP],
  ['secret of 1000 bytes', 'k'.repeat(1000), TIMESTAMP],
  ['first millisecond', SECRET, '0'],
  ['last millisecond', SECRET, '18446744073709551615'],
]) {
  vectors.push({ name, secret, timestamp, body: '{}', signature: sign(secret, timestamp, '{}') });
}

// Long bodies are written as a rule: head, `unit` repeated `times` times, tail.
for (const [name, unit, times] of [
  ['1 MiB of ASCII', 'x', 1 << 20],
  ['1 MiB of emoji', '😀', 1 << 18],
  ['1 MiB of escapes', '\\ud800', 174763],
]) {
  const [head, tail] = ['{"eventName":"note.created","record":{"title":"', '"}}'];
  const body = head + unit.repeat(times) + tail;
  // Twenty sends only texts that JSON.stringify can return.
  if (JSON.stringify(JSON.parse(body)) !== body) throw new Error(name);
  const signature = sign(SECRET, TIMESTAMP, body);
  vectors.push({ name, secret: SECRET, timestamp: TIMESTAMP, body: [head, unit, times, tail], signature });
}

console.log(JSON.stringify(vectors, null, 1));
