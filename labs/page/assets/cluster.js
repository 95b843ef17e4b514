import { t, element } from './words.js';

const byId = id => document.getElementById(id);
let sends = true, any = false;

export function begin(hello) {
  sends = hello.sends;
  any = !hello.course; // then the pods may run any app
  byId('h-reach').textContent = t(sends ? 'reach' : 'reachPredicted');
}

const pairs = map => Object.entries(map ?? {}).map(([k, v]) => `${k}=${v}`).join(', ');
const host = address => address.includes(':') ? `[${address}]` : address; // of IPv6, before a port
const badge = (good, text) => element('span', { class: good ? 'badge pass' : 'badge unsure' }, text);

// showWorld draws the nodes with their pods, and the Services with their endpoints.
export function showWorld(world) {
  const several = (world.namespaces?.length ?? 0) > 1;
  const name = o => several ? `${o.namespace}/${o.name}` : o.name;
  const slices = world.slices ?? [], pods = world.pods ?? [];
  byId('services').replaceChildren(...(world.services ?? []).map(s => {
    const own = slices.filter(x => x.namespace === s.namespace && x.service === s.name);
    const addresses = [...(s.addrs ?? []), ...(s.external ?? [])].join(', ');
    const ends = own.flatMap(slice => (slice.endpoints ?? []).map(e => element('li', { class: e.state === 'ready' ? 'ready' : 'unready' },
      `${e.pod ?? ''} ${slice.ports?.length ? e.addrs.map(a => `${host(a)}:${slice.ports.join('/')}`).join(', ') : `${e.addrs.join(', ')}, ${t('noPort')}`} `, badge(e.state === 'ready', t(e.state === 'not ready' ? 'notReady' : e.state)))));
    return element('article', { class: 'card', 'data-at': `${s.namespace}/${s.name}` },
      element('h3', {}, name(s), ' ', element('span', { class: 'badge skipped' }, s.type)),
      element('p', {}, addresses, s.pending ? badge(false, t('pending')) : ''),
      ...(s.ports ?? []).map(p => element('p', {}, p)),
      element('p', { class: 'muted' }, pairs(s.selector) ? `${t('selector')} ${pairs(s.selector)}` : t('noSelector')),
      ...(s.notes ?? []).map(n => element('p', { class: 'muted' }, n)),
      s.type === 'ExternalName' ? '' : ends.length ? element('ul', { class: 'plain' }, ...ends) : element('p', {}, badge(false, t('noEndpoints'))));
  }));
  if (!world.services?.length) byId('services').replaceChildren(element('p', { class: 'muted' }, t('noServices')));
  const column = (title, at, list) => element('article', { class: 'card', 'data-at': at }, title,
    list.length ? element('ul', { class: 'plain' }, ...list.map(p => element('li', { class: 'pod', 'data-at': p.name },
      element('strong', {}, name(p)), ' ', badge(p.ready && !p.ending, t(p.ending ? 'ending' : p.ready ? 'ready' : 'notReady')),
      element('br'), element('span', { class: 'muted' }, [(p.addrs ?? []).join(', '), pairs(p.labels), p.phase === 'Running' ? '' : p.phase].filter(Boolean).join(' · ')))))
      : element('p', { class: 'muted' }, t('noPods')));
  const columns = (world.nodes ?? []).map(n => column(element('h3', {}, n.slot, ' ', n.ready ? '' : badge(false, t('notReady')),
    element('span', { class: 'muted' }, ' ' + (n.addrs ?? []).join(', '))), n.name, pods.filter(p => p.node === n.name)));
  const none = pods.filter(p => !p.node);
  if (none.length) columns.push(column(element('h3', {}, t('unscheduled')), 'none', none));
  byId('nodes').replaceChildren(...columns);
}

// silent: an app that is not the lab's took the connection, and did not know what to answer.
const silent = cell => any && cell.outcome === 'TimedOut' && cell.detail?.startsWith('connected');

// differs: the network did not do what is predicted, as far as the probe can tell of an app that it does not know.
const differs = cell => cell.differs && !(any && (silent(cell) || cell.outcome === 'WrongAnswer') && cell.predicted?.includes('Reached'));

