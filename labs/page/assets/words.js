// The page's own words, in both languages. What the course says comes from the server.
const words = {
  skip: ['Skip to the exercise', '跳到练习'],
  exercises: ['Exercises', '全部练习'],
  check: ['Check', '检查'],
  hint: ['Hint', '提示'],
  solution: ['Solution', '答案'],
  reset: ['Reset', '重来'],
  words: ['Words', '术语'],
  next: ['Next exercise', '下一题'],
  result: ['Result', '结果'],
  terminal: ['Terminal', '终端'],
  again: ['Open the terminal again', '重新打开终端'],
  cluster: ['Your cluster, as it is now', '你的集群，此刻的样子'],
  reach: ['Who reaches what', '谁能访问什么'],
  reachPredicted: ['Who should reach what', '谁应当能访问什么'],
  walk: ['A request on its way', '一个请求走过的路'],
  from: ['from', '从'],
  to: ['to', '到'],
  send: ['Predict, then send', '先预测，再发送'],
  predict: ['Predict', '预测'],
  passed: ['passed', '已通过'],
  current: ['current', '当前'],
  checking: ['Sending requests from pods, nodes and outside the cluster …', '正在从 Pod、节点和集群外发送请求……'],
  setting: ['Setting the exercise up …', '正在布置练习……'],
  working: ['Working …', '处理中……'],
  sureSolution: ['You have not passed the exercise yet. Show the solution?', '你还没有通过本题。确定要看答案吗？'],
  sureReset: ['Set the exercise up again? What you did in it is lost.', '重新布置本题？你在其中做的改动会丢失。'],
  answerFirst: ['Answer the questions first. Your first answers are kept.', '请先回答问题。最初的回答会保留下来。'],
  answer: ['Submit these answers', '提交回答'],
  answered: ['Your answers are kept. Check shows whether the cluster behaves so.', '回答已保存。点“检查”，看集群的实际表现是否如此。'],
  hiddenReach: ['Shown when you have answered the questions: it would show the answer.', '回答问题之后才显示，否则就看到答案了。'],
  emptyReach: ['There is no Service here yet.', '这里还没有 Service。'],
  sending: ['Each cell is probed when something changes, and every few seconds. One connection each time.', '每当有变化、以及每隔几秒，都会对每一格探测一次，每次一个新连接。'],
  sendingAny: ["Each cell is probed when something changes, and every few seconds, with one new connection. The probe expects the answer of the lab's sample app. Of another app, only “connected” and “wrong answer” show that it was reached.",
    '每当有变化、以及每隔几秒，都会对每一格探测一次，每次一个新连接。探测期待的是实验自带应用的应答；如果是别的应用，“已连接”和“应答不对”就表示访问到了。'],
  dashed: ['A dashed frame: not as predicted, so far.', '虚线框：目前与预测不符。'],
  silent: ['connected', '已连接'],
  notSending: ['Predicted from the objects. Nothing is sent in this cluster.', '根据对象预测得出。不会在这个集群里发送请求。'],
  noTerminal: {
    windows: ['There is no terminal in the page on Windows. Use svclab learn shell in a terminal.', '在 Windows 上，页面里没有终端。请在终端里使用 svclab learn shell。'],
    unbuilt: ['This svclab was built without the terminal. `make build` adds it where npm is installed. Until then: svclab learn shell, in a terminal.',
      '这个 svclab 在编译时没有带上终端。装好 npm 后执行 make build 即可；在此之前，请在终端里使用 svclab learn shell。'],
    ended: ['The shell has ended.', 'shell 已结束。'],
    failed: ['The terminal cannot be opened: ', '无法打开终端：'],
  },
  shellNote: ['kubectl goes to this exercise. svclab learn is here too. The key F6 leaves the terminal.',
    'kubectl 直接作用于本题，也可以使用 svclab learn。按 F6 离开终端。'],
  outcomes: {
    Reached: ['reached', '有应答'], Refused: ['refused', '被拒绝'], TimedOut: ['timed out', '超时'], Unreachable: ['no route', '不可达'],
    NoSuchHost: ['no such name', '无此名称'], WrongAnswer: ['wrong answer', '应答不对'], ProbeFailed: ['not probed', '探测失败'], Unprobed: ['not probed', '不探测'],
  },
  pods: ['pods', '个 Pod'],
  unknown: ['…', '……'],
  target: ['target', '目标'],
  node: ['Node', '节点'],
  unscheduled: ['On no node', '尚未调度'],
  ready: ['ready', '就绪'],
  notReady: ['not ready', '未就绪'],
  ending: ['ending', '正在结束'],
  selector: ['selector', '选择算符'],
  noSelector: ['no selector', '没有选择算符'],
  endpoints: ['endpoints', '端点'],
  noPort: ['no port', '没有端口'],
  noEndpoints: ['no endpoints', '没有端点'],
  pending: ['address pending', '地址待分配'],
  serving: ['serving, ending', '仍在服务，正在结束'],
  terminating: ['ending', '正在结束'],
  noServices: ['No Service', '没有 Service'],
  noPods: ['no pod', '没有 Pod'],
  observed: ['observed', '观察到'],
  predicted: ['predicted', '预测'],
  source: ['source address seen', '对方看到的源地址'],
  repeat: ['to repeat', '重复此探测'],
  why: ['why', '原因'],
  took: ['took', '用时'],
  predicting: ['As predicted from the objects:', '根据对象预测：'],
  sent: ['As it went:', '实际走的路：'],
  onTheWay: ['The request is on its way …', '请求正在路上……'],
  marks: { same: ['as predicted', '与预测一致'], differs: ['differs', '与预测不同'], unseen: ['not seen', '没有看到'], unwatched: ['predicted', '预测'] },
  seen: ['seen: ', '看到：'],
  answerBack: ['answer', '应答'],
  gone: ['The page has lost svclab. Is it still running?', '与 svclab 的连接断开了。它还在运行吗？'],
  changed: ['Changed: ', '有变化：'],

  // the page of a class's teacher
  class: ['Class', '班级'],
  skipToLearners: ['Skip to the learners', '跳到学员'],
  toJoin: ['To join:', '加入班级：'],
  stuck: ['Stuck at', '卡在哪里'],
  noneStuck: ['No learner\'s last check showed a misconception.', '目前没有学员的检查结果对应某个误解。'],
  learners: ['Learners', '学员'],
  nobody: ['No learner has joined yet.', '还没有学员加入。'],
  noName: ['(no name)', '（没有名字）'],
  learner: ['learner', '学员'],
  code: ['code', '代号'],
  exercise: ['exercise', '练习'],
  state: ['state', '状态'],
  misconception: ['misconception', '误解'],
  started: ['for', '已用时'],
  hints: ['hints', '提示'],
  passedCount: ['passed', '已通过'],
  heard: ['last heard', '最近一次收到'],
  minutes: ['N min', 'N 分钟'],
  ago: ['N min ago', 'N 分钟前'],
  states: { none: ['no exercise', '还没开始'], unchecked: ['not checked yet', '还没检查过'], open: ['not yet', '还没通过'], passed: ['passed', '已通过'],
    solution: ['solution seen', '看过答案'] },
};

