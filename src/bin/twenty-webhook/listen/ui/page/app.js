// The inspector's page. All content of deliveries becomes text nodes, never markup.

import { el } from './dom.js';
import { diff, parse, pretty, visible, visibleLines } from './json.js';
import { LONG, STEP, Tree } from './tree.js';

const $ = (id) => document.getElementById(id);
const rows = new Map();
let about = {};
let dropped = 0;
let open = null;
let found = null;

async function get(path, as = 'json') {
  const response = await fetch(`api/${path}`);
  if (!response.ok) throw new Error((await response.text()).trim() || `status ${response.status}`);
  return response[as]();
}

const one = (id) => `deliveries/${encodeURIComponent(id)}`;

let toasting;
function toast(text) {
  $('toast').textContent = text;
  $('toast').classList.add('shown');
  clearTimeout(toasting);
  toasting = setTimeout(() => $('toast').classList.remove('shown'), 3500);
}

// ---- the list

const clock = new Intl.DateTimeFormat(undefined, {
  hour: '2-digit',
  minute: '2-digit',
  second: '2-digit',
  hourCycle: 'h23',
});
const day = new Intl.DateTimeFormat(undefined, { day: 'numeric', month: 'short' });
const isToday = (date) => date.toDateString() === new Date().toDateString();

function time(iso) {
  const date = new Date(iso);
  return el(
    'time',
    { datetime: iso, title: iso },
    clock.format(date),
    isToday(date) ? null : el('small', null, day.format(date)),
  );
}

/** Returns the class of a badge in the style sheet, and its text. */
function verdict(summary) {
  if (summary.dead) return ['rejected', summary.dead.reason];
  if (summary.source === 'sent') return ['sent', summary.edited ? 'sent, edited' : 'sent again'];
  if (!summary.verified) return ['rejected', 'rejected'];
  return summary.rejection ? ['warn', 'verified, rejected'] : ['verified', 'verified'];
}

const badge = (summary) => el('span', { class: `badge ${verdict(summary)[0]}` }, verdict(summary)[1]);

function title(summary) {
  if (summary.event) return visible(summary.event);
  if (summary.verified) return summary.rejection ? 'not an event' : 'event without a name';
  return summary.method && summary.method !== 'POST' ? `unverified ${visible(summary.method)}` : 'unverified request';
}

const isGood = (status) => status >= 200 && status < 300;

function answers(summary) {
  const { status, forwarded } = summary;
  const part = (text, isBad, title) => el('span', { class: isBad ? 'bad' : null, title }, text);
  const parts = [];
  if (summary.dead) parts.push(`${summary.dead.attempts} attempt${summary.dead.attempts === 1 ? '' : 's'}`);
  // The target's status is also the answer's, so it is not shown twice.
  if (status && status !== forwarded?.status) parts.push(part(`${status} `, !isGood(status), 'answered'));
  if (forwarded?.status)
    parts.push(
      '→ ',
      part(`${forwarded.status}`, !isGood(forwarded.status), 'the forward target answered'),
      ` · ${forwarded.milliseconds} ms`,
    );
  else if (forwarded) parts.push(part('→ no answer', true, 'the forward target'));
  return el('span', { class: 'answers' }, parts);
}

const times = (count) => (count === 1 ? 'once' : `${count} times`);

function second(summary) {
  const notes = [];
  if (summary.dead) notes.push(visible(summary.dead.message));
  if (summary.rejection) notes.push(visible(summary.rejection));
  if (summary.updatedFields?.length) notes.push(`changed: ${visible(summary.updatedFields.join(', '))}`);
  if (summary.repetition) notes.push(`duplicate, received ${times(summary.repetition)} before`);
  if (summary.previousSecret) notes.push('previous secret');
  if (summary.source === 'saved') notes.push('saved before');
  return notes.join(' · ');
}

