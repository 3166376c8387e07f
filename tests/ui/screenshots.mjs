// Takes the pictures of the inspector that the README shows. Run by docs/screenshots.

import { writeFile } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';

import { withPalette } from './palette.mjs';
import { listen, open, quit, target } from './support.mjs';

const set = (values) =>
  Object.entries(values).flatMap(([path, value]) => ['--set', `${path}=${JSON.stringify(value)}`]);
const person = (id, first, last, more = {}) =>
  set({
    'record.id': `20202020-0000-4000-8000-00000000000${id}`,
    'record.name': { firstName: first, lastName: last },
    ...more,
  });

const upstream = await target();
const listener = await listen('--addr', '127.0.0.1:3000', '--forward-to', upstream.url);
try {
  const samples = [
    ['company.created', ...set({ 'record.name': 'Analytical Engines' })],
    ['person.created', ...person(1, 'Ada', 'Lovelace', { 'record.jobTitle': 'Analyst', 'record.city': 'London' })],
    ['person.created', ...person(2, 'Grace', 'Hopper', { 'record.jobTitle': 'Rear Admiral' })],
    ['opportunity.updated', ...set({ 'record.name': 'Difference engine, 12 units', updatedFields: ['stage'] })],
    ['person.created', '--forge', 'stale'],
    ['task.created', ...set({ 'record.title': 'Call Mr Babbage back' })],
    ['note.created', ...set({ 'record.title': 'Notes on the engine' })],
    [
      'person.updated',
      ...person(2, 'Grace', 'Hopper', { 'record.jobTitle': 'Commodore', updatedFields: ['jobTitle'] }),
    ],
    [
      'person.updated',
      ...person(1, 'Ada', 'Lovelace', {
        'record.jobTitle': 'Chief Analyst',
        'record.city': 'Marylebone',
        updatedFields: ['jobTitle', 'city'],
      }),
    ],
    ['company.updated', ...set({ 'record.name': 'Analytical Engines', updatedFields: ['employees'] })],
  ];
  for (const [index, sample] of samples.entries()) {
    upstream.status = index === 3 ? 500 : 204;
    await listener.send(...sample);
    await sleep(700);
  }
  for (const colorScheme of ['light', 'dark']) {
    const tab = await open(listener.page, {
      colorScheme,
      viewport: { width: 1280, height: 720 },
      deviceScaleFactor: 1.4,
    });
    await tab.count(samples.length);
    await tab.rows.nth(1).click();
    await tab.page.getByRole('tab', { name: 'Changes' }).click();
    await tab.page.locator('.change').first().waitFor();
    await tab.page.mouse.move(0, 0);
    await tab.page.evaluate(() => document.activeElement.blur());
    const screenshot = await tab.page.screenshot();
    await tab.close();
    const { page } = await open(listener.page);
    const picture = await withPalette(page, screenshot);
    await page.context().close();
    await writeFile(`docs/inspector-${colorScheme}.png`, picture);
    console.log(`docs/inspector-${colorScheme}.png: ${picture.length} bytes`);
  }
} finally {
  await listener.stop();
  upstream.stop();
  await quit();
}
