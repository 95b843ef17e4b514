import { t, element, post } from './words.js';
import { said } from './cluster.js';

const byId = id => document.getElementById(id);
const from = byId('from'), to = byId('to');
const still = matchMedia('(prefers-reduced-motion: reduce)');
let traces = false, reach = {}, run = 0;

export function begin(hello) {
  traces = hello.traces;
  byId('send').textContent = t(traces ? 'send' : 'predict');
}

export function showReach(message) {
  reach = message;
  byId('walk').hidden = !reach.shown || !reach.rows?.length;
  options(from, (reach.vantages ?? []).map(v => [v, v]));
  options(to, (reach.rows ?? []).map(r => [r.name, `${r.service.split('/').pop()} ${r.kind} ${r.place}`]));
  detail();
}

function options(select, list) {
  if ([...select.options].map(o => o.value + o.textContent).join('|') === list.map(([v, text]) => v + text).join('|')) return;
  const chosen = select.value;
  select.replaceChildren(...list.map(([value, text]) => element('option', { value }, text)));
  if (list.some(([value]) => value === chosen)) select.value = chosen;
}

// detail shows all that is known of the chosen cell.
function detail() {
  const row = reach.rows?.find(r => r.name === to.value), cell = row?.cells[reach.vantages.indexOf(from.value)];
  const terms = [];
  const add = (label, text, name = 'span') => { if (text) terms.push(element('dt', {}, t(label)), element('dd', {}, element(name, {}, text))); };
  if (cell) {
    if (cell.outcome === 'Reached') add('observed', `${said(cell)} (${(cell.pods ?? []).join(', ')}), ${cell.took} ms`);
    else if (cell.outcome) add('observed', t('outcomes.' + cell.outcome) + (cell.detail ? `: ${cell.detail}` : ''));
    add('source', cell.source);
    if (cell.predicted) add('predicted', cell.predicted.map(o => t('outcomes.' + o)).join(' / ') + (cell.backends ? ` (${cell.backends.join(', ')})` : ''));
    add('why', cell.why);
    add('repeat', cell.repeat, 'code');
  }
  const now = terms.map(e => e.textContent).join('\n');
  if (byId('cell').textContent !== now.replaceAll('\n', '')) byId('cell').replaceChildren(...terms);
}

from.addEventListener('change', detail);
to.addEventListener('change', detail);
byId('cells').addEventListener('click', event => {
  const td = event.target.closest('td[data-to]');
  if (!td?.className) return;
  from.value = td.dataset.from;
  to.value = td.dataset.to;
  detail();
});

const pause = ms => new Promise(done => setTimeout(done, still.matches ? 0 : ms));
const symbol = { same: '✓', differs: '✗', unseen: '·', unwatched: '?' };

byId('way').addEventListener('submit', async event => {
  event.preventDefault();
  const mine = ++run, what = { from: from.value, to: to.value };
  byId('hops').replaceChildren();
  const predicted = await post('walk', what);
  if (mine !== run) return;
  if (predicted.error) { byId('walked').textContent = predicted.error; return; }
  byId('walked').textContent = t('predicting');
  const seen = traces ? post('walk', { ...what, send: true }) : null;
  await steps(mine, predicted.trace, false);
  if (!seen || mine !== run) return;
  byId('walked').textContent = t('onTheWay');
  const observed = await seen;
  if (mine !== run) return;
  if (observed.error) { byId('walked').textContent = observed.error; return; }
  await steps(mine, observed.trace, true);
  if (mine === run) byId('walked').replaceChildren(t('sent') + ' ', element('span', { lang: 'en' }, observed.summary));
});

// steps shows the hops one after the other, and marks where in the cluster each is.
async function steps(mine, trace, sent) {
  const list = byId('hops');
  list.replaceChildren();
  for (const hop of trace.steps ?? []) {
    if (mine !== run) return;
    const word = t('marks.' + hop.mark);
    list.append(element('li', { class: sent ? hop.mark : 'unwatched' },
      element('span', { class: 'mark', 'aria-hidden': 'true' }, sent ? symbol[hop.mark] : '?'), element('span', { class: 'for-reader' }, word + ': '),
      element('strong', {}, hop.at), hop.reply ? ` (${t('answerBack')})` : '', ' ', element('span', { lang: 'en' }, hop.says),
      sent && hop.seen ? element('span', { class: 'muted' }, element('br'), t('seen'), element('span', { lang: 'en' }, hop.seen)) : ''));
    for (const e of document.querySelectorAll('.here')) e.classList.remove('here');
    for (const e of document.querySelectorAll(`[data-at="${CSS.escape(hop.at)}"]`)) e.classList.add('here');
    await pause(sent ? 150 : 350);
  }
  for (const e of document.querySelectorAll('.here')) e.classList.remove('here');
}