function addRow(summary) {
  if (rows.has(summary.id)) return rows.get(summary.id);
  const link = el(
    'a',
    { class: 'row', href: `#${encodeURIComponent(summary.id)}` },
    time(summary.time),
    el(
      'span',
      { class: 'what' },
      el(
        'div',
        { class: 'first' },
        el('bdi', { class: 'event' }, title(summary)),
        summary.displayName ? el('bdi', { class: 'name' }, visible(summary.displayName)) : null,
      ),
      el('div', { class: 'second' }, el('bdi', null, second(summary))),
    ),
    el('span', { class: 'end' }, badge(summary), answers(summary)),
  );
  const item = el('li', null, link);
  item.order = summary.micros;
  const row = { summary, item, link, text: JSON.stringify(summary).toLowerCase() };
  rows.set(summary.id, row);
  return row;
}

function removeRow(id) {
  rows.get(id)?.item.remove();
  rows.delete(id);
}

const FILTERS = {
  all: () => true,
  verified: (s) => s.verified && s.source !== 'sent',
  rejected: (s) => !s.verified || Boolean(s.rejection),
  failed: (s) => (s.status && !isGood(s.status)) || (s.forwarded && !isGood(s.forwarded.status)),
  sent: (s) => s.source === 'sent',
};

const query = () => $('search').value.trim().toLowerCase();

function isShown(row) {
  const text = query();
  return (
    FILTERS[$('filter').value](row.summary) && (!text || row.text.includes(text) || Boolean(found?.has(row.summary.id)))
  );
}

function refresh() {
  let shown = 0;
  let rejected = 0;
  for (const row of rows.values()) {
    const is = isShown(row);
    if (row.item.hidden === is) row.item.hidden = !is;
    shown += is ? 1 : 0;
    rejected += row.summary.rejection ? 1 : 0;
  }
  const [name, names] = about.inbox ? ['dead letter', 'dead letters'] : ['delivery', 'deliveries'];
  const parts = [`${rows.size} ${rows.size === 1 ? name : names}`];
  if (shown < rows.size) parts.push(`${shown} shown`);
  if (about.inbox?.dead > rows.size) parts.push(`${about.inbox.dead - rows.size} more are not shown`);
  if (rejected && !about.inbox) parts.push(`${rejected} rejected`);
  if (dropped) parts.push(`${dropped} older ones dropped`);
  if (about.savedIn) parts.push(`saved in ${visible(about.savedIn)}`);
  $('counts').textContent = parts.join(' · ');
  $('empty').hidden = rows.size > 0 || Boolean(about.inbox);
  $('no-letters').hidden = rows.size > 0 || !about.inbox;
  $('list').hidden = rows.size === 0;
  $('no-match').hidden = rows.size === 0 || shown > 0;
}

let refreshing = false;
function refreshSoon() {
  if (refreshing) return;
  refreshing = true;
  requestAnimationFrame(() => {
    refreshing = false;
    refresh();
  });
}

/** Inserts a row by its time: the newest row is the first. */
function place(row, isNew) {
  let before = $('list').firstElementChild;
  while (before && before.order > row.item.order) before = before.nextElementSibling;
  $('list').insertBefore(row.item, before);
  row.item.hidden = !isShown(row);
  if (isNew) {
    row.item.classList.add('new');
    row.item.addEventListener('animationend', () => row.item.classList.remove('new'), { once: true });
  }
}

let announcing;
let unannounced = 0;
function announce(summary) {
  unannounced += 1;
  clearTimeout(announcing);
  announcing = setTimeout(() => {
    const name = summary.displayName ? ` ${visible(summary.displayName)}` : '';
    $('announce').textContent =
      unannounced > 1 ? `${unannounced} new deliveries` : `${title(summary)}${name}, ${verdict(summary)[1]}`;
    unannounced = 0;
  }, 400);
}

let loading = null;
/** Fetches the whole list: at the start, and after the page missed news. Only one fetch runs at a time. */
function load() {
  loading ??= fetchList().finally(() => {
    loading = null;
  });
  return loading;
}

async function fetchList() {
  const { deliveries, ...rest } = await get('deliveries');
  about = rest;
  dropped = rest.dropped;
  const there = new Set(deliveries.map((summary) => summary.id));
  for (const id of [...rows.keys()]) if (!there.has(id)) removeRow(id);
  const fragment = document.createDocumentFragment();
  for (const summary of deliveries.reverse()) fragment.append(addRow(summary).item);
  $('list').replaceChildren(fragment);
  $('empty-send').textContent = about.send;
  $('empty-secret').textContent = about.send.includes('--secret SECRET')
    ? ' (the terminal of listen shows the secret)'
    : '';
  $('empty-url').textContent = about.url;
  $('edit-target').textContent = about.forwardTo ?? '';
  if (about.inbox) showInbox(about.inbox);
  refresh();
  mark();
}

