// Opens every page of a folder in a headless Chromium and checks what a person would notice.
//
//   node check.mjs FOLDER [PICTURES]
//
// Chromium is the one on the path, or CHROMIUM. Pictures of every page, 1280 and 400 pixels wide,
// light and dark, are written to PICTURES if it is given. Exit status 1 with a list of what is
// wrong, 2 if nothing could be checked.

import { mkdir, readdir, stat } from 'node:fs/promises';
import path from 'node:path';
import process from 'node:process';
import { pathToFileURL } from 'node:url';
import puppeteer from 'puppeteer-core';

const [folder, pictures] = process.argv.slice(2);
if (!folder) {
  console.error('usage: node check.mjs FOLDER [PICTURES]');
  process.exit(2);
}

const LARGEST_BYTES = 2_000_000;
const FIRST_PAINT_MS = 1_000;
const WIDTHS = [1280, 400];

// Wrongs of one page, in the order in which they are found.
class Findings {
  constructor(name) {
    this.name = name;
    this.wrong = [];
  }
  expect(holds, what) {
    if (!holds) this.wrong.push(what);
  }
}

// A tab that lets nothing out and hears every complaint.
async function open(browser, file, findings, { width, scheme, javascript }) {
  const page = await browser.newPage();
  await page.setJavaScriptEnabled(javascript);
  await page.setViewport({ width, height: 800 });
  await page.emulateMediaFeatures([{ name: 'prefers-color-scheme', value: scheme }]);
  const own = pathToFileURL(file).href;
  page.on('console', (message) => {
    if (['error', 'warning', 'warn'].includes(message.type())) findings.wrong.push(`console: ${message.text()}`);
  });
  page.on('pageerror', (error) => findings.wrong.push(`script: ${error.message}`));
  page.on('dialog', async (dialog) => {
    findings.wrong.push(`a dialog opened: ${dialog.message()}`);
    await dialog.dismiss();
  });
  await page.setRequestInterception(true);
  page.on('request', (request) => {
    const url = request.url();
    if (url.split('#')[0] === own || url.startsWith('data:')) return request.continue();
    findings.wrong.push(`a request leaves the file: ${url.slice(0, 120)}`);
    return request.abort();
  });
  await page.goto(own, { waitUntil: 'load' });
  return page;
}

// What a reader gets: headings in order, figures, tables, text.
const contents = () => ({
  title: document.title,
  language: document.documentElement.lang,
  headings: [...document.querySelectorAll('h1,h2,h3')].map((heading) => `${heading.tagName} ${heading.textContent}`),
  figures: [...document.querySelectorAll('figure')].map((figure) => figure.id),
  rows: document.querySelectorAll('tr').length,
  state: document.getElementById('now')?.innerText,
});

const faults = () => {
  const wrong = [];
  const shown = (element) => element.getClientRects().length > 0;
  for (const figure of document.querySelectorAll('figure')) {
    const drawings = [...figure.querySelectorAll('svg')].filter(shown);
    if (drawings.length !== 1) wrong.push(`figure ${figure.id}: ${drawings.length} drawings are shown`);
    for (const drawing of drawings) {
      const { width, height } = drawing.getBoundingClientRect();
      if (!(width > 50 && height > 5)) wrong.push(`figure ${figure.id} is ${width} x ${height} pixels`);
      if (!drawing.getAttribute('aria-label')) wrong.push(`figure ${figure.id} has no text alternative`);
      const frame = drawing.getBoundingClientRect();
      for (const text of drawing.querySelectorAll('text')) {
        const box = text.getBoundingClientRect();
        if (box.left < frame.left - 3 || box.right > frame.right + 3) {
          wrong.push(`figure ${figure.id}: "${text.textContent}" is cut off`);
        }
        if (box.height > 0 && box.height < 9) wrong.push(`figure ${figure.id}: "${text.textContent}" is too small to read`);
      }
    }
    if (!figure.querySelector('figcaption')) wrong.push(`figure ${figure.id} has no caption`);
  }
  if (document.documentElement.scrollWidth > window.innerWidth) {
    const wide = [...document.body.querySelectorAll('*')].filter((element) => {
      const box = element.getBoundingClientRect();
      return box.right > window.innerWidth + 1 && !element.closest('.scroll, .command, .skip');
    });
    const names = wide.slice(0, 3).map((element) => `${element.tagName} ${element.className?.baseVal ?? element.className}`);
    wrong.push(`the page is ${document.documentElement.scrollWidth} pixels wide on ${window.innerWidth}: ${names.join(', ')}`);
  }
  const ids = [...document.querySelectorAll('[id]')].map((element) => element.id);
  const twice = ids.filter((id, index) => ids.indexOf(id) !== index);
  if (twice.length > 0) wrong.push(`ids occur twice: ${[...new Set(twice)].join(', ')}`);
  let level = 0;
  for (const heading of document.querySelectorAll('h1,h2,h3,h4')) {
    const own = Number(heading.tagName[1]);
    if (own > level + 1) wrong.push(`"${heading.textContent}" skips a level of headings`);
    level = own;
  }
  for (const link of document.querySelectorAll('a[href^="#"]')) {
    if (!document.getElementById(link.getAttribute('href').slice(1))) wrong.push(`a link leads nowhere: ${link.hash}`);
  }
  for (const table of document.querySelectorAll('table')) {
    if (!table.caption && !table.closest('[aria-label]')) wrong.push('a table has no caption');
  }
  return wrong;
};

