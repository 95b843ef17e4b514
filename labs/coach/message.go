package coach

import (
	"fmt"
	"strings"

	"github.com/svclab/svclab/labs/course"
)

// Message is a text of the verbs, with the verbs of fmt.Sprintf: in English, then zh, then in Chinese. Both have the same values
// in the same order, or %[n]s where the order differs.
type Message string

// zh separates the languages of a Message. No text contains it.
const zh = "\x00"

// Say returns a message in a language.
func Say(l course.Language, m Message, args ...any) string {
	english, chinese, _ := strings.Cut(string(m), zh)
	if l == course.Chinese {
		return fmt.Sprintf(chinese, args...)
	}
	return fmt.Sprintf(english, args...)
}

// The messages.
const (
	KindBuild   Message = "build" + zh + "动手做"
	KindFix     Message = "fix" + zh + "排错"
	KindPredict Message = "predict" + zh + "先预测"
	Heading     Message = "Exercise %s (%s): %s" + zh + "练习 %s（%s）：%s"
	PassedOf    Message = "%d of %d passed" + zh + "已通过 %d / %d"

	Setting      Message = "setting up the exercise" + zh + "正在布置练习"
	Checking     Message = "sending requests from every vantage" + zh + "正在从各个位置发送请求"
	Clearing     Message = "removing what was there" + zh + "正在清理原来的环境"
	Connecting   Message = "looking for the cluster" + zh + "正在连接集群"
	Seconds      Message = "%s … %d s" + zh + "%s……已 %d 秒"
	WaitingFor   Message = "%s … %d s; %s" + zh + "%s……已 %d 秒（%s）"
	FirstGrid    Message = "What answers now, before you change anything:" + zh + "动手之前，现在的可达情况："
	Nothing      Message = "There is nothing to probe yet: no Service has an address." + zh + "现在还没有可以访问的目标：还没有带地址的 Service。"
	Prerequisite Message = "This exercise builds on %s, which you have not passed yet. You may continue." + zh + "本题以 %s 为基础，你还没有通过它；也可以直接往下做。"
	Resumed      Message = "You have started this exercise before; everything is as you left it. To start over: svclab learn reset" + zh + "这道练习你已经开始过，环境还是你离开时的样子。想从头来：svclab learn reset"
	Files        Message = "The manifests of this exercise are in %s" + zh + "布置本题所用的清单文件在 %s"
	Wire         Message = "Use kubectl. `svclab learn shell` opens a shell that is connected to this exercise. To connect a shell of your own:" + zh + "用 kubectl 来做。`svclab learn shell` 会打开一个已经接好本题环境的 shell；也可以在自己的 shell 里执行："
	Then         Message = "Then run: svclab learn check. If you are stuck: svclab learn hint" + zh + "做完后：svclab learn check。卡住了：svclab learn hint"
	Predict1st   Message = "Predict first. Answer before you look; the check asks these questions." + zh + "先预测。看结果之前先作答；检查时会问你。"
	NoKubectl    Message = "There is no kubectl on your PATH. The lab has one; to copy it: %s" + zh + "PATH 里没有 kubectl。实验环境里有一份，复制出来即可：%s"

	Question   Message = "Predict: %s" + zh + "预测：%s"
	WhichOne   Message = "Your answer (1 to %d): " + zh + "你的答案（1 到 %d）："
	NotAnOpt   Message = "%q is not one of the numbers; answer 1 to %d." + zh + "%q 不在选项里，请回答 1 到 %d。"
	NoAnswer   Message = "the question %s is not answered; answer it at a terminal, or with --answer %s=%s" + zh + "问题 %s 还没有回答；请在终端里作答，或者加上 --answer %s=%s"
	BadAnswer  Message = "--answer %s matches no question of this exercise; its questions and options are: %s" + zh + "--answer %s 与本题的问题不符；本题的问题和选项：%s"
	PredictOK  Message = "Your prediction was right." + zh + "预测正确。"
	FirstRight Message = "Your first prediction was right: %s" + zh + "你最初的预测是对的：%s"
	FirstWrong Message = "Your first prediction was: %s What is so: %s" + zh + "你最初的预测是：%s 实际是：%s"
	PredictBad Message = "The cluster behaves differently from your prediction." + zh + "集群的实际表现与你的预测不同。"

	Before    Message = "Before:" + zh + "之前："
	Now       Message = "Now:" + zh + "现在："
	Unchanged Message = "Now (the same answers as before):" + zh + "现在（与之前相同）："
	Differs   Message = "from %s to %s: expected %s, observed %s" + zh + "从 %s 到 %s：应为 %s，实际为 %s"
	Why       Message = "Why:" + zh + "原因："
	Detail    Message = "Observed:" + zh + "实际观察到（英文原文）："
	Legend    Message = "✗ or X marks a cell that differs from the goal." + zh + "reached 有应答，refused 被拒绝，timed out 超时无应答，no such host 域名解析不到，unreachable 不可达；带 ✗ 或 X 的与要求不符。"
	Alike     Message = "%s (and %d more like it)" + zh + "%s（另有 %d 处相同）"
	NoTarget  Message = "Missing: %s, to be reached from %s. No Service offers it yet." + zh + "缺少 %s（应能从 %s 访问）：还没有哪个 Service 提供它。"
	// NoTargetAny is NoTarget for every client.
	NoTargetAny Message = "Missing: %s, to be reached by every client. No Service offers it yet." + zh + "缺少 %s（所有客户端都应能访问）：还没有哪个 Service 提供它。"
	Met         Message = "Passed: %s" + zh + "通过：%s"
	NotYet      Message = "Not yet: %s" + zh + "还没有达到：%s"
	NotRun      Message = "Not checked: %s" + zh + "没有检查：%s"
	Unjudged    Message = "Could not be judged: %s" + zh + "无法判定：%s"
	Packet      Message = "The packet's path: %s" + zh + "数据包走的路：%s"
	WhyLater    Message = "After the first hint, the check also says why." + zh + "原因在看过第一条提示之后才会给出。"
	Explained   Message = "svclab explain tells the cause, as a hint does: it is counted in your progress as one, for exercise %s." + zh + "svclab explain 会直接说出原因，和提示一样：它会作为一次提示记入练习 %s 的进度。"
	HelpNext    Message = "Continue, then check again. Hints used: %d of %d; next hint: svclab learn hint" + zh + "改好后再检查一次。提示已用 %d / %d；看下一条：svclab learn hint"
	GoOn        Message = "For the next exercise: svclab learn next" + zh + "做下一题：svclab learn next"
	AllDone     Message = "You have passed all %d exercises." + zh + "全部 %d 道练习都通过了。"
	SameAsEver  Message = "Nothing that the check looks at has changed since the last check." + zh + "与上次检查相比，检查所涉及的内容没有变化。"
	OtherWire   Message = "Your KUBECONFIG is not the one of this exercise: kubectl changes another cluster or namespace here. Use `svclab learn shell`, or run:" + zh + "你的 KUBECONFIG 不是本题的：在这里执行的 kubectl 会作用到别的集群或命名空间。请用 `svclab learn shell`，或者："
	Lost        Message = "Objects of the exercise are missing: %s. To restore them: svclab learn reset" + zh + "本题布置的对象不见了：%s。恢复：svclab learn reset"

	HintHead     Message = "Hint %d of %d" + zh + "提示 %d / %d"
	HintsLeft    Message = "Hints left: %d" + zh + "还剩 %d 条提示"
	NoMoreHints  Message = "That was the last hint. To see the solution: svclab learn solution" + zh + "这是最后一条提示了。看答案：svclab learn solution"
	NoSuchHint   Message = "there is no hint %q; the hints are 1 to %d" + zh + "没有提示 %q；只有 1 到 %d"
	SolutionHead Message = "Solution of exercise %s" + zh + "练习 %s 的答案"
	SolutionWay  Message = "Way %d" + zh + "做法 %d"
	SolutionAsk  Message = "You have not passed the exercise yet. Show the solution? [y/N] " + zh + "你还没有通过本题。确定要看答案吗？[y/N] "
	SolutionKept Message = "The solution was not shown. For a hint: svclab learn hint" + zh + "答案先不显示。看提示：svclab learn hint"
	SolutionFile Message = "Apply %s:" + zh + "应用 %s："
	SolutionPick Message = "Answer of %s: %s" + zh + "%s 的答案：%s"
	Debrief      Message = "What happened" + zh + "回顾"

	Stopped     Message = "The exercise is gone from the cluster. Your progress is kept; to set it up again: svclab learn start" + zh + "练习已从集群中移除，进度保留。要重新布置：svclab learn start"
	ResetDone   Message = "The exercise is as it was at its start. Your progress is kept." + zh + "练习已恢复到开始时的样子，进度保留。"
	NotPassed   Message = "You have not passed exercise %s yet; it stays on your list." + zh + "练习 %s 还没有通过，会留在列表里。"
	NoCurrent   Message = "you have not started an exercise; to start one: svclab learn start" + zh + "现在没有正在做的练习；开始一题：svclab learn start"
	Course      Message = "Kubernetes Services by doing" + zh + "动手学 Kubernetes Service"
	UsedHints   Message = "hints: %d" + zh + "提示 %d 条"
	UsedAnswer  Message = "solution seen" + zh + "看过答案"
	Here        Message = "you are here" + zh + "正在做"
	StatusNone  Message = "You have not started an exercise. To start one: svclab learn" + zh + "还没有开始。开始：svclab learn"
	StatusAt    Message = "Current exercise: %s, %s. Checks: %d, hints: %d, resets: %d." + zh + "正在做：练习 %s，%s。检查 %d 次，提示 %d 条，重来 %d 次。"
	StatusDone  Message = "Passed on %s." + zh + "已于 %s 通过。"
	StatusSeen  Message = "Misconceptions that showed in this exercise: %s" + zh + "在本题遇到过的误解：%s"
	StatusKept  Message = "Your progress is stored in %s" + zh + "进度保存在 %s"
	ClassHead   Message = "learner" + zh + "学员"
	ClassPassed Message = "passed" + zh + "通过"
	ClassFirst  Message = "First predictions that were right, of those made:" + zh + "最初预测正确的次数 / 预测次数："
	ClassMarks  Message = "+ passed, s passed after seeing the solution, - started, . not started" + zh + "+ 通过，s 看过答案后通过，- 已开始，. 未开始"

	ClusterGone   Message = "The lab's cluster does not exist: %s" + zh + "实验集群不存在：%s"
	ClusterHalf   Message = "The lab's cluster exists but does not work: %s" + zh + "实验集群存在，但工作不正常：%s"
	BringUp       Message = "To repair it, run: %s. Your progress is kept." + zh + "修复只需一条命令：%s。进度不会丢失。"
	RaiseAsk      Message = "Run it now? It takes a minute or two. [Y/n] " + zh + "现在就做吗？大约一两分钟。[Y/n] "
	NamespaceGone Message = "The exercise's namespace %s is missing. To restore it: %s. Your progress is kept." + zh + "本题的命名空间 %s 已经不在了。恢复：%s。进度不会丢失。"
	Essentials    Message = "The cluster lacks objects that every exercise needs: %s. To restore them: %s. Your progress is kept." + zh + "集群里缺少每道练习都需要的对象：%s。恢复：%s。进度不会丢失。"
	Edited        Message = "the files of exercise %s were changed or are damaged:\n%s\nto check all exercises: svclab learn lint; to restore the original: git checkout -- labs/exercises/%s" + zh + "练习 %s 的文件有问题：被改过，或者损坏了；具体是：\n%s\n检查全部：svclab learn lint；恢复原样：git checkout -- labs/exercises/%s"
	Unsuited      Message = "exercise %s cannot run on this cluster: %s; for the next exercise: svclab learn next" + zh + "这个集群做不了练习 %s：%s；做下一题：svclab learn next"
	UnknownVerb   Message = "svclab learn has no verb %q; to list the verbs: svclab learn --help; to start an exercise: svclab learn start %s" + zh + "svclab learn 没有 %q 这个命令；用 svclab learn --help 查看全部命令，用 svclab learn start %s 开始练习"
	UnknownLang   Message = "--lang %q: want en or zh" + zh + "--lang %q：只能是 en 或 zh"
	NeedTerminal  Message = "the input is no terminal, so svclab cannot ask you; confirm with --yes" + zh + "这里无法询问你；确定的话请加 --yes"

	ShellIn  Message = "A shell for exercise %s: kubectl uses its namespace %s. To leave: exit" + zh + "练习 %s 的 shell：kubectl 直接作用于它的命名空间 %s。输入 `exit` 离开。"
	ShellOut Message = "You have left the exercise's shell." + zh + "已离开练习的 shell。"

	WatchOn      Message = "Watching exercise %s (%s). Each change that you make with kubectl starts a check." + zh + "正在跟踪练习 %s（%s）。每次用 kubectl 做出改动，都会自动重新检查。"
	WatchLines   Message = "Keys, each followed by Enter: h hint, s solution, r reset, c check now, n next, q quit." + zh + "按键（每个之后按回车）：h 提示，s 答案，r 重来，c 立即检查，n 下一题，q 退出。"
	WatchKeys    Message = "h hint  s solution  r reset  c check  n next  q quit" + zh + "h 提示  s 答案  r 重来  c 检查  n 下一题  q 退出"
	WatchFirst   Message = "%s  The state now" + zh + "%s  现在的情况"
	WatchAsked   Message = "%s  Checked because you pressed c" + zh + "%s  按下 c 后检查"
	WatchChanged Message = "%s  Changed: %s" + zh + "%s  有变化：%s"
	WatchSame    Message = "The result has not changed: %s." + zh + "检查结果与之前一样：%s。"
	WatchPassed  Message = "You have passed the exercise. Press n for the next one, or continue to try things here." + zh + "本题已通过。做下一题：n。也可以留在这里继续试。"
	WatchAnew    Message = "Press c to answer again." + zh + "重新作答：c。"
	WatchHints   Message = "%s, hints %d/%d" + zh + "%s，提示 %d/%d"
	WatchIdle    Message = "waiting for a change" + zh + "等待改动"
	WatchMet     Message = "passed" + zh + "已通过"
	WatchNotYet  Message = "not yet" + zh + "还没通过"
	WatchUnsure  Message = "could not be judged" + zh + "无法判定"
	WatchAway    Message = "the cluster does not answer" + zh + "集群没有应答"
	WatchLost    Message = "The lab's cluster no longer answers: %s" + zh + "实验集群不再应答：%s"
)