let source = null;
function listenToNews() {
  source?.close();
  source = null;
  // A browser opens only six connections to a server, so tabs in the background must leave theirs to the others.
  if (document.hidden) return;
  source = new EventSource('api/events');
  const status = (state, text) => {
    $('status').dataset.state = state;
    $('status').textContent = text;
  };
  source.addEventListener('open', async () => {
    // The list contains what arrived meanwhile.
    await load().catch(() => {});
    status('live', 'live');
    if (!open) route();
  });
  source.addEventListener('error', (event) =>
    status('lost', event.target.readyState === EventSource.CLOSED ? 'ended' : 'reconnecting'),
  );
  source.addEventListener('message', async (event) => {
    const news = JSON.parse(event.data);
    if (loading) await loading.catch(() => {});
    if (news.resync) {
      await load();
      if (!open) route();
      return;
    }
    if (news.inbox) showInbox(news.inbox);
    dropped += news.dropped?.length ?? 0;
    for (const id of [...(news.dropped ?? []), ...(news.removed ?? [])]) removeRow(id);
    if (news.removed?.includes(open?.id)) leave();
    if (news.added && !rows.has(news.added.id)) {
      place(addRow(news.added), true);
      announce(news.added);
      // A search that is waiting stays, so that it runs even if deliveries arrive all the time.
      if (query() && !searching) searchSoon(600);
    }
    refreshSoon();
    mark();
  });
}

// ---- search

let searching = null;
function searchSoon(wait) {
  clearTimeout(searching);
  searching = setTimeout(async () => {
    searching = null;
    const text = query();
    if (!text) return;
    try {
      const { ids } = await get(`search/${encodeURIComponent(`q=${text}`)}`);
      if (text === query()) {
        found = new Set(ids);
        refresh();
      }
    } catch (error) {
      toast(error.message);
    }
  }, wait);
}

$('search').addEventListener('input', () => {
  found = null;
  refresh();
  searchSoon(150);
});
$('filter').addEventListener('change', refresh);
$('clear').addEventListener('click', showAll);

function showAll() {
  $('search').value = '';
  $('filter').value = 'all';
  found = null;
  refresh();
}

// ---- which delivery is open

const asked = () => {
  try {
    return decodeURIComponent(location.hash.slice(1));
  } catch {
    return '';
  }
};

function mark() {
  for (const old of document.querySelectorAll('.row[aria-current]'))
    if (!open || old !== rows.get(open.id)?.link) old.removeAttribute('aria-current');
  if (open) rows.get(open.id)?.link.setAttribute('aria-current', 'true');
}

async function route() {
  const id = asked();
  if (!id) return close();
  document.querySelector('main').classList.add('open');
  $('no-detail').hidden = true;
  try {
    const details = await get(one(id));
    if (asked() !== id) return;
    const buffer = details.hasBody ? await get(`${one(id)}/body`, 'arrayBuffer') : null;
    if (asked() !== id) return;
    show({ id, details, body: buffer && new TextDecoder().decode(buffer) });
  } catch (error) {
    if (asked() !== id) return;
    open = null;
    $('detail').replaceChildren(
      el('button', { class: 'back', onclick: leave }, '← Deliveries'),
      el('h2', null, 'Not here'),
      el(
        'p',
        { class: 'quiet' },
        `${error.message}. The list may have dropped it, or the listener was restarted without --save.`,
      ),
    );
    $('detail').hidden = false;
    mark();
  }
}

function close() {
  open = null;
  document.querySelector('main').classList.remove('open');
  $('detail').hidden = true;
  $('no-detail').hidden = false;
  mark();
}

/** Closes the details, and returns to the row. */
function leave() {
  const row = open && rows.get(open.id);
  history.replaceState(null, '', location.pathname);
  close();
  row?.link.focus();
}

window.addEventListener('hashchange', route);

// ---- the details

