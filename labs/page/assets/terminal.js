import { t } from './words.js';

const byId = id => document.getElementById(id);
const dark = matchMedia('(prefers-color-scheme: dark)');

// note says how the terminal is used, or why there is none.
export function note(state) {
  byId('shell-note').textContent = t(state === 'yes' ? 'shellNote' : 'noTerminal.' + state);
}

export async function begin(state) {
  note(state);
  if (state !== 'yes') return;
  const sheet = document.createElement('link');
  sheet.rel = 'stylesheet';
  sheet.href = 'bundle/xterm.css';
  document.head.append(sheet);
  const { Terminal, FitAddon } = await import('./bundle/xterm.js');
  divert();
  const again = byId('shell-again');
  const connect = () => {
    again.hidden = true;
    note(state);
    open(Terminal, FitAddon, why => {
      byId('shell-note').textContent = why === 'exit' ? t('noTerminal.ended') : t('noTerminal.failed') + why;
      again.hidden = false;
    });
  };
  again.addEventListener('click', connect);
  connect();
}

// open connects a new terminal with a new shell. It calls ended when that has ended.
function open(Terminal, FitAddon, ended) {
  const box = byId('terminal');
  box.replaceChildren();
  const terminal = new Terminal({ screenReaderMode: true, fontSize: 13, scrollback: 5000, minimumContrastRatio: 4.5, theme: theme() });
  const fit = new FitAddon();
  terminal.loadAddon(fit);
  terminal.open(box);
  terminal.textarea?.setAttribute('aria-label', t('terminal'));
  terminal.attachCustomKeyEventHandler(event => {
    if (event.key !== 'F6') return true;
    byId('main').focus();
    return false;
  });
  const address = new URL('terminal', location.href);
  address.protocol = 'ws:';
  address.search = '';
  const socket = new WebSocket(address), encoder = new TextEncoder();
  socket.binaryType = 'arraybuffer';
  const size = () => { if (socket.readyState === WebSocket.OPEN) socket.send(JSON.stringify({ Cols: terminal.cols, Rows: terminal.rows })); };
  const refit = new ResizeObserver(() => fit.fit());
  const recolour = () => { terminal.options.theme = theme(); };
  socket.addEventListener('open', () => { fit.fit(); size(); });
  socket.addEventListener('message', event => terminal.write(new Uint8Array(event.data)));
  socket.addEventListener('close', event => {
    refit.disconnect();
    dark.removeEventListener('change', recolour);
    ended(event.reason);
  });
  terminal.onData(text => { if (socket.readyState === WebSocket.OPEN) socket.send(encoder.encode(text)); });
  terminal.onResize(size);
  refit.observe(box);
  dark.addEventListener('change', recolour);
}

function theme() {
  const colour = name => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  return { background: colour('--panel'), foreground: colour('--fg'), cursor: colour('--focus'), selectionBackground: colour('--focus') };
}

// divert lets xterm.js make style elements and style attributes, which the page's Content-Security-Policy forbids: they become style
// sheets of the document, and properties of the elements. xterm.js makes some of them in its documentOverride, and some not.
function divert() {
  const create = Document.prototype.createElement;
  document.createElement = (name, options) => {
    const e = create.call(document, name === 'style' ? 'meta' : name, options);
    if (name === 'style') {
      const sheet = new CSSStyleSheet();
      document.adoptedStyleSheets.push(sheet);
      Object.defineProperty(e, 'textContent', { set: css => sheet.replaceSync(css), get: () => '' });
      const remove = e.remove.bind(e);
      e.remove = () => {
        document.adoptedStyleSheets = document.adoptedStyleSheets.filter(s => s !== sheet);
        remove();
      };
    } else {
      e.setAttribute = (key, value) => { if (key === 'style') e.style.cssText = value; else Element.prototype.setAttribute.call(e, key, value); };
    }
    return e;
  };
}
