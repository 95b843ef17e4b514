package coach

import (
	"testing"

	"github.com/svclab/svclab/e2e/oracle"
)

func TestEveryRuleIsThereInChinese(t *testing.T) {
	chinese := rulesInChinese()
	for _, rule := range oracle.Rules() {
		if chinese[rule.ID] == "" {
			t.Errorf("rule %s is not translated: %s", rule.ID, rule.Statement)
		}
		delete(chinese, rule.ID)
	}
	for id := range chinese {
		t.Errorf("%s is no rule of the oracle", id)
	}
}