function show(next) {
  const tab = open?.tab ?? 'body';
  open = { ...next, tab };
  const { details } = open;
  const name = details.displayName ? el('small', null, ' ', el('bdi', null, visible(details.displayName))) : null;
  const parts = [
    el(
      'div',
      { class: 'title' },
      el('button', { class: 'back', type: 'button', onclick: leave }, '← Deliveries'),
      el('h2', null, el('bdi', null, title(details)), name),
      badge(details),
    ),
    actions(details),
    sendHint(details),
    why(details),
    oddities(details),
    facts(details),
    ...tabs(details),
  ];
  $('detail').replaceChildren(...parts.filter(Boolean));
  $('detail').hidden = false;
  $('detail').scrollTop = 0;
  choose(tab);
  mark();
}

function actions(details) {
  const copying = (what, label) =>
    el('button', { type: 'button', disabled: !details.hasBody, 'data-copy': what, onclick: () => copy(what) }, label);
  const download = `api/${one(details.id)}/capture`;
  const sending = [
    el(
      'button',
      { type: 'button', disabled: !details.sendable, 'data-send': 'again', onclick: () => send({ signAnew: false }) },
      'As it was',
    ),
    el(
      'button',
      { type: 'button', disabled: !details.sendable, 'data-send': 'anew', onclick: () => send({ signAnew: true }) },
      'Signed anew',
    ),
    el(
      'button',
      { type: 'button', disabled: !details.sendable || !details.isText, 'data-send': 'edit', onclick: edit },
      'Edit…',
    ),
  ];
  return el(
    'div',
    { class: 'actions' },
    details.dead
      ? el(
          'div',
          { class: 'group', role: 'group', 'aria-label': 'Dead letter' },
          el('span', { class: 'label' }, 'Dead letter'),
          letterButton('redrive', details.id),
          letterButton('purge', details.id),
        )
      : el(
          'div',
          { class: 'group', role: 'group', 'aria-label': 'Send again' },
          el('span', { class: 'label' }, 'Send again'),
          sending,
        ),
    el(
      'div',
      { class: 'group', role: 'group', 'aria-label': 'Copy' },
      el('span', { class: 'label' }, 'Copy'),
      copying('curl', 'curl'),
      copying('test', 'Test'),
      copying('capture', 'Capture'),
      details.hasBody
        ? el(
            'a',
            { class: 'button', href: download, download: `${details.id}.http`, title: 'Download the capture' },
            '↓',
          )
        : null,
    ),
  );
}

function sendHint(details) {
  if (details.dead) return null;
  const minutes = details.signedAt ? Math.floor((Date.now() - details.signedAt) / 60000) : 0;
  let text = '';
  if (!details.verified) text = 'Only verified deliveries can be sent again: a forged one would get a signature.';
  else if (!about.forwardTo) text = 'To send it again, start listen with --forward-to URL.';
  else if (details.sendable && minutes >= 5)
    text = `It was signed ${minutes} minutes ago, and receivers reject it after 5 minutes: send it signed anew.`;
  return text ? el('p', { class: 'hint' }, text) : null;
}

function why(details) {
  if (!details.rejection) return null;
  const causes = (details.causes ?? []).map(({ cause, advice }) =>
    el('li', null, el('b', null, visible(cause)), el('p', null, advice)),
  );
  return el(
    'section',
    { class: 'why', 'aria-label': 'Why it was rejected' },
    el('h3', null, `Rejected: ${visible(details.rejection)}`),
    causes.length ? el('ol', null, causes) : null,
  );
}

function oddities(details) {
  const notes = [];
  if (details.unexpected?.length)
    notes.push(`Members of unexpected types, which read as absent: ${visible(details.unexpected.join(', '))}`);
  if (details.captureError) notes.push(`Not saved: ${visible(details.captureError)}`);
  if (details.repetition) notes.push(`Duplicate: the same body was received ${times(details.repetition)} before.`);
  if (details.previousSecret) notes.push('Signed with the previous secret.');
  if (details.longBody)
    notes.push(`The body has ${details.longBody} bytes, more than receivers accept by default: raise body_limit.`);
  return notes.length
    ? el(
        'section',
        { class: 'why odd', 'aria-label': 'Remarks' },
        notes.map((note) => el('h3', null, note)),
      )
    : null;
}

