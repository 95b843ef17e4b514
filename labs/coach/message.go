package coach

import (
	"fmt"

	"github.com/svclab/svclab/labs/course"
)

// ID names a message of the verbs.
type ID string

// said is a message in both languages, with the same values in the same order; %[n]s where the order differs.
type said struct{ en, zh string }

// Say is a message in a language. An ID that the table does not have is returned as it is.
func Say(l course.Language, id ID, args ...any) string {
	message, known := messages()[id]
	if !known {
		return string(id)
	}
	text := message.en
	if l == course.Chinese {
		text = message.zh
	}
	return fmt.Sprintf(text, args...)
}

// The messages.
const (
	KindBuild   ID = "kind/build"
	KindFix     ID = "kind/fix"
	KindPredict ID = "kind/predict"
	Heading     ID = "heading"
	PassedOf    ID = "passed"

	Setting      ID = "spinner/setting up"
	Checking     ID = "spinner/checking"
	Clearing     ID = "spinner/clearing"
	Connecting   ID = "spinner/connecting"
	Raising      ID = "spinner/raising"
	Seconds      ID = "spinner/seconds"
	WaitingFor   ID = "spinner/waiting for"
	FirstGrid    ID = "start/grid"
	Nothing      ID = "start/nothing to probe"
	Prerequisite ID = "start/prerequisite"
	Resumed      ID = "start/resumed"
	Files        ID = "start/files"
	Wire         ID = "start/wire"
	Then         ID = "start/then"
	Predict1st   ID = "start/predict"
	NoKubectl    ID = "start/no kubectl"

	Question   ID = "question/ask"
	WhichOne   ID = "question/which"
	NotAnOpt   ID = "question/not an option"
	NoAnswer   ID = "question/no answer"
	BadAnswer  ID = "question/bad answer"
	Predicted  ID = "question/predicted"
	PredictOK  ID = "question/right"
	PredictBad ID = "question/wrong"

	Before     ID = "check/before"
	Now        ID = "check/now"
	Unchanged  ID = "check/unchanged"
	Differs    ID = "check/differs"
	Why        ID = "check/why"
	Detail     ID = "check/detail"
	Legend     ID = "check/legend"
	NoTarget   ID = "check/no target"
	Met        ID = "check/passed"
	NotYet     ID = "check/not yet"
	NotRun     ID = "check/not run"
	Unjudged   ID = "check/unjudged"
	Packet     ID = "check/packet"
	HelpNext   ID = "check/help"
	GoOn       ID = "check/go on"
	AllDone    ID = "check/all done"
	SameAsEver ID = "check/same"
	OtherWire  ID = "check/other kubeconfig"
	Lost       ID = "check/lost"

	HintHead     ID = "hint/head"
	HintsLeft    ID = "hint/left"
	NoMoreHints  ID = "hint/none"
	NoSuchHint   ID = "hint/no such"
	SolutionHead ID = "solution/head"
	SolutionWay  ID = "solution/way"
	SolutionAsk  ID = "solution/ask"
	SolutionKept ID = "solution/kept"
	SolutionFile ID = "solution/file"
	SolutionPick ID = "solution/answer"
	Debrief      ID = "debrief"

	ResetDone   ID = "reset/done"
	NotPassed   ID = "next/not passed"
	NoCurrent   ID = "no current"
	Course      ID = "course"
	ListHead    ID = "list/head"
	UsedHints   ID = "list/hints"
	UsedAnswer  ID = "list/solution"
	Here        ID = "list/here"
	StatusNone  ID = "status/none"
	StatusAt    ID = "status/at"
	StatusDone  ID = "status/done"
	StatusSeen  ID = "status/misconceptions"
	StatusKept  ID = "status/kept"
	ClassHead   ID = "class/head"
	ClassPassed ID = "class/passed"
	ClassMarks  ID = "class/marks"

	ClusterGone   ID = "trouble/cluster gone"
	ClusterHalf   ID = "trouble/cluster half up"
	BringUp       ID = "trouble/bring up"
	RaiseAsk      ID = "trouble/raise"
	NamespaceGone ID = "trouble/namespace gone"
	Essentials    ID = "trouble/essentials"
	Edited        ID = "trouble/edited"
	Unsuited      ID = "trouble/lacks"
	UnknownVerb   ID = "trouble/unknown verb"
	UnknownLang   ID = "trouble/unknown language"
	NeedTerminal  ID = "trouble/confirm"

	ShellIn  ID = "shell/in"
	ShellOut ID = "shell/out"

	WatchOn      ID = "watch/on"
	WatchLines   ID = "watch/lines"
	WatchKeys    ID = "watch/keys"
	WatchFirst   ID = "watch/first"
	WatchAsked   ID = "watch/asked"
	WatchChanged ID = "watch/changed"
	WatchSame    ID = "watch/same"
	WatchPassed  ID = "watch/passed"
	WatchAnew    ID = "watch/anew"
	WatchHints   ID = "watch/hints"
	WatchIdle    ID = "watch/idle"
	WatchMet     ID = "watch/met"
	WatchNotYet  ID = "watch/not yet"
	WatchUnsure  ID = "watch/unsure"
	WatchAway    ID = "watch/away"
	WatchLost    ID = "watch/lost"
)