export let language = 'en';

// setLanguage changes the language of t, and of all elements that name their words.
export function setLanguage(to) {
  language = to;
  document.documentElement.lang = to;
  for (const e of document.querySelectorAll('[data-t]')) e.textContent = t(e.dataset.t);
  for (const e of document.querySelectorAll('[data-label]')) e.setAttribute('aria-label', t(e.dataset.label));
  for (const b of document.querySelectorAll('[data-language]')) b.setAttribute('aria-pressed', String(b.dataset.language === to));
}

// t returns words in the chosen language, by a path such as 'outcomes.Reached'.
export function t(path) {
  let at = words;
  for (const part of path.split('.')) at = at?.[part];
  return Array.isArray(at) ? at[language === 'zh' ? 1 : 0] : path;
}

// element makes an element with attributes and children; a child that is a string is text.
export function element(name, attributes = {}, ...children) {
  const e = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (value === true) e.setAttribute(key, '');
    else if (value !== false && value !== undefined && value !== null) e.setAttribute(key, value);
  }
  e.append(...children.filter(c => c !== null && c !== undefined && c !== ''));
  return e;
}

// post sends JSON and returns the answer, or an error in it.
export async function post(path, body) {
  try {
    const response = await fetch(path, { method: 'POST', headers: { 'Content-Type': 'application/json' }, body: JSON.stringify(body) });
    if (!response.ok) return { error: await response.text() };
    return await response.json();
  } catch (e) {
    return { error: String(e) };
  }
}