function facts(details) {
  const list = el('dl', { class: 'facts' });
  const fact = (name, ...value) => list.append(el('dt', null, name), el('dd', null, ...value));
  const link = (id, text) => el('a', { href: `#${encodeURIComponent(id)}` }, text);
  fact(
    details.source === 'sent' ? 'Sent' : 'Received',
    new Date(details.time).toLocaleString(),
    details.source === 'saved' ? ', before this start' : '',
  );
  if (details.dead) {
    const { at, reason, attempts, interruptions, message } = details.dead;
    fact(
      'Died',
      new Date(at).toLocaleString(),
      ', ',
      el('strong', null, reason),
      `, after ${attempts} attempt${attempts === 1 ? '' : 's'}`,
      interruptions ? ` and ${interruptions} interruption${interruptions === 1 ? '' : 's'}` : '',
    );
    fact('Error', el('code', null, visible(message) || '-'));
  }
  if (details.origin) {
    const how = details.edited ? 'edited and signed anew' : details.signedAnew ? 'as it was, signed anew' : 'as it was';
    fact('From this page', `${how}; it did not come from Twenty. `, link(details.origin, 'The original'));
  }
  if (details.recordId) fact('Record', el('code', null, visible(details.recordId)));
  if (details.updatedFields?.length)
    fact(
      'Changed',
      details.updatedFields.map((field) => el('span', { class: 'chip' }, visible(field))),
    );
  const forwarded = details.forwarded;
  // The target's status is also the answer's, so it is not shown twice.
  if (details.status && details.status !== forwarded?.status) fact('Answered', `${details.status}`);
  if (forwarded) {
    const location = forwarded.location ? `, a redirect to ${visible(forwarded.location)}` : '';
    fact(
      'Forwarded',
      forwarded.status
        ? `${forwarded.status} in ${forwarded.milliseconds} ms${location}`
        : `no answer: ${visible(forwarded.error ?? '')}`,
    );
  }
  fact(
    'Request',
    el('code', null, visible(`${details.method} ${details.target}`)),
    details.length === null ? '' : `, ${details.length.toLocaleString()} bytes`,
  );
  if (details.capture) fact('Capture', el('code', null, visible(details.capture)));
  return list;
}

const TABS = { body: 'Body', changes: 'Changes', headers: 'Headers', raw: 'Raw text' };

function tabs(details) {
  const buttons = Object.entries(TABS).map(([id, name]) =>
    el(
      'button',
      { type: 'button', role: 'tab', id: `tab-${id}`, 'aria-controls': 'panel', onclick: () => choose(id) },
      id === 'headers' ? `${name} ${details.headers.length}` : name,
    ),
  );
  const bar = el('div', { class: 'tabs', role: 'tablist', 'aria-label': 'Parts' }, buttons);
  bar.addEventListener('keydown', (event) => {
    const ids = Object.keys(TABS);
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!step) return;
    choose(ids[(ids.indexOf(open.tab) + step + ids.length) % ids.length]);
    $(`tab-${open.tab}`).focus();
  });
  return [bar, el('div', { class: 'panel', id: 'panel', role: 'tabpanel', tabindex: '0' })];
}

function choose(tab) {
  open.tab = tab;
  for (const id of Object.keys(TABS)) {
    $(`tab-${id}`).setAttribute('aria-selected', String(id === tab));
    $(`tab-${id}`).tabIndex = id === tab ? 0 : -1;
  }
  $('panel').setAttribute('aria-labelledby', `tab-${tab}`);
  const panel = { body: bodyPanel, changes: changesPanel, headers: headersPanel, raw: rawPanel }[tab];
  $('panel').replaceChildren(...[panel()].flat());
}

const noBody = () =>
  el(
    'p',
    { class: 'quiet' },
    open.details.length === null
      ? 'The body was not read to its end, or it was dropped because too many bodies were waiting.'
      : 'The body is too long to be kept here.',
  );

// ---- the body

