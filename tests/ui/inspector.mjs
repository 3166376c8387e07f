// Drives the page of `listen --ui` in a browser. Run by .ci/inspector.

import assert from 'node:assert/strict';
import { createHmac } from 'node:crypto';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test, { after } from 'node:test';

import { SECRET, inbox, listen, open, quit, receiver, target, until } from './support.mjs';

after(quit);

const ADA = ['--set', 'record.name.firstName=Ada', '--set', 'record.name.lastName=Lovelace'];
const RECORD = ['--set', 'record.id=20202020-aaaa-4bbb-8ccc-0123456789ab'];

/** A listener with these options and a tab with its page. */
function driven(name, options, body) {
  test(name, { timeout: 120_000 }, async () => {
    const upstream = options.target ? await target(options.status) : null;
    const listener = await listen(...(options.listen ?? []), ...(upstream ? ['--forward-to', upstream.url] : []));
    const tab = await open(listener.page, options.tab);
    try {
      await body({ listener, upstream, tab, page: tab.page, rows: tab.rows });
      await tab.close();
    } catch (error) {
      console.log(
        await tab.page.evaluate(() => `${location.hash}\n${document.body.innerText.slice(0, 2000)}`).catch(String),
        tab.problems,
      );
      throw error;
    } finally {
      await listener.stop();
      upstream?.stop();
    }
  });
}

driven(
  'a delivery appears without a reload, and the empty page says how to send one',
  {},
  async ({ listener, tab, page, rows }) => {
    await page.getByRole('heading', { name: 'Waiting for the first delivery' }).waitFor();
    assert.ok((await page.locator('#empty-send').textContent()).endsWith(` send person.created --to ${listener.url}`));
    await listener.send('person.updated', ...ADA, '--set', 'updatedFields=["jobTitle","city"]');
    await tab.count(1);
    const text = await rows.first().textContent();
    for (const part of ['person.updated', 'Ada Lovelace', 'verified', 'changed: jobTitle, city', '200'])
      assert.ok(text.includes(part), text);
    assert.ok(await page.locator('#empty').isHidden());
    await until(
      async () => (await page.locator('#announce').textContent()) === 'person.updated Ada Lovelace, verified',
      'it is not announced',
    );
    for (const role of ['banner', 'main', 'search', 'region']) await page.getByRole(role).first().waitFor();
  },
);

driven('a forged delivery explains itself', {}, async ({ listener, tab, page, rows }) => {
  await listener.send('person.created', '--forge', 'stale');
  await tab.count(1);
  assert.match(await rows.first().textContent(), /unverified request.*rejected.*401/s);
  await rows.first().click();
  const why = page.getByRole('region', { name: 'Why it was rejected' });
  await why.waitFor();
  assert.match(await why.textContent(), /Rejected: .*clock/s);
  for (const name of ['As it was', 'Signed anew', 'Edit…'])
    assert.ok(await page.getByRole('button', { name, exact: true }).isDisabled());
  assert.match(await page.locator('.hint').first().textContent(), /Only verified deliveries/);
});

driven('searches in the list, in bodies and in one body', {}, async ({ listener, tab, page, rows }) => {
  await listener.send('person.created', ...ADA);
  await listener.send('company.created', '--set', 'record.tagline=needle in a body');
  await listener.send('note.created', '--forge', 'unsigned');
  await tab.count(3);
  await page.keyboard.press('/');
  await page.keyboard.type('NEEDLE in');
  await tab.count(1);
  assert.match(await rows.first().textContent(), /company.created/);
  // New deliveries are searched, too.
  await listener.send('task.created', '--set', 'record.title=a needle in time');
  await tab.count(2);
  await page.keyboard.press('Escape');
  await tab.count(4);
  await page.getByRole('combobox', { name: 'Show' }).selectOption('rejected');
  await tab.count(1);
  await page.getByRole('combobox', { name: 'Show' }).selectOption('all');
  await page.locator('#search').fill('nothing has this');
  await page.getByRole('button', { name: 'Show all' }).click();
  await tab.count(4);

  await page.locator('.row', { hasText: 'company.created' }).click();
  await page.getByLabel('Search in this body').fill('needle');
  assert.equal(await page.locator('#tree mark').textContent(), 'needle');
  assert.equal(await page.locator('#tree .now').count(), 1);
  assert.match(await page.locator('.bar [role=status]').textContent(), /^1 of 1$/);
  // The search also finds text in folded members.
  await page.getByLabel('Search in this body').fill('');
  assert.equal(await page.locator('#tree .now, #tree mark').count(), 0);
  await page.getByRole('button', { name: 'Fold all', exact: true }).click();
  assert.equal(await page.locator('#tree', { hasText: 'needle' }).count(), 0);
  await page.getByLabel('Search in this body').fill('needle');
  assert.ok(await page.locator('#tree .now mark').isVisible());
});

