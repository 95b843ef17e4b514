package runner

import (
	"context"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/svclab/svclab/e2e/reach"
	"github.com/svclab/svclab/e2e/scenario"
	"github.com/svclab/svclab/e2e/steps"
)

// place makes a namespace that no runner made.
func place(t *testing.T, c *fakeCluster) Place {
	t.Helper()
	_, err := c.client.CoreV1().Namespaces().Create(context.Background(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "learn"}}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return Place{Namespace: "learn"}
}

func TestInLeavesWhatItDid(t *testing.T) {
	c, _, r := lab(t)
	at := place(t, c)
	sc := loaded(t, "in", "", deployAndLook, reachTable)
	if v := r.In(context.Background(), at, sc); v.Result != reach.Pass {
		t.Fatalf("%+v", v)
	}
	services, err := c.client.CoreV1().Services("learn").List(context.Background(), metav1.ListOptions{})
	if err != nil || len(services.Items) == 0 {
		t.Errorf("what was applied is gone: %v, %v", services, err)
	}
}

// A goal that is not met fails at once and says what is missing; it is no error of the exercise, as it is in a scenario.
func TestGoalThatIsNotMet(t *testing.T) {
	c, _, r := lab(t)
	at := place(t, c)
	sc := loaded(t, "goal", "", deployAndLook, reachTable)
	goal := sc
	goal.Steps = nil
	for _, step := range sc.Steps {
		if len(step.Tables()) > 0 {
			goal.Steps = append(goal.Steps, step)
		}
	}
	goal.Steps = append(goal.Steps, scenario.Step{Name: "replace", Action: steps.ReplacePods{Selector: "app=my-app"}})
	v := r.Goal(context.Background(), at, goal)
	if v.Result != reach.Fail || !strings.Contains(v.Steps[0].Why, "covers no cell") {
		t.Errorf("nothing is there: %s: %+v", v.Result, v.Steps)
	}
	if missing := v.Steps[0].Missing; len(missing) == 0 || missing[0].From == "" || missing[0].To == "" {
		t.Errorf("the row without a cell is not in the verdict: %+v", missing)
	}
	if last := v.Steps[len(v.Steps)-1]; last.Result != reach.Skipped {
		t.Errorf("a step that changes something was done though the goal was not met: %+v", last)
	}
	if v := r.In(context.Background(), at, sc); v.Result != reach.Pass {
		t.Fatalf("%+v", v)
	}
	if v := r.Goal(context.Background(), at, goal); v.Result != reach.Pass {
		t.Errorf("it is met: %+v", v)
	}
}

func TestLookAndRestore(t *testing.T) {
	c, _, r := lab(t)
	at, ctx := place(t, c), context.Background()
	maps := c.client.CoreV1().ConfigMaps("learn")
	for _, name := range []string{"kept", "changed"} {
		if _, err := maps.Create(ctx, &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: name}, Data: map[string]string{"k": "before"}}, metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	snapshots, err := r.Look(ctx, at, []scenario.Ref{{Kind: "configmap", Name: "*"}})
	if err != nil || len(snapshots) != 1 || len(snapshots[0].Objects) != 2 {
		t.Fatalf("%+v, %v", snapshots, err)
	}
	if err := maps.Delete(ctx, "kept", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	if _, err := maps.Create(ctx, &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "new"}}, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	if err := r.Restore(ctx, at, snapshots); err != nil {
		t.Fatal(err)
	}
	list, err := maps.List(ctx, metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, m := range list.Items {
		names = append(names, m.Name+"="+m.Data["k"])
	}
	if got := strings.Join(names, " "); got != "changed=before kept=before" {
		t.Errorf("put back: %s", got)
	}
}

// What was made meanwhile goes first, and a webhook that has not seen it go yet is called again.
func TestRestoreWhatSomethingStandsInTheWayOf(t *testing.T) {
	c, _, r := lab(t)
	at, ctx, deletions := place(t, c), context.Background(), 0
	maps := c.client.CoreV1().ConfigMaps("learn")
	if _, err := maps.Create(ctx, &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "kept"}}, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	snapshots, err := r.Look(ctx, at, []scenario.Ref{{Kind: "configmap", Name: "*"}})
	if err != nil {
		t.Fatal(err)
	}
	if err := maps.Delete(ctx, "kept", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	if _, err := maps.Create(ctx, &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "new"}}, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	c.api.admit = func(resource string, _ map[string]any) string {
		if deletions++; resource == "configmaps" && (deletions == 1 || c.api.objects["configmaps/learn/new"] != nil) {
			return `admission webhook "a" denied the request: it overlaps`
		}
		return ""
	}
	if err := r.Restore(ctx, at, snapshots); err != nil {
		t.Error(err)
	}
	list, err := maps.List(ctx, metav1.ListOptions{})
	if err != nil || len(list.Items) != 1 || list.Items[0].Name != "kept" || deletions != 2 {
		t.Errorf("after %d requests there are %v, %v", deletions, list.Items, err)
	}
}