function bodyPanel() {
  const text = open.body;
  if (text === null) return noBody();
  const root = parse(text);
  if (!root)
    return [
      el('p', { class: 'bar' }, text === '' ? 'The body is empty.' : 'The body is not JSON.'),
      ...(text === '' ? [] : rawPanel()),
    ];
  const tree = new Tree(text, root, open.details.updatedFields ?? []);
  const count = el('span', { role: 'status' });
  const input = el('input', {
    type: 'search',
    id: 'find',
    placeholder: 'Search in this body',
    'aria-label': 'Search in this body',
    autocomplete: 'off',
    spellcheck: 'false',
  });
  const step = (by) => {
    count.textContent = tree.step(by);
  };
  input.addEventListener('input', () => {
    count.textContent = tree.search(input.value);
  });
  input.addEventListener('keydown', (event) => {
    if (event.key === 'Enter') step(event.shiftKey ? -1 : 1);
  });
  return [
    el(
      'div',
      { class: 'bar' },
      input,
      el('button', { type: 'button', 'aria-label': 'Previous match', onclick: () => step(-1) }, '↑'),
      el('button', { type: 'button', 'aria-label': 'Next match', onclick: () => step(1) }, '↓'),
      count,
      el('button', { type: 'button', onclick: () => tree.unfold() }, 'Unfold all'),
      el('button', { type: 'button', onclick: () => tree.fold() }, 'Fold all'),
    ),
    tree.element,
  ];
}

// ---- the other panels

function rawPanel() {
  if (open.body === null) return [noBody()];
  const text = open.body;
  const pre = el('pre', { class: 'code', id: 'raw' });
  let shown = 0;
  const notes = open.details.isText ? '' : 'The body is not UTF-8: invalid bytes are shown as �. The capture has the original bytes.';
  const button = el('button', { type: 'button' });
  const more = () => {
    const next = Math.min(text.length, shown + 100_000);
    pre.append(visibleLines(text.slice(shown, next)));
    shown = next;
    button.hidden = shown >= text.length;
    button.textContent = `Show more (${(text.length - shown).toLocaleString()} characters are left)`;
  };
  button.addEventListener('click', more);
  more();
  return [notes ? el('p', { class: 'bar' }, notes) : null, pre, el('p', { class: 'bar' }, button)].filter(Boolean);
}

function headersPanel() {
  const { headers, credentials } = open.details;
  const lines = headers.map(([name, value]) =>
    el('tr', null, el('th', { scope: 'row' }, visible(name)), el('td', null, visible(value))),
  );
  const left = credentials?.length
    ? el('p', { class: 'hint' }, `Omitted, because they may contain credentials: ${visible(credentials.join(', '))}`)
    : null;
  return [
    headers.length ? el('table', null, el('tbody', null, lines)) : el('p', { class: 'quiet' }, 'There are no headers.'),
    left,
  ].filter(Boolean);
}

function changesPanel() {
  const { previous, id } = open.details;
  if (!previous)
    return el(
      'p',
      { class: 'quiet' },
      open.details.recordId
        ? 'This is the first delivery of its record here.'
        : 'It has no record or is not verified, so there is nothing to compare it with.',
    );
  const place = el('div', { id: 'changes' }, el('p', { class: 'quiet' }, 'Comparing…'));
  compare(previous, id, place).catch((error) => place.replaceChildren(el('p', { class: 'quiet' }, error.message)));
  return place;
}