// When the first content was painted; a page that was just loaded may still be about to.
const firstPaint = () => new Promise((resolve) => {
  new PerformanceObserver((list) => {
    const [paint] = list.getEntriesByName('first-contentful-paint');
    if (paint) resolve(paint.startTime);
  }).observe({ type: 'paint', buffered: true });
  setTimeout(() => resolve(Infinity), 5000);
});

const picture = () => ({
  instant: document.getElementById('instant').textContent,
  state: document.getElementById('now').innerText,
  rules: [...document.querySelectorAll('.now')].map((rule) => rule.getBoundingClientRect().left).join(' '),
  value: Number(document.getElementById('slider').value),
});

// The slider is reached by keyboard, moves, and moves the picture with it.
async function checkSlider(page, findings) {
  const reached = async () => page.evaluate(() => document.activeElement?.id === 'slider');
  for (let presses = 0; presses < 60 && !(await reached()); presses += 1) await page.keyboard.press('Tab');
  if (!(await reached())) {
    findings.wrong.push('Tab does not reach the slider');
    return;
  }
  const end = await page.evaluate(picture);
  await page.keyboard.press('ArrowLeft');
  const before = await page.evaluate(picture);
  findings.expect(before.value < end.value, 'the left arrow does not move the slider');
  findings.expect(before.instant !== end.instant, 'the slider does not move the instant');
  findings.expect(before.rules !== end.rules, 'the slider does not move the rules of the panels');
  await page.keyboard.press('Home');
  const start = await page.evaluate(picture);
  findings.expect(start.value === 0, 'Home does not move the slider to the start');
  findings.expect(start.state !== end.state, 'the slider does not move the state of the cluster');
  await page.keyboard.press('End');
  const again = await page.evaluate(picture);
  findings.expect(again.state === end.state && again.rules === end.rules, 'the way back is not the way there');
}

async function checkPage(browser, file) {
  const findings = new Findings(path.basename(file));
  const { size } = await stat(file);
  findings.expect(size <= LARGEST_BYTES, `it has ${size} bytes, more than ${LARGEST_BYTES}`);
  const said = {};
  for (const width of WIDTHS) {
    for (const scheme of ['light', 'dark']) {
      const page = await open(browser, file, findings, { width, scheme, javascript: true });
      for (const wrong of await page.evaluate(faults)) findings.wrong.push(`at ${width} pixels: ${wrong}`);
      if (scheme === 'light') said[width] = await page.evaluate(contents);
      if (scheme === 'light' && width === WIDTHS[0]) {
        const paint = await page.evaluate(firstPaint);
        findings.expect(paint <= FIRST_PAINT_MS, `the first paint takes ${paint} ms`);
      }
      if (pictures) {
        const name = `${path.basename(file, '.html')}-${width}-${scheme}.png`;
        await page.screenshot({ path: path.join(pictures, name), fullPage: true });
      }
      const hasSlider = await page.evaluate(() => document.getElementById('slider') !== null);
      if (hasSlider && scheme === 'light') await checkSlider(page, findings);
      await page.close();
    }
  }
  const mute = await open(browser, file, findings, { width: 1280, scheme: 'light', javascript: false });
  const [loud, quiet] = [said[WIDTHS[0]], await mute.evaluate(contents)];
  findings.expect(loud.language === 'en' && loud.title !== '', 'it has no language or no title');
  findings.expect(loud.headings[0]?.startsWith('H1 '), 'it does not begin with a heading of the first level');
  findings.expect(JSON.stringify(loud) === JSON.stringify(quiet), 'without JavaScript something is missing');
  await mute.close();
  if (findings.name.includes('_script_')) {
    findings.expect(loud.title.includes('<script>alert(1)'), 'the hostile name does not show as text');
  }
  return findings;
}

async function launch() {
  const executablePath = process.env.CHROMIUM ?? '/usr/bin/chromium';
  try {
    return await puppeteer.launch({ executablePath, args: ['--no-sandbox', '--disable-dev-shm-usage'] });
  } catch (error) {
    console.error(`error: Chromium does not start: ${error.message}`);
    console.error('  help: apt-get install chromium, or name another one by CHROMIUM=/path');
    process.exit(2);
  }
}

const files = (await readdir(folder)).filter((name) => name.endsWith('.html')).sort();
if (files.length === 0) {
  console.error(`error: there is no page in ${folder}`);
  process.exit(2);
}
if (pictures) await mkdir(pictures, { recursive: true });
const browser = await launch();
let wrong = 0;
for (const name of files) {
  const findings = await checkPage(browser, path.resolve(folder, name));
  const unique = [...new Set(findings.wrong)];
  console.log(`${unique.length === 0 ? 'ok   ' : 'WRONG'} ${name}`);
  for (const line of unique) console.log(`        ${line}`);
  wrong += unique.length;
}
await browser.close();
console.log(`${files.length} pages, ${wrong} findings`);
process.exit(wrong === 0 ? 0 : 1);
