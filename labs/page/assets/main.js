import { t, post } from './words.js';
import { live } from './live.js';
import * as task from './task.js';
import * as cluster from './cluster.js';
import * as walk from './walk.js';
import * as terminal from './terminal.js';

const hello = await fetch('hello').then(answer => answer.json());

const show = {
  state: task.show,
  world: cluster.showWorld,
  reach(message) {
    cluster.showReach(message);
    walk.showReach(message);
  },
};

live(hello, show, last => {
  document.title = `${t(hello.course ? 'exercises' : 'cluster')} – svclab`;
  cluster.begin(hello);
  walk.begin(hello);
  terminal.note(hello.terminal);
  for (const topic of ['world', 'reach']) if (last[topic]) show[topic](last[topic]);
}, language => {
  if (hello.course) post('do', { verb: 'language', language });
});
if (hello.course) {
  for (const id of ['exercises', 'shell']) document.getElementById(id).hidden = false;
  terminal.begin(hello.terminal);
}