async function compare(previous, id, place) {
  const before = new TextDecoder().decode(await get(`${one(previous)}/body`, 'arrayBuffer'));
  if (open?.id !== id) return;
  const summary = rows.get(previous)?.summary;
  const changes = open.body === null ? null : diff(before, open.body);
  const with_ = el(
    'p',
    { class: 'compared' },
    'Compared with ',
    el(
      'a',
      { href: `#${encodeURIComponent(previous)}` },
      summary ? `${title(summary)} of ${clock.format(new Date(summary.time))}` : 'the delivery before',
    ),
    ', the last one of the same record.',
  );
  if (!changes) return place.replaceChildren(with_, el('p', { class: 'quiet' }, 'One of the two bodies is not JSON.'));
  // Intended changes come first, and members that differ in every two deliveries come last.
  const fields = new Set(open.details.updatedFields ?? []);
  const rank = ({ path }) => (!path.startsWith('record.') ? 2 : fields.has(path.split(/[.[]/)[1]) ? 0 : 1);
  changes.sort((a, b) => rank(a) - rank(b));
  let shown = 0;
  const list = el('div');
  const button = el('button', { type: 'button' });
  const more = () => {
    for (const change of changes.slice(shown, shown + STEP)) list.append(changed(change));
    shown += STEP;
    button.hidden = shown >= changes.length;
    button.textContent = `Show more (${changes.length - shown} are left)`;
  };
  button.addEventListener('click', more);
  more();
  place.replaceChildren(with_, changes.length ? list : el('p', { class: 'quiet' }, 'There are no differences.'), button);
}

function changed({ path, before, after }) {
  const [start, end] = before !== null && after !== null ? common(before, after) : [0, 0];
  const side = (name, text) => {
    if (text === null) return null;
    const middle = text.slice(start, text.length - end);
    const parts = [
      visible(text.slice(0, start)),
      middle ? el('mark', null, visible(middle.slice(0, LONG))) : '',
      middle.length > LONG ? '…' : '',
      visible(text.slice(text.length - end)),
    ];
    return el(
      'div',
      { class: name },
      el('span', { class: 'sr' }, name === 'before' ? 'before: ' : 'after: '),
      parts.map((part) => (typeof part === 'string' && part.length > LONG ? `${part.slice(0, LONG)}…` : part)),
    );
  };
  return el(
    'section',
    { class: 'change' },
    el('h3', null, path ? visible(path) : 'the whole body'),
    side('before', before),
    side('after', after),
  );
}

/** Returns the lengths of the common beginning and of the common end. */
function common(a, b) {
  const most = Math.min(a.length, b.length);
  let start = 0;
  while (start < most && a[start] === b[start]) start += 1;
  let end = 0;
  while (end < most - start && a[a.length - 1 - end] === b[b.length - 1 - end]) end += 1;
  // A short common part is a coincidence.
  return (start + end) * 2 > most ? [start, end] : [0, 0];
}

// ---- copy and send

async function copy(what) {
  try {
    if (what === 'capture' && !open.details.isText) throw new Error('the body is not text: download the capture');
    const text = await get(`${one(open.id)}/${what}`, 'text');
    await write(text);
  } catch (error) {
    toast(error.message);
  }
}

async function write(text) {
  try {
    await navigator.clipboard.writeText(text);
    toast('Copied');
  } catch {
    // Not every browser lets this page write to the clipboard.
    $('text-body').value = text;
    $('text').showModal();
    $('text-body').select();
  }
}

$('empty-copy').addEventListener('click', () => write(about.send));

async function send(request) {
  const { id } = open;
  const response = await fetch(`api/${one(id)}/send`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(request),
  });
  if (!response.ok) {
    toast((await response.text()).trim() || `status ${response.status}`);
    return false;
  }
  const { id: sent, forwarded } = await response.json();
  location.hash = encodeURIComponent(sent);
  toast(
    forwarded?.status
      ? `Answered ${forwarded.status} in ${forwarded.milliseconds} ms`
      : `No answer: ${visible(forwarded?.error ?? '')}`,
  );
  return true;
}

function edit() {
  if (!open?.details.sendable || !open.details.isText) return;
  // A long body stays as it is, because a text field becomes slow with a hundred thousand lines.
  $('edit-body').value = open.body.length > 300_000 ? open.body : pretty(open.body);
  check();
  $('edit').showModal();
  $('edit-body').focus();
  $('edit-body').setSelectionRange(0, 0);
  $('edit-body').scrollTop = 0;
}

function check() {
  let text = '';
  try {
    JSON.parse($('edit-body').value);
  } catch (error) {
    text = `This is not JSON, but is sent anyway: ${error.message}`;
  }
  $('edit-note').textContent = text;
}

let checking;
$('edit-body').addEventListener('input', () => {
  clearTimeout(checking);
  checking = setTimeout(check, 200);
});
$('edit-cancel').addEventListener('click', () => $('edit').close());
$('edit-send').addEventListener('click', async () => {
  $('edit-send').disabled = true;
  // If only the spaces differ, the original body is sent.
  const text = $('edit-body').value;
  const body = text === pretty(open.body) ? open.body : text;
  const isSent = await send({ signAnew: true, body }).catch((error) => toast(error.message));
  $('edit-send').disabled = false;
  if (isSent) $('edit').close();
});