const outcomeClass = cell => {
  const outcome = cell.outcome ?? cell.predicted?.[0];
  if (silent(cell)) return 'denied';
  if (outcome === 'Unprobed' || outcome === 'ProbeFailed') return 'unprobed';
  return outcome === 'Reached' ? 'reached' : outcome === 'TimedOut' ? 'timeout' : outcome ? 'denied' : 'unprobed';
};

// said is a cell in a few words.
export function said(cell) {
  const outcome = cell.outcome ?? (sends ? undefined : cell.predicted?.join(' / '));
  if (!outcome) return t('unknown');
  if (silent(cell)) return t('silent');
  const pods = cell.outcome ? cell.pods ?? [] : cell.backends ?? [];
  const word = outcome.split(' / ').map(o => t('outcomes.' + o)).join(' / ');
  if (outcome !== 'Reached') return word;
  return pods.length > 1 ? `✓ ${pods.length} ${t('pods')}` : `✓ ${word}`;
}

let layout = '', before = new Map(), announced = 0, waiting = new Set();

// showReach fills the table. Its rows are made again only if the targets or vantages are others, so focus and scrolling stay.
export function showReach(reach) {
  const rows = reach.rows ?? [], table = byId('cells');
  byId('reach-note').textContent = !reach.shown ? t('hiddenReach') : !rows.length ? t('emptyReach')
    : [t(!sends ? 'notSending' : any ? 'sendingAny' : 'sending'), sends && rows.some(r => r.cells.some(c => c?.predicted)) ? t('dashed') : ''].join(' ');
  table.hidden = !rows.length;
  const now = JSON.stringify([reach.vantages, rows.map(r => r.name), document.documentElement.lang]);
  if (now !== layout) { layout = now; build(table, reach.vantages ?? [], rows); before = new Map(); }
  const tds = table.querySelectorAll('td[data-to]');
  let i = 0;
  for (const row of rows) {
    row.cells.forEach((cell, v) => {
      const td = tds[i++], text = cell ? said(cell) : '';
      const key = td.dataset.from + ' → ' + td.dataset.to;
      if (td.textContent !== text) td.textContent = text;
      td.className = cell ? outcomeClass(cell) + (differs(cell) ? ' moving' : '') : '';
      if (cell?.at) td.dataset.seen = cell.at;
      if (before.has(key) && before.get(key) !== text) { td.classList.add('fresh'); waiting.add(`${key}: ${text}`); }
      before.set(key, text);
    });
  }
  announce();
}

function build(table, vantages, rows) {
  const heads = [], subs = [];
  for (const v of vantages) {
    const [kind, slot] = v.split('/');
    const same = heads.at(-1);
    if (slot && same?.kind === kind) same.span++;
    else heads.push({ kind, span: 1, whole: !slot });
    if (slot) subs.push(slot);
  }
  const head = element('thead', {},
    element('tr', {}, element('td', { rowspan: 2 }, ''), ...heads.map(h => element('th', h.whole ? { scope: 'col', rowspan: 2 } : { scope: 'colgroup', colspan: h.span }, h.kind))),
    element('tr', {}, ...subs.map(s => element('th', { scope: 'col' }, s))));
  const body = element('tbody');
  let service = '';
  for (const row of rows) {
    if (row.service !== service) {
      service = row.service;
      body.append(element('tr', {}, element('th', { class: 'service', scope: 'rowgroup', colspan: vantages.length + 1 }, service)));
    }
    body.append(element('tr', {}, element('th', { scope: 'row' }, element('span', { class: 'muted' }, row.kind), ' ' + row.place),
      ...vantages.map(v => element('td', { 'data-from': v, 'data-to': row.name }))));
  }
  table.replaceChildren(element('caption', { class: 'for-reader' }, byId('h-reach').textContent), head, body);
}

// announce tells screen readers what changed, at most every two seconds.
function announce() {
  if (!waiting.size || Date.now() - announced < 2000) return;
  announced = Date.now();
  byId('changes').textContent = t('changed') + [...waiting].slice(0, 3).join('; ') + (waiting.size > 3 ? ` (+${waiting.size - 3})` : '');
  waiting = new Set();
}
