// Starts and stops `twenty-webhook listen --ui`, a target and a browser, each by its own process
// id. `.ci/inspector` sets the paths.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import http from 'node:http';
import { createRequire } from 'node:module';
import { setTimeout as sleep } from 'node:timers/promises';

const { TOOL, RECEIVER, CHROMIUM, PLAYWRIGHT } = process.env;
const { chromium } = createRequire(`${PLAYWRIGHT}/`)('playwright-core');

export const SECRET = 'dev-secret';
const PATIENCE = 60_000;

let browser;
export async function launch() {
  // The browser has no sandbox as root in a container. It opens only pages of this test.
  browser ??= await chromium.launch({ executablePath: CHROMIUM, args: ['--no-sandbox'], timeout: PATIENCE });
  return browser;
}

export async function quit() {
  await browser?.close();
}

/** A target that remembers what it is sent. */
export async function target(first = 204) {
  const requests = [];
  const server = http.createServer(async (request, response) => {
    const chunks = [];
    for await (const chunk of request) chunks.push(chunk);
    requests.push({ headers: request.headers, body: Buffer.concat(chunks).toString() });
    response.writeHead(found.status).end();
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const found = {
    requests,
    status: first,
    url: `http://127.0.0.1:${server.address().port}/webhooks/twenty`,
    stop() {
      server.close();
      server.closeAllConnections();
    },
  };
  return found;
}

/** A listener on ports of the system's choice. */
export async function listen(...options) {
  const addr = options.includes('--addr') ? [] : ['--addr', '127.0.0.1:0'];
  return start(TOOL, ['listen', ...addr, '--ui', ...options], {}, /inspector: \S+\n/);
}

/** The page over an inbox. */
export async function inbox(file) {
  return start(TOOL, ['inbox', 'ui', file], {}, /inspector: \S+\n/);
}

/** The example with an inbox, where events of this name fail for good. */
export async function receiver(file, failing) {
  const variables = { INBOX: file, FAIL_ALWAYS: failing, LISTEN_ADDR: '127.0.0.1:0' };
  return start(RECEIVER, [], variables, /listening on \S+\n/);
}

async function start(program, args, variables, isReady) {
  const child = spawn(program, args, {
    env: { ...process.env, TWENTY_WEBHOOK_SECRET: SECRET, ...variables },
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  const ended = once(child, 'exit');
  let log = '';
  child.stderr.on('data', (data) => {
    log += data;
  });
  await until(
    () => isReady.test(log),
    () => `it does not listen: ${log}`,
  );
  const url = /listening on (\S+)/.exec(log)?.[1];
  return {
    url,
    page: /inspector: (\S+)/.exec(log)?.[1],
    send: (...what) => run('send', ...what, '--to', url),
    async stop() {
      child.kill('SIGTERM');
      await ended;
    },
  };
}

export async function run(...args) {
  const child = spawn(TOOL, args, {
    env: { ...process.env, TWENTY_WEBHOOK_SECRET: SECRET },
    stdio: ['ignore', 'ignore', 'inherit'],
    timeout: PATIENCE,
  });
  const [code] = await once(child, 'exit');
  return code;
}

export async function until(done, what) {
  const end = Date.now() + PATIENCE;
  while (!(await done())) {
    assert.ok(Date.now() < end, typeof what === 'function' ? what() : what);
    await sleep(20);
  }
}

/** A tab at an address, with everything that goes wrong in it. */
export async function open(address, options = {}) {
  const context = await (await launch()).newContext({ viewport: { width: 1280, height: 800 }, ...options });
  const page = await context.newPage();
  page.setDefaultTimeout(PATIENCE);
  const problems = [];
  page.on('pageerror', (error) => problems.push(`error: ${error}`));
  page.on('console', (message) => {
    if (message.type() === 'error' || /content security policy/i.test(message.text())) problems.push(message.text());
  });
  page.on('dialog', (dialog) => {
    problems.push(`dialog: ${dialog.message()}`);
    dialog.dismiss();
  });
  const host = new URL(address).host;
  page.on('request', (request) => {
    if (!request.url().startsWith('blob:') && new URL(request.url()).host !== host)
      problems.push(`asked ${request.url()}`);
  });
  await page.addInitScript(() => {
    globalThis.violations = [];
    document.addEventListener('securitypolicyviolation', (event) =>
      globalThis.violations.push(`${event.violatedDirective} ${event.blockedURI}`),
    );
  });
  await page.goto(address);
  await page.locator('#status[data-state="live"]').waitFor();
  return {
    page,
    problems,
    rows: page.locator('.row:visible'),
    async count(count) {
      await until(async () => (await page.locator('.row:visible').count()) === count, `${count} rows are not there`);
    },
    /** Nothing went wrong, and the policy had nothing to stop. */
    async close() {
      const violations = await page.evaluate(() => globalThis.violations);
      await context.close();
      assert.deepEqual([...problems, ...violations], []);
    },
  };
}