// ---- dead letters of an inbox

const CHANGES = {
  redrive: [
    'Redrive',
    'Its handler is called again, with new attempts.',
    'Their handlers are called again, with new attempts.',
    'redriven',
  ],
  purge: [
    'Purge',
    'It is deleted together with its body. You cannot undo this.',
    'They are deleted together with their bodies. You cannot undo this.',
    'purged',
  ],
};

function showInbox(status) {
  about.inbox = { ...about.inbox, ...status, problem: status.problem ?? null };
  const { ready, delayed, running, dead, oldestPending, problem } = about.inbox;
  const numbers = { ready, delayed, running, dead, ...(oldestPending ? { 'oldest pending': oldestPending } : {}) };
  $('numbers').replaceChildren(
    ...Object.entries(numbers).map(([name, value]) =>
      el('div', null, el('dt', null, name), el('dd', null, `${value ?? '-'}`)),
    ),
  );
  $('problem').textContent = problem ?? '';
  $('problem').hidden = !problem;
  $('inbox').hidden = false;
  $('filter').parentElement.hidden = true;
  for (const change of Object.keys(CHANGES)) $(`${change}-all`).disabled = !dead;
  document.title = `Inbox (${dead ?? '?'}) · twenty-webhook`;
}

function letterButton(change, id) {
  return el('button', { type: 'button', onclick: () => confirmed(change, id) }, `${CHANGES[change][0]}…`);
}

/** `id` is null for all dead letters. */
function confirmed(change, id) {
  const [name, ofOne, ofAll, done] = CHANGES[change];
  const dialog = $('confirm');
  $('confirm-title').textContent = id ? `${name} this dead letter?` : `${name} all ${about.inbox.dead} dead letters?`;
  $('confirm-text').textContent = id ? ofOne : ofAll;
  $('confirm-yes').textContent = id ? name : `${name} all`;
  dialog.returnValue = '';
  dialog.addEventListener(
    'close',
    async () => {
      if (dialog.returnValue !== 'yes') return;
      const response = await fetch(`api/${id ? `${one(id)}/` : ''}${change}`, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: '{}',
      });
      if (!response.ok) return toast((await response.text()).trim() || `status ${response.status}`);
      const { changed: count } = await response.json();
      toast(`${count} ${done}`);
    },
    { once: true },
  );
  dialog.showModal();
}

for (const change of Object.keys(CHANGES)) $(`${change}-all`).addEventListener('click', () => confirmed(change, null));

// ---- keyboard

function move(by) {
  const shown = [...$('list').querySelectorAll('li:not([hidden]) > .row')];
  if (shown.length === 0) return;
  const current = document.activeElement?.classList.contains('row')
    ? document.activeElement
    : open && rows.get(open.id)?.link;
  const at = shown.indexOf(current);
  const next = shown[at < 0 ? 0 : Math.min(shown.length - 1, Math.max(0, at + by))];
  next.focus();
  // If the list and the details are both visible, the details follow.
  if (open && $('list').offsetParent) {
    history.replaceState(null, '', next.hash);
    clearTimeout(following);
    following = setTimeout(route, 80);
  }
}
let following;

const KEYS = {
  j: () => move(1),
  k: () => move(-1),
  '/': () => $('search').focus(),
  f: () => {
    if (!open) return;
    choose('body');
    document.getElementById('find')?.focus();
  },
  e: edit,
  '?': () => $('help').showModal(),
  1: () => open && choose('body'),
  2: () => open && choose('changes'),
  3: () => open && choose('headers'),
  4: () => open && choose('raw'),
};

document.addEventListener('keydown', (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || document.querySelector('dialog[open]')) return;
  const isTyping = event.target.matches('input, textarea, select');
  if (event.key === 'Escape') {
    if (isTyping) {
      if (event.target.id === 'search') showAll();
      event.target.blur();
    } else if (open || asked()) {
      leave();
    } else {
      showAll();
    }
    return;
  }
  if (isTyping || !KEYS[event.key]) return;
  event.preventDefault();
  KEYS[event.key]();
});

$('help-open').addEventListener('click', () => $('help').showModal());

document.addEventListener('visibilitychange', listenToNews);
listenToNews();