driven('shows what changed since the last delivery of the record', {}, async ({ listener, tab, page, rows }) => {
  await listener.send('person.created', ...RECORD, '--set', 'record.jobTitle=Engineer', '--set', 'record.position=1');
  await listener.send('company.created');
  await listener.send(
    'person.updated',
    ...RECORD,
    '--set',
    'record.jobTitle=Chief Engineer',
    '--set',
    'record.position=1',
    '--set',
    'record.tier=gold',
  );
  await tab.count(3);
  await rows.first().click();
  await page.getByRole('tab', { name: 'Changes' }).click();
  const change = (path) => page.locator('.change', { has: page.getByRole('heading', { name: path, exact: true }) });
  await change('record.jobTitle').waitFor();
  assert.match(await change('record.jobTitle').textContent(), /before: "Engineer".*after: "Chief Engineer"/);
  assert.equal(await change('record.tier').locator('.before').count(), 0);
  assert.equal(await change('record.position').count(), 0);
  await page.getByRole('link', { name: /^person.created of/ }).click();
  await page.locator('#detail', { hasText: 'This is the first delivery of its record here.' }).waitFor();
});

driven(
  'sends again as it was, and edited and signed anew',
  { target: true },
  async ({ listener, upstream, tab, page, rows }) => {
    await listener.send('person.created', ...ADA);
    await tab.count(1);
    await rows.first().click();
    await page.getByRole('button', { name: 'As it was' }).click();
    await tab.count(2);
    assert.deepEqual(upstream.requests[1].body, upstream.requests[0].body);
    await until(
      async () => /sent again/.test(await page.locator('#detail .title').textContent()),
      'it does not show what was sent',
    );

    await page.keyboard.press('e');
    const body = page.getByRole('textbox', { name: 'Body' });
    const text = await body.inputValue();
    assert.equal(await body.evaluate((field) => field.scrollTop), 0);
    await body.fill('{');
    await page.locator('#edit-note', { hasText: 'This is not JSON' }).waitFor();
    await body.fill(text.replace('"Ada"', '"Augusta"'));
    await page.getByRole('button', { name: 'Sign and send' }).click();
    await tab.count(3);
    const { headers, body: sent } = upstream.requests[2];
    assert.equal(JSON.parse(sent).record.name.firstName, 'Augusta');
    const timestamp = headers['x-twenty-webhook-timestamp'];
    assert.equal(
      headers['x-twenty-webhook-signature'],
      createHmac('sha256', SECRET).update(`${timestamp}:${sent}`).digest('hex'),
    );
    assert.match(await rows.first().textContent(), /Augusta Lovelace.*sent, edited.*204/s);
    await page.locator('.facts', { hasText: 'edited and signed anew; it did not come from Twenty' }).waitFor();
    await page.getByRole('combobox', { name: 'Show' }).selectOption('sent');
    await tab.count(2);
  },
);

