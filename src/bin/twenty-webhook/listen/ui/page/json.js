// JSON as it was sent: numbers keep their form, members their order, and repeated members stay.

const HARMFUL = /[\u0000-\u001f\u007f-\u009f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]/g;

/** Shows characters that are invisible, change the text's direction or begin a line as codes. */
export function visible(text) {
  return text.replace(HARMFUL, (c) => `\\u${c.charCodeAt(0).toString(16).padStart(4, '0')}`);
}

/** Does the same, but keeps line ends and tabs. */
export function visibleLines(text) {
  return text.replace(HARMFUL, (c) => (c === '\n' || c === '\t' ? c : visible(c)));
}

/**
 * Returns a tree of nodes, or null if the text is not JSON. A node has its `kind` ('object', 'array',
 * 'string', 'number' or 'word'), its place in the text (`start`, `end`), its `key` as written, and
 * `items`.
 */
export function parse(text) {
  try {
    JSON.parse(text);
  } catch {
    return null;
  }
  // The text is valid JSON, so this only finds the positions. There is no recursion, because the
  // text may be deeply nested.
  let at = 0;
  let key = null;
  let parent = null;
  let root = null;
  const add = (kind, start, end) => {
    const node = {
      kind,
      start,
      end,
      key,
      parent,
      depth: parent ? parent.depth + 1 : 0,
      index: parent ? parent.items.length : 0,
      items: [],
    };
    key = null;
    if (parent) parent.items.push(node);
    else root = node;
    return node;
  };
  while (at < text.length) {
    const c = text[at];
    if (c === '{' || c === '[') {
      parent = add(c === '{' ? 'object' : 'array', at, at);
      at += 1;
    } else if (c === '}' || c === ']') {
      at += 1;
      parent.end = at;
      parent = parent.parent;
    } else if (c === '"') {
      const end = stringEnd(text, at);
      if (parent && parent.kind === 'object' && key === null) key = text.slice(at, end);
      else add('string', at, end);
      at = end;
    } else if (/[\s,:]/.test(c)) {
      at += 1;
    } else {
      let end = at + 1;
      while (end < text.length && !/[\s,\]}]/.test(text[end])) end += 1;
      add(/[-\d]/.test(c) ? 'number' : 'word', at, end);
      at = end;
    }
  }
  return root;
}

function stringEnd(text, start) {
  let end = start;
  for (;;) {
    end = text.indexOf('"', end + 1);
    let slashes = 0;
    while (text[end - 1 - slashes] === '\\') slashes += 1;
    if (slashes % 2 === 0) return end + 1;
  }
}

/** Returns this node and all nodes below it, in the order of the text. */
export function* nodes(root) {
  const stack = [root];
  while (stack.length > 0) {
    const node = stack.pop();
    yield node;
    for (let index = node.items.length - 1; index >= 0; index -= 1) stack.push(node.items[index]);
  }
}

/** Returns the text with one member per line. */
export function pretty(text) {
  const root = parse(text);
  if (!root) return text;
  const parts = [];
  const open = (node) => {
    const indent = '  '.repeat(Math.min(node.depth, 40));
    if (node.parent) parts.push(node.index > 0 ? ',\n' : '\n', indent, node.key === null ? '' : `${node.key}: `);
    parts.push(
      node.items.length > 0
        ? text[node.start]
        : isContainer(node)
          ? text[node.start] + text[node.end - 1]
          : text.slice(node.start, node.end),
    );
  };
  const stack = [{ node: root, next: 0 }];
  open(root);
  while (stack.length > 0) {
    const top = stack[stack.length - 1];
    if (top.next < top.node.items.length) {
      const node = top.node.items[top.next];
      top.next += 1;
      open(node);
      stack.push({ node, next: 0 });
    } else {
      stack.pop();
      if (top.node.items.length > 0)
        parts.push('\n', '  '.repeat(Math.min(top.node.depth, 40)), text[top.node.end - 1]);
    }
  }
  return parts.join('');
}

export function isContainer(node) {
  return node.kind === 'object' || node.kind === 'array';
}

/**
 * Returns the differences between two JSON texts: `{ path, before, after }` with texts. If a member was
 * added or removed, one of these texts is null. Returns null if one of the two texts is not JSON.
 */
export function diff(before, after) {
  const roots = [parse(before), parse(after)];
  if (!roots[0] || !roots[1]) return null;
  const found = [];
  const raw = (text, node) => text.slice(node.start, node.end);
  const stack = [{ a: roots[0], b: roots[1], path: '' }];
  while (stack.length > 0) {
    const { a, b, path } = stack.pop();
    if (a && b && raw(before, a) === raw(after, b)) continue;
    if (!a || !b || a.kind !== b.kind || !isContainer(a)) {
      found.push({ path, before: a && raw(before, a), after: b && raw(after, b) });
      continue;
    }
    const next = [];
    if (a.kind === 'array') {
      const length = Math.max(a.items.length, b.items.length);
      for (let index = 0; index < length; index += 1)
        next.push({ a: a.items[index] ?? null, b: b.items[index] ?? null, path: `${path}[${index}]` });
    } else {
      // As everywhere, the last one of repeated members counts.
      const members = new Map();
      for (const node of a.items) members.set(JSON.parse(node.key), { a: node, b: null });
      for (const node of b.items) {
        const name = JSON.parse(node.key);
        members.set(name, { a: members.get(name)?.a ?? null, b: node });
      }
      for (const [name, pair] of members) next.push({ ...pair, path: path ? `${path}.${name}` : name });
    }
    stack.push(...next.reverse());
  }
  return found;
}
