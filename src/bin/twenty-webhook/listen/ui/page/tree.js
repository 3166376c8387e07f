// JSON as a tree. Only unfolded parts are built, and long lists are built in steps.

import { el } from './dom.js';
import { isContainer, nodes, visible } from './json.js';

/** The number of items of a list that are shown in one step. */
export const STEP = 200;

/** A browser fails to lay out elements that are nested a few thousand times, or a million of them. */
const DEEPEST = 500;
const FARTHEST = 50_000;

/** The number of characters from which a text is shortened. */
export const LONG = 2000;

export class Tree {
  constructor(text, root, changed) {
    Object.assign(this, { text, root, changed: new Set(changed), lines: new Map(), query: '', matches: [], at: -1 });
    this.element = el('div', { class: 'code', id: 'tree' });
    this.element.append(this.line(root));
    this.open(root);
    // Unfolds as much as fits on a few screens.
    this.unfold();
  }

  raw(node) {
    return this.text.slice(node.start, node.end);
  }

  /** Returns the line of a node, with the place for its content. */
  line(node) {
    const line = el('div', { class: 'line' });
    line.style.setProperty('--depth', String(Math.min(node.depth, 30)));
    const holder = el('div', null, line);
    this.lines.set(node, { line, holder, inside: null, shown: 0 });
    this.draw(node);
    return holder;
  }

  draw(node) {
    const entry = this.lines.get(node);
    const parts = [];
    const isOpen = entry.inside !== null;
    if (isContainer(node) && node.items.length > 0) {
      parts.push(
        el(
          'button',
          {
            type: 'button',
            class: 'fold',
            'aria-expanded': String(isOpen),
            'aria-label': isOpen ? 'Fold' : 'Unfold',
            onclick: () => (this.lines.get(node).inside ? this.close(node) : this.open(node)),
          },
          isOpen ? '▼' : '▶',
        ),
      );
    }
    if (node.key !== null) parts.push(el('span', { class: 'key' }, this.marked(visible(node.key))), ': ');
    else if (node.parent) parts.push(el('span', { class: 'quiet' }, `${node.index} `));
    entry.line.classList.toggle('changed', node.key !== null && this.isChanged(node));
    if (!isContainer(node)) {
      parts.push(this.value(node));
    } else {
      const [left, right] = node.kind === 'object' ? '{}' : '[]';
      const count = node.items.length;
      const what = node.kind === 'object' ? 'member' : 'item';
      parts.push(
        left,
        isOpen ? '' : el('span', { class: 'quiet' }, count ? ` ${count} ${what}${count > 1 ? 's' : ''} ` : ''),
        isOpen ? '' : right,
      );
    }
    entry.line.replaceChildren(...parts);
  }

  isChanged(node) {
    if (node.depth !== 2 || this.changed.size === 0) return false;
    const name = node.key.slice(1, -1);
    return this.changed.has(name) || (name.endsWith('Id') && this.changed.has(name.slice(0, -2)));
  }

  value(node) {
    const raw = this.raw(node);
    const span = el('span', { class: node.kind });
    const short = raw.slice(0, LONG);
    span.append(this.marked(visible(short)));
    if (raw.length > LONG) {
      span.append(
        el(
          'button',
          { type: 'button', class: 'more', onclick: () => span.replaceChildren(this.marked(visible(raw))) },
          `… ${(raw.length - LONG).toLocaleString()} more characters`,
        ),
      );
    }
    return span;
  }

  /** Returns the text with the matches of the search marked. */
  marked(text) {
    const fragment = document.createDocumentFragment();
    const lower = text.toLowerCase();
    let at = 0;
    // If the text in lower case has another length, no position would be right.
    while (this.query && lower.length === text.length) {
      const next = lower.indexOf(this.query, at);
      if (next < 0) break;
      fragment.append(text.slice(at, next), el('mark', null, text.slice(next, next + this.query.length)));
      at = next + this.query.length;
    }
    fragment.append(text.slice(at));
    return fragment;
  }

  open(node, least = 0) {
    const entry = this.lines.get(node);
    if (!entry.inside) {
      const inside = el('div');
      const end = el('div', { class: 'line' }, node.kind === 'object' ? '}' : ']');
      end.style.setProperty('--depth', String(Math.min(node.depth, 30)));
      Object.assign(entry, { inside, end, shown: 0 });
      entry.holder.append(inside, end);
      this.draw(node);
    }
    if (entry.shown === 0 || entry.shown <= least) this.more(node, Math.max(STEP, least + 1 - entry.shown));
  }

  more(node, count) {
    const entry = this.lines.get(node);
    entry.button?.remove();
    for (const item of node.items.slice(entry.shown, entry.shown + count)) entry.inside.append(this.line(item));
    entry.shown = Math.min(node.items.length, entry.shown + count);
    const left = node.items.length - entry.shown;
    if (left > 0) {
      entry.button = el(
        'button',
        { type: 'button', class: 'more', onclick: () => this.more(node, STEP) },
        `Show ${Math.min(STEP, left)} of ${left.toLocaleString()} more`,
      );
      entry.inside.append(entry.button);
    }
  }

  close(node) {
    const entry = this.lines.get(node);
    if (!entry.inside) return;
    for (const inner of nodes(node)) if (inner !== node) this.lines.delete(inner);
    entry.inside.remove();
    entry.end.remove();
    Object.assign(entry, { inside: null, end: null, shown: 0, button: null });
    this.draw(node);
  }

  /** Unfolds level by level, until there are enough lines. */
  unfold() {
    let budget = 400;
    let level = [this.root];
    while (level.length > 0 && budget > 0) {
      const next = [];
      for (const node of level) {
        if (!isContainer(node) || node.items.length === 0 || budget < Math.min(node.items.length, STEP)) continue;
        if (!this.lines.has(node)) continue;
        this.open(node);
        budget -= Math.min(node.items.length, STEP);
        next.push(...node.items.slice(0, STEP));
      }
      level = next;
    }
  }

  fold() {
    for (const item of this.root.items) if (this.lines.has(item)) this.close(item);
  }

  search(text) {
    this.query = text.trim().toLowerCase();
    this.matches = [];
    this.at = -1;
    if (this.query) {
      for (const node of nodes(this.root)) {
        const has = (part) => part !== null && visible(part).toLowerCase().includes(this.query);
        if (has(node.key) || (!isContainer(node) && has(this.raw(node)))) this.matches.push(node);
        if (this.matches.length >= 1000) break;
      }
    }
    for (const node of this.lines.keys()) this.draw(node);
    return this.step(1);
  }

  step(by) {
    this.now?.classList.remove('now');
    if (this.matches.length === 0) return this.query ? 'no match' : '';
    this.at = (this.at + by + this.matches.length) % this.matches.length;
    let node = this.matches[this.at];
    // A match that is too deep or too far is not unfolded: the part that contains it is shown.
    for (let up = node; up.parent; up = up.parent) if (up.depth > DEEPEST || up.index >= FARTHEST) node = up.parent;
    const path = [];
    for (let up = node; up.parent; up = up.parent) path.push(up);
    for (const inner of path.reverse()) this.open(inner.parent, inner.index);
    const { line } = this.lines.get(node);
    line.classList.add('now');
    this.now = line;
    line.scrollIntoView({ block: 'nearest' });
    return `${this.at + 1} of ${this.matches.length}${this.matches.length >= 1000 ? ' or more' : ''}`;
  }
}