test('the link of a delivery survives a reload and, saved, a restart', { timeout: 120_000 }, async () => {
  const directory = await mkdtemp(join(tmpdir(), 'twenty-webhook-ui-'));
  let listener = await listen('--save', directory);
  try {
    let tab = await open(listener.page);
    await listener.send('person.created', ...ADA);
    await listener.send('company.created');
    await tab.count(2);
    await tab.rows.last().click();
    const title = () => tab.page.locator('#detail h2', { hasText: 'person.created' });
    await title().waitFor();
    const { hash } = new URL(tab.page.url());
    await tab.page.reload();
    await title().waitFor();
    assert.equal(await tab.page.locator('.row[aria-current="true"]').count(), 1);
    await tab.close();
    await listener.stop();
    listener = await listen('--save', directory);
    tab = await open(listener.page + hash);
    await title().waitFor();
    await tab.count(2);
    assert.match(await tab.rows.last().textContent(), /saved before/);
    // The id of a missing delivery causes no error.
    await tab.page.evaluate(() => {
      location.hash = '#%00<b>';
    });
    await tab.page.locator('#detail h2', { hasText: 'Not here' }).waitFor();
  } finally {
    await listener.stop();
    await rm(directory, { recursive: true });
  }
});

driven('a hostile name stays text and does nothing', { target: true }, async ({ listener, tab, page, rows }) => {
  const markup =
    '<img src=x onerror="hacked=1"><script>hacked=1</script></title><style>*{display:none}</style>${hacked=1}{{hacked=1}}';
  const turning = 'a\u202etxt.exe\u2066b\u0007\u001b[2J\u009b\nc\u2028d';
  await listener.send(
    'person.updated',
    '--set',
    `record.name.firstName=${markup}`,
    '--set',
    `record.name.lastName=${turning}`,
    '--set',
    `record.jobTitle=${markup}${turning}`,
    '--set',
    `updatedFields=${JSON.stringify([markup, turning, 'jobTitle'])}`,
    '--set',
    `eventName=person.${markup}`,
    ...RECORD,
  );
  await listener.send('person.updated', '--set', `record.jobTitle=${turning}`, ...RECORD);
  // The markup is also in a member's name, which `--set` cannot write, in a header and in a path.
  await fetch(`${listener.url}/%3Cimg%20src=x%20onerror=hacked=1%3E?a=<b>`, {
    method: 'PUT',
    headers: { 'x-odd': markup.replaceAll('"', '') },
    body: '{}',
  });
  await tab.count(3);
  for (const row of [2, 1, 0]) {
    await rows.nth(row).click();
    for (const name of ['Changes', /Headers/, 'Raw text', 'Body']) {
      await page.getByRole('tab', { name }).click();
      await page.locator('#panel > *').first().waitFor();
    }
  }
  await rows.nth(2).click();
  await page.locator('#detail h2', { hasText: markup }).waitFor();
  await page.getByRole('button', { name: 'Edit…' }).click();
  await page.getByRole('button', { name: 'Cancel' }).click();
  await page.locator('#search').fill('<img');
  await tab.count(2);
  assert.equal(await page.evaluate(() => globalThis.hacked), undefined);
  // The markup creates no element, and characters that change the direction or are invisible are
  // escaped.
  const found = await page.evaluate(() => ({
    elements: document.querySelectorAll('main img, main script, main style, main b:not(.why b)').length,
    odd:
      /[\u0000-\u0009\u000b-\u001f\u007f-\u009f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]/.exec(
        document.body.textContent,
      )?.[0] ?? null,
  }));
  assert.deepEqual(found, { elements: 0, odd: null });
  assert.match(await page.locator('#detail').textContent(), /a\\u202etxt\.exe\\u2066b\\u0007\\u001b\[2J\\u009b/);
});

driven('the keyboard reaches everything', {}, async ({ listener, tab, page, rows }) => {
  for (const event of ['person.created', 'company.created', 'note.created']) await listener.send(event);
  await tab.count(3);
  const focused = () => page.evaluate(() => document.activeElement.querySelector('.event')?.textContent);
  for (const [key, event] of [
    ['j', 'note.created'],
    ['j', 'company.created'],
    ['j', 'person.created'],
    ['j', 'person.created'],
    ['k', 'company.created'],
  ]) {
    await page.keyboard.press(key);
    assert.equal(await focused(), event);
  }
  await page.keyboard.press('Enter');
  await page.locator('#detail h2', { hasText: 'company.created' }).waitFor();
  // With both panes on the screen, the details follow the selection.
  await page.keyboard.press('j');
  await page.locator('#detail h2', { hasText: 'person.created' }).waitFor();
  for (const [key, tabName] of [
    ['2', 'Changes'],
    ['4', 'Raw text'],
    ['1', 'Body'],
  ]) {
    await page.keyboard.press(key);
    assert.equal(await page.getByRole('tab', { selected: true }).textContent(), tabName);
  }
  await page.getByRole('tab', { selected: true }).focus();
  await page.keyboard.press('ArrowRight');
  assert.equal(await page.evaluate(() => document.activeElement.textContent), 'Changes');
  await page.keyboard.press('f');
  assert.equal(await page.evaluate(() => document.activeElement.id), 'find');
  await page.keyboard.type('jk/');
  await page.keyboard.press('Escape');
  await page.keyboard.press('?');
  await page.getByRole('dialog', { name: 'Keyboard' }).waitFor();
  await page.keyboard.press('Escape');
  await page.keyboard.press('Escape');
  await page.locator('#detail').waitFor({ state: 'hidden' });
  assert.equal(await focused(), 'person.created');
  assert.equal(new URL(page.url()).hash, '');
  // Every element that can be clicked has a name and can be focused.
  await page.keyboard.press('Enter');
  const nameless = await page.evaluate(
    () =>
      [...document.querySelectorAll('button, a, input, select, textarea')].filter(
        (e) => !(e.textContent.trim() || e.getAttribute('aria-label') || e.labels?.length),
      ).length,
  );
  assert.equal(nameless, 0);
});

driven('fits on a phone', { tab: { viewport: { width: 360, height: 700 } } }, async ({ listener, tab, page, rows }) => {
  const long = 'Wolfeschlegelsteinhausenbergerdorff'.repeat(5);
  await listener.send(
    'person.updated',
    '--set',
    `record.name.firstName=${long}`,
    '--set',
    `record.jobTitle=${long}`,
    '--set',
    `updatedFields=["${long}"]`,
    ...RECORD,
  );
  await listener.send('person.updated', ...RECORD);
  await listener.send('person.created', '--forge', 'wrong-secret');
  await tab.count(3);
  const fits = async (what) => {
    const [width, widest] = await page.evaluate(() => {
      const scrolled = [document.documentElement, ...document.querySelectorAll('#list, #detail')].map(
        (e) => e.scrollWidth - e.clientWidth,
      );
      return [0, Math.max(...scrolled)];
    });
    assert.equal(widest, width, `${what} is too wide`);
  };
  await fits('the list');
  for (const row of [0, 1, 2]) {
    await rows.nth(row).click();
    await page.getByRole('tab').first().waitFor();
    assert.ok(await page.locator('#list').isHidden());
    for (const name of ['Changes', /Headers/, 'Raw text', 'Body']) {
      await page.getByRole('tab', { name }).click();
      await page.locator('#panel > *').first().waitFor();
      await fits(`${name} of ${row}`);
    }
    await page.getByRole('button', { name: '← Deliveries' }).click();
    assert.ok(await page.locator('#list').isVisible());
  }
});

driven('shows a thousand deliveries', {}, async ({ listener, tab, page, rows }) => {
  await listener.send('person.created', '--count', '1000');
  await tab.count(1000);
  await page.locator('#counts', { hasText: '1000 deliveries' }).waitFor();
  await rows.last().scrollIntoViewIfNeeded();
  await rows.last().click();
  await page.locator('#detail h2').waitFor();
  // A new delivery is inserted at the top, and does not move the selected row.
  const top = () => page.evaluate(() => document.querySelector('.row[aria-current]').getBoundingClientRect().top);
  const before = await top();
  await listener.send('company.created');
  await tab.count(1001);
  assert.ok(Math.abs((await top()) - before) < 2);
  const times = await page.locator('.row time').evaluateAll((all) => all.map((time) => Date.parse(time.dateTime)));
  assert.deepEqual(
    times,
    times.toSorted((a, b) => b - a),
  );
  await page.reload();
  await tab.count(1001);
});

driven('a search ends although deliveries arrive all the time', {}, async ({ listener, tab, page, rows }) => {
  await listener.send('person.created', '--set', 'record.city=Needleville');
  await tab.count(1);
  let isOver = false;
  const load = (async () => {
    while (!isOver) await listener.send('company.created', '--count', '5');
  })();
  try {
    await page.locator('#search').fill('needleville');
    await until(async () => (await rows.count()) === 1, 'the search does not end');
    // A delivery that arrives later is found as well.
    await listener.send('person.created', '--set', 'record.city=Needleville');
    await tab.count(2);
  } finally {
    isOver = true;
    await load;
  }
});

driven('tabs in the background do not stop the visible tab', {}, async ({ listener, tab, page, rows }) => {
  // A browser without a window has no tabs in the background.
  const hide = (isHidden) => {
    Object.defineProperty(document, 'hidden', { value: isHidden, configurable: true });
    document.dispatchEvent(new Event('visibilitychange'));
  };
  for (let count = 0; count < 7; count += 1) {
    const other = await page.context().newPage();
    await other.addInitScript(() => Object.defineProperty(document, 'hidden', { value: true }));
    await other.goto(listener.page, { timeout: 10_000 });
  }
  await listener.send('person.created', ...ADA);
  await rows.first().click();
  await page.getByRole('heading', { name: /Ada Lovelace/ }).waitFor({ timeout: 10_000 });
  // When the tab is visible again, it shows what has arrived meanwhile.
  await page.evaluate(hide, true);
  await listener.send('company.created');
  await page.evaluate(hide, false);
  await tab.count(2);
  await listener.send('company.created');
  await tab.count(3);
});

driven('a search in any body that anybody sent ends', {}, async ({ listener, tab, page, rows }) => {
  const headers = { 'x-twenty-webhook-timestamp': `${Date.now()}`, 'x-twenty-webhook-signature': 'a'.repeat(64) };
  const bodies = [
    `${'['.repeat(100_000)}"needle"${']'.repeat(100_000)}`,
    `[${'1,'.repeat(1_000_000)}"needle"]`,
  ];
  for (const body of bodies) assert.equal((await fetch(listener.url, { method: 'POST', body, headers })).status, 401);
  await tab.count(2);
  for (const row of [rows.first(), rows.last()]) {
    await row.click();
    await page.locator('#tree .line').first().waitFor();
    await page.getByLabel('Search in this body').fill('needle', { timeout: 20_000 });
    assert.equal(await page.locator('.bar [role=status]').textContent(), '1 of 1');
    assert.ok(await page.locator('#tree .now').isVisible());
    assert.ok((await page.evaluate(() => document.querySelectorAll('*').length)) < 10_000);
  }
});

driven('a body of 2 MiB stays usable', { target: true }, async ({ listener, upstream, tab, page, rows }) => {
  const directory = await mkdtemp(join(tmpdir(), 'twenty-webhook-ui-'));
  try {
    const items = Array.from({ length: 28_900 }, (_, index) => ({ index, text: `item ${index}`, empty: null }));
    const body = {
      eventName: 'rocket.created',
      record: { id: '20202020-aaaa-4bbb-8ccc-0123456789ab', long: 'x'.repeat(700_000), items },
    };
    const text = JSON.stringify(body);
    assert.ok(text.length > 2_000_000 && text.length < 2 << 20, `${text.length}`);
    await writeFile(join(directory, 'a.json'), text);
    await writeFile(
      join(directory, 'b.json'),
      text.replace('item 28899', 'the last item').replaceAll('"empty":null', '"empty":0'),
    );
    await listener.send(join(directory, 'a.json'));
    await listener.send(join(directory, 'b.json'));
    await tab.count(2);
    await rows.first().click();
    await page.locator('#tree .line').first().waitFor();
    const elements = () => page.evaluate(() => document.querySelectorAll('*').length);
    assert.ok((await elements()) < 5_000, 'only a part is built');
    await page.getByLabel('Search in this body').fill('the last item');
    assert.ok(await page.locator('#tree .now mark').isVisible());
    await page.getByRole('tab', { name: 'Changes' }).click();
    await page.locator('.change').first().waitFor();
    assert.equal(await page.locator('.change').count(), 200);
    await page.getByRole('button', { name: /^Show more/ }).click();
    assert.equal(await page.locator('.change').count(), 400);
    await page.getByRole('tab', { name: 'Raw text' }).click();
    await page.getByRole('button', { name: /^Show more/ }).click();
    assert.equal(await page.locator('#raw').evaluate((raw) => raw.textContent.length), 200_000);
    await page.locator('#search').fill('the last item');
    await tab.count(1);
    await page.getByRole('button', { name: 'Signed anew' }).click();
    await until(() => upstream.requests.length === 3, 'it is not sent');
    assert.equal(upstream.requests[2].body, upstream.requests[1].body);
    await page.locator('#toast.shown', { hasText: 'Answered 204' }).waitFor();
  } finally {
    await rm(directory, { recursive: true });
  }
});

driven(
  'copies a delivery in three forms',
  { tab: { permissions: ['clipboard-read', 'clipboard-write'] } },
  async ({ listener, tab, page, rows }) => {
    await listener.send('person.created', ...ADA);
    await tab.count(1);
    await rows.first().click();
    for (const [name, start] of [
      ['curl', 'curl --globoff'],
      ['Test', 'use twenty_webhook::{testing::Delivery'],
      ['Capture', 'POST /webhooks/twenty HTTP/1.1\r\n'],
    ]) {
      await page.locator('#toast:not(.shown)').waitFor({ state: 'attached' });
      await page.getByRole('group', { name: 'Copy' }).getByRole('button', { name }).click();
      await until(
        async () => (await page.evaluate(() => navigator.clipboard.readText())).startsWith(start),
        `${name} is not copied`,
      );
      assert.match(await page.evaluate(() => navigator.clipboard.readText()), /Lovelace/);
    }
    const [download] = await Promise.all([
      page.waitForEvent('download'),
      page.getByTitle('Download the capture').click(),
    ]);
    assert.match(download.suggestedFilename(), /^\d{13}-[0-9a-f]{12}\.http$/);
  },
);

/** The contrast of every text with what is behind it, as WCAG counts it. */
const contrasts = () => {
  const canvas = document.createElement('canvas').getContext('2d', { willReadFrequently: true });
  const rgba = (color) => {
    canvas.clearRect(0, 0, 1, 1);
    canvas.fillStyle = color;
    canvas.fillRect(0, 0, 1, 1);
    return [...canvas.getImageData(0, 0, 1, 1).data];
  };
  const light = ([r, g, b]) => {
    const [x, y, z] = [r, g, b].map((c) => (c / 255 <= 0.03928 ? c / 255 / 12.92 : ((c / 255 + 0.055) / 1.055) ** 2.4));
    return 0.2126 * x + 0.7152 * y + 0.0722 * z;
  };
  const low = [];
  for (const element of document.querySelectorAll('body *')) {
    const hasText = [...element.childNodes].some((node) => node.nodeType === 3 && node.data.trim());
    if (!hasText || !element.checkVisibility() || element.closest('.sr, #toast, :disabled')) continue;
    let behind = element;
    while (behind.parentElement && rgba(getComputedStyle(behind).backgroundColor)[3] < 255)
      behind = behind.parentElement;
    const [a, b] = [
      light(rgba(getComputedStyle(element).color)),
      light(rgba(getComputedStyle(behind).backgroundColor)),
    ];
    const contrast = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    if (contrast < 4.5)
      low.push(`${element.tagName}.${element.className} ${element.textContent.slice(0, 20)}: ${contrast.toFixed(2)}`);
  }
  return low;
};

for (const colorScheme of ['light', 'dark']) {
  driven(
    `can be read in ${colorScheme} colours`,
    { target: true, status: 500, tab: { colorScheme } },
    async ({ listener, tab, page, rows }) => {
      await listener.send('person.updated', ...RECORD);
      await listener.send('person.updated', ...RECORD, '--set', 'record.jobTitle=CTO');
      await listener.send('person.created', '--forge', 'wrong-secret');
      await tab.count(3);
      await page.mouse.move(0, 0);
      for (const row of [0, 1]) {
        await rows.nth(row).click();
        for (const name of ['Changes', /Headers/, 'Raw text', 'Body']) {
          await page.getByRole('tab', { name }).click();
          await page.locator('#panel > *').first().waitFor();
          assert.deepEqual(await page.evaluate(contrasts), [], `${name} of ${row}`);
        }
      }
    },
  );
}

test('dead letters of an inbox are redriven and purged', { timeout: 120_000 }, async () => {
  const directory = await mkdtemp(join(tmpdir(), 'twenty-webhook-ui-'));
  const file = join(directory, 'inbox.redb');
  const started = [];
  try {
    const running = await receiver(file, 'person.created');
    started.push(running);
    await running.send('person.created', '--count', '4');
    const served = await inbox(file);
    started.push(served);
    const tab = await open(served.page);
    const { page, rows } = tab;
    await tab.count(4);
    assert.match(await rows.first().textContent(), /person.created.*permanent.*1 attempt/s);
    const number = (name) => page.locator('#numbers div', { hasText: name }).locator('dd').textContent();
    assert.equal(await number('dead'), '4');
    await rows.nth(1).click();
    const title = await page.locator('#detail .facts').textContent();
    assert.match(title, /Diedpermanent|Died.*permanent, after 1 attempt/s);
    const group = page.getByRole('group', { name: 'Dead letter' });
    const confirmed = async (button, question, answer) => {
      await button.click();
      const dialog = page.getByRole('dialog', { name: question });
      await dialog.getByRole('button', { name: answer, exact: true }).click();
      await dialog.waitFor({ state: 'hidden' });
    };
    // The receiver has the file open.
    await confirmed(group.getByRole('button', { name: 'Redrive…' }), 'Redrive this dead letter?', 'Redrive');
    await page.locator('#toast.shown', { hasText: 'Stop the receiver first' }).waitFor();
    await tab.count(4);
    // The browser reports every response with such a status as a problem.
    await until(() => tab.problems.length > 0, 'no 409');
    assert.equal(tab.problems.splice(0).filter((problem) => !problem.includes('409')).length, 0);
    await running.stop();

    await confirmed(group.getByRole('button', { name: 'Purge…' }), 'Purge this dead letter?', 'Cancel');
    assert.equal(await rows.count(), 4);
    await confirmed(group.getByRole('button', { name: 'Redrive…' }), 'Redrive this dead letter?', 'Redrive');
    await tab.count(3);
    await page.locator('#detail').waitFor({ state: 'hidden' });
    await until(async () => (await number('ready')) === '1', 'the numbers stay');
    await rows.first().click();
    await confirmed(group.getByRole('button', { name: 'Purge…' }), 'Purge this dead letter?', 'Purge');
    await tab.count(2);
    await confirmed(page.getByRole('button', { name: 'Purge all…' }), 'Purge all 2 dead letters?', 'Purge all');
    await page.getByRole('heading', { name: 'No dead letters' }).waitFor();
    // The handler of the redriven event fails again, and the page shows this without a reload.
    started.push(await receiver(file, 'person.created'));
    await tab.count(1);
    await tab.close();
  } finally {
    for (const program of started) await program.stop();
    await rm(directory, { recursive: true });
  }
});

test('says so when the listener has ended', { timeout: 120_000 }, async () => {
  const listener = await listen();
  const { page } = await open(listener.page);
  await listener.send('person.created');
  await listener.stop();
  await page.locator('#status[data-state="lost"]').waitFor();
});