// messages are all that the verbs say.
func messages() map[ID]said {
	return map[ID]said{
		KindBuild:   {"build", "动手做"},
		KindFix:     {"fix", "排错"},
		KindPredict: {"predict", "先预测"},
		Heading:     {"Exercise %s (%s): %s", "练习 %s（%s）：%s"},
		PassedOf:    {"%d of %d passed", "已通过 %d / %d"},

		Setting:    {"setting up the exercise", "正在布置练习"},
		Checking:   {"sending requests from every vantage", "正在从各个位置发送请求"},
		Clearing:   {"removing what was there", "正在清理原来的环境"},
		Connecting: {"looking for the cluster", "正在连接集群"},
		Raising:    {"bringing the cluster up", "正在启动集群"},
		Seconds:    {"%s … %d s", "%s……已 %d 秒"},
		WaitingFor: {"%s … %d s; %s", "%s……已 %d 秒（%s）"},

		FirstGrid:    {"What answers now, before you change anything:", "动手之前，现在的可达情况："},
		Nothing:      {"There is nothing to probe yet: no Service has an address.", "现在还没有可以访问的目标：还没有带地址的 Service。"},
		Prerequisite: {"This exercise builds on %s, which you have not passed yet. You can go on all the same.", "本题以 %s 为基础，你还没有通过它；也可以直接往下做。"},
		Resumed:      {"You have begun this exercise before; everything is as you left it. To start over: svclab learn reset", "这道练习你已经开始过，环境还是你离开时的样子。想从头来：svclab learn reset"},
		Files:        {"The manifests it was set up with are in %s", "布置本题所用的清单文件在 %s"},
		Wire:         {"Do it with kubectl. `svclab learn shell` opens a shell wired to this exercise; or, in a shell of your own:", "用 kubectl 来做。`svclab learn shell` 会打开一个已经接好本题环境的 shell；也可以在自己的 shell 里执行："},
		Then:         {"Then: svclab learn check. Stuck: svclab learn hint", "做完后：svclab learn check。卡住了：svclab learn hint"},
		Predict1st:   {"Predict first. Answer before you look; the check will ask.", "先预测。看结果之前先作答；检查时会问你。"},
		NoKubectl:    {"There is no kubectl on your PATH. The lab has one; to copy it: %s", "PATH 里没有 kubectl。实验环境里有一份，复制出来即可：%s"},

		Question:   {"Predict: %s", "预测：%s"},
		WhichOne:   {"Your answer (1 to %d): ", "你的答案（1 到 %d）："},
		NotAnOpt:   {"%q is none of the numbers; please answer 1 to %d.", "%q 不在选项里，请回答 1 到 %d。"},
		NoAnswer:   {"the question %s is not answered; answer it at a terminal, or with --answer %s=%s", "问题 %s 还没有回答；请在终端里作答，或者加上 --answer %s=%s"},
		BadAnswer:  {"--answer %s fits no question of this exercise; those are: %s", "--answer %s 与本题的问题不符；本题的问题和选项：%s"},
		Predicted:  {"You predicted: %s", "你的预测：%s"},
		PredictOK:  {"Your prediction was right.", "预测正确。"},
		PredictBad: {"The cluster behaves differently from your prediction.", "集群的实际表现与你的预测不同。"},

		Before:     {"Before:", "之前："},
		Now:        {"Now:", "现在："},
		Unchanged:  {"Now (the same answers as before):", "现在（与之前相同）："},
		Differs:    {"from %s to %s: wanted %s, got %s", "从 %s 到 %s：应为 %s，实为 %s"},
		Why:        {"Why:", "原因："},
		Detail:     {"Seen:", "所见（英文原文）："},
		Legend:     {"A mark ✗ or X: not as the exercise wants it.", "reached 有应答，refused 被拒绝，timed out 超时无应答，no such host 域名解析不到，unreachable 不可达；带 ✗ 或 X 的与要求不符。"},
		NoTarget:   {"There is nothing to probe from %s to %s: no Service offers that.", "从 %s 到 %s 没有可以发送请求的目标：没有哪个 Service 提供它。"},
		Met:        {"Passed: %s", "通过：%s"},
		NotYet:     {"Not yet: %s", "还没有达到：%s"},
		NotRun:     {"Not tried yet: %s", "还没有试：%s"},
		Unjudged:   {"It could not be judged: %s", "无法判定：%s"},
		Packet:     {"The packet's path: %s", "数据包走的路：%s"},
		HelpNext:   {"Go on, then check again. Hints used: %d of %d; the next: svclab learn hint", "改好后再检查一次。提示已用 %d / %d；看下一条：svclab learn hint"},
		GoOn:       {"On to the next: svclab learn next", "做下一题：svclab learn next"},
		AllDone:    {"That was the last one: all %d exercises are passed.", "全部 %d 道练习都通过了。"},
		SameAsEver: {"Nothing that the check looks at has changed since the last time.", "与上次检查相比，检查所看的东西没有变化。"},
		OtherWire:  {"Your KUBECONFIG is not the exercise's: what you do with kubectl here goes to another cluster or namespace. Use `svclab learn shell`, or:", "你的 KUBECONFIG 不是本题的：在这里执行的 kubectl 会作用到别的集群或命名空间。请用 `svclab learn shell`，或者："},
		Lost:       {"What the exercise set up is no longer there: %s. To bring it back: svclab learn reset", "布置好的东西不见了：%s。恢复：svclab learn reset"},

		HintHead:     {"Hint %d of %d", "提示 %d / %d"},
		HintsLeft:    {"Hints left: %d", "还剩 %d 条提示"},
		NoMoreHints:  {"That was the last hint. The solution: svclab learn solution", "这是最后一条提示了。看答案：svclab learn solution"},
		NoSuchHint:   {"%q is no hint; want 1 to %d", "没有提示 %q；只有 1 到 %d"},
		SolutionHead: {"Solution of exercise %s", "练习 %s 的答案"},
		SolutionWay:  {"Way %d", "做法 %d"},
		SolutionAsk:  {"You have not passed it yet. Show the solution all the same? [y/N] ", "你还没有通过本题。确定要看答案吗？[y/N] "},
		SolutionKept: {"The solution stays hidden. A hint: svclab learn hint", "答案先不显示。看提示：svclab learn hint"},
		SolutionFile: {"Apply %s:", "应用 %s："},
		SolutionPick: {"Answer of %s: %s", "%s 的答案：%s"},
		Debrief:      {"What happened", "回顾"},

		ResetDone:   {"The exercise is as it was at its start. Your progress is kept.", "练习已恢复到开始时的样子，进度保留。"},
		NotPassed:   {"Exercise %s is not passed yet; it stays on your list.", "练习 %s 还没有通过，会留在列表里。"},
		NoCurrent:   {"no exercise is under way; begin one: svclab learn start", "现在没有正在做的练习；开始一题：svclab learn start"},
		Course:      {"Kubernetes Services by doing", "动手学 Kubernetes Service"},
		ListHead:    {"   #   kind     title", "   #   类型    标题"},
		UsedHints:   {"hints: %d", "提示 %d 条"},
		UsedAnswer:  {"solution seen", "看过答案"},
		Here:        {"you are here", "正在做"},
		StatusNone:  {"Nothing is under way. Begin: svclab learn", "还没有开始。开始：svclab learn"},
		StatusAt:    {"Under way: exercise %s, %s. Checks: %d, hints: %d, resets: %d.", "正在做：练习 %s，%s。检查 %d 次，提示 %d 条，重来 %d 次。"},
		StatusDone:  {"Passed on %s.", "已于 %s 通过。"},
		StatusSeen:  {"Misconceptions met here: %s", "在本题遇到过的误解：%s"},
		StatusKept:  {"Your progress is kept in %s", "进度保存在 %s"},
		ClassHead:   {"learner", "学员"},
		ClassPassed: {"passed", "通过"},
		ClassMarks:  {"+ passed, s passed after seeing the solution, - begun, . not begun", "+ 通过，s 看过答案后通过，- 已开始，. 未开始"},

		ClusterGone:   {"The lab's cluster is not there: %s", "实验集群不在：%s"},
		ClusterHalf:   {"The lab's cluster is there but does not answer as it should: %s", "实验集群在，但没有正常应答：%s"},
		BringUp:       {"To repair it, run: %s. Your progress is kept.", "修复只需一条命令：%s。进度不会丢失。"},
		RaiseAsk:      {"Do that now? It takes a minute or two. [Y/n] ", "现在就做吗？大约一两分钟。[Y/n] "},
		NamespaceGone: {"The exercise's namespace %s is not there any more. To bring it back: %s. Your progress is kept.", "本题的命名空间 %s 已经不在了。恢复：%s。进度不会丢失。"},
		Essentials:    {"The cluster lacks what every exercise needs: %s. To bring it back: %s. Your progress is kept.", "集群里缺了每道练习都要用的东西：%s。恢复：%s。进度不会丢失。"},
		Edited:        {"exercise %s is not in order: its files were changed, or are damaged; what is wrong:\n%s\nto find all: svclab learn lint; to have the original back: git checkout -- labs/exercises/%s", "练习 %s 的文件有问题：被改过，或者损坏了；具体是：\n%s\n检查全部：svclab learn lint；恢复原样：git checkout -- labs/exercises/%s"},
		Unsuited:      {"this cluster cannot hold exercise %s: %s; the next one: svclab learn next", "这个集群做不了练习 %s：%s；做下一题：svclab learn next"},
		UnknownVerb:   {"svclab learn knows no %q; svclab learn --help shows what it knows, svclab learn start %s begins an exercise", "svclab learn 没有 %q 这个命令；用 svclab learn --help 查看全部命令，用 svclab learn start %s 开始练习"},
		UnknownLang:   {"--lang %q: want en or zh", "--lang %q：只能是 en 或 zh"},
		NeedTerminal:  {"there is no terminal to ask you at; confirm with --yes", "这里无法询问你；确定的话请加 --yes"},

		WatchOn:      {"Watching exercise %s (%s). Change something with kubectl, and it is checked again by itself.", "正在跟踪练习 %s（%s）。用 kubectl 一做改动，就会自动重新检查。"},
		WatchLines:   {"Keys, each followed by Enter: h hint, s solution, r reset, c check now, n next, q quit.", "按键（每个之后按回车）：h 提示，s 答案，r 重来，c 立即检查，n 下一题，q 退出。"},
		WatchKeys:    {"h hint  s solution  r reset  c check  n next  q quit", "h 提示  s 答案  r 重来  c 检查  n 下一题  q 退出"},
		WatchFirst:   {"%s  As it is now", "%s  现在的情况"},
		WatchAsked:   {"%s  Checked because you asked", "%s  按你的要求检查"},
		WatchChanged: {"%s  Changed: %s", "%s  有变化：%s"},
		WatchSame:    {"The check finds what it found before: %s.", "检查结果与之前一样：%s。"},
		WatchPassed:  {"The exercise is passed. On to the next: n. You can also go on trying things here.", "本题已通过。做下一题：n。也可以留在这里继续试。"},
		WatchAnew:    {"To answer again: c.", "重新作答：c。"},
		WatchHints:   {"%s, hints %d/%d", "%s，提示 %d/%d"},
		WatchIdle:    {"waiting for a change", "等待改动"},
		WatchMet:     {"passed", "已通过"},
		WatchNotYet:  {"not yet", "还没通过"},
		WatchUnsure:  {"could not be judged", "无法判定"},
		WatchAway:    {"the cluster does not answer", "集群没有应答"},
		WatchLost:    {"The lab's cluster no longer answers: %s", "实验集群不再应答：%s"},

		ShellIn:  {"A shell for exercise %s: kubectl goes to its namespace %s. `exit` leaves.", "练习 %s 的 shell：kubectl 直接作用于它的命名空间 %s。输入 `exit` 离开。"},
		ShellOut: {"Back from the exercise's shell.", "已离开练习的 shell。"},
	}
}
