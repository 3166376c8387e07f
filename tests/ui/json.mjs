// Tests how the inspector reads JSON, without a browser. Run by .ci/inspector.

import assert from 'node:assert/strict';
import test from 'node:test';

import { diff, nodes, parse, pretty, visible, visibleLines } from '../../src/bin/twenty-webhook/listen/ui/page/json.js';

// A generator that returns the same values each time.
let state = 1;
function random(below) {
  state = (Math.imul(state, 1_103_515_245) + 12_345) & 0x7fffffff;
  return (state >> 8) % below;
}

const pick = (list) => list[random(list.length)];
const STRINGS = ['""', '"a"', '"\\""', '"\\\\"', '"\\\\\\""', '"{[,:"', '"\\u202e"', '"é🙂"', '"a b"'];
const NUMBERS = ['0', '-0', '1.50', '1e400', '-12.5E-3', '12345678901234567890'];

/** A text without spaces, with numbers in all forms and with members that are repeated. */
function text(depth) {
  const kind = random(depth > 0 ? 5 : 3);
  if (kind === 0) return pick(STRINGS);
  if (kind === 1) return pick(NUMBERS);
  if (kind === 2) return pick(['null', 'true', 'false']);
  const items = Array.from({ length: random(4) }, () => text(depth - 1));
  return kind === 3 ? `[${items.join(',')}]` : `{${items.map((item) => `${pick(STRINGS)}:${item}`).join(',')}}`;
}

/** As JSON allows it, with spaces between the tokens. */
function spaced(json) {
  return json.replace(
    /"(?:[^"\\]|\\.)*"|[{}[\],:]/g,
    (token) => pick(['', ' ', '\n\t']) + token + pick(['', ' ', '\r\n']),
  );
}

test('a pretty text has the same tokens, with every number as it was', () => {
  for (let count = 0; count < 2_000; count += 1) {
    const json = text(4);
    const lines = pretty(spaced(json));
    assert.deepEqual(JSON.parse(lines), JSON.parse(json));
    const tokens = (t) => t.match(/"(?:[^"\\]|\\.)*"|[{}[\],:]|[^\s{}[\],:"]+/g);
    assert.deepEqual(tokens(lines), tokens(json));
  }
});

test('every node is where it says', () => {
  for (let count = 0; count < 2_000; count += 1) {
    const json = spaced(text(4));
    for (const node of nodes(parse(json))) {
      const value = JSON.parse(json.slice(node.start, node.end));
      const kind = Array.isArray(value)
        ? 'array'
        : value === null || typeof value === 'boolean'
          ? 'word'
          : typeof value;
      assert.equal(node.kind, kind);
      assert.ok(node.key === null || typeof JSON.parse(node.key) === 'string');
      assert.equal(node.parent === null || node.parent.items[node.index] === node, true);
    }
  }
});

test('a difference is found, and only a difference', () => {
  for (let count = 0; count < 2_000; count += 1) {
    const [a, b] = [text(4), text(4)];
    assert.deepEqual(diff(a, a), []);
    const changes = diff(a, b);
    assert.ok(
      changes.length > 0 || JSON.stringify(JSON.parse(a)) === JSON.stringify(JSON.parse(b)) || sorted(a) === sorted(b),
    );
    for (const { before, after } of changes) {
      assert.ok(before !== after && (before === null || a.includes(before)) && (after === null || b.includes(after)));
    }
  }
  assert.deepEqual(diff('{"a":{"b":[1,2]},"c":1}', '{"a":{"b":[1,3,4]},"d":1}'), [
    { path: 'a.b[1]', before: '2', after: '3' },
    { path: 'a.b[2]', before: null, after: '4' },
    { path: 'c', before: '1', after: null },
    { path: 'd', before: null, after: '1' },
  ]);
  assert.deepEqual(diff('{"__proto__":1}', '{"__proto__":2}'), [{ path: '__proto__', before: '1', after: '2' }]);
  assert.equal(diff('{', '{}'), null);
});

/** The members in one order, the last of repeated ones. */
function sorted(json) {
  const order = (value) =>
    value && typeof value === 'object' && !Array.isArray(value)
      ? Object.fromEntries(
          Object.keys(value)
            .sort()
            .map((key) => [key, order(value[key])]),
        )
      : Array.isArray(value)
        ? value.map(order)
        : value;
  return JSON.stringify(order(JSON.parse(json)));
}

test('what is nested deeply or long is read without recursion', () => {
  const deep = '['.repeat(50_000) + ']'.repeat(50_000);
  assert.equal([...nodes(parse(deep))].length, 50_000);
  assert.ok(pretty(deep).length < 90 * deep.length);
  assert.equal(diff(deep, `[${deep}]`).length, 1);
  const slashes = `"${'\\\\'.repeat(500_000)}\\""`;
  assert.equal(parse(slashes).end, slashes.length);
});

test('no character turns the text, hides in it or begins a line', () => {
  const all = String.fromCharCode(...Array.from({ length: 0x3000 }, (_, code) => code));
  const odd = /[\u0000-\u001f\u007f-\u009f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]/;
  assert.ok(!odd.test(visible(all)) && visible(all).includes('\\u202e') && visible(all).includes('é'));
  assert.ok(!odd.test(visibleLines(all).replace('\n', '').replace('\t', '')) && visibleLines('a\n\tb') === 'a\n\tb');
});
