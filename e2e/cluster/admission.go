package cluster

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// ErrRefused means that the cluster's admission refuses an object that svclab must create.
var ErrRefused = errors.New("refused by the cluster's admission")

// policiesIn is how long a refusal in a new namespace may be temporary: controllers of tenants put ResourceQuotas, LimitRanges and
// other policies into it one by one.
const policiesIn = 5 * time.Second

// DryRun sends objects of a namespace that exists to the API server, which admits or refuses them and creates none. It returns a
// Problem for each that is refused for some seconds, with the policy that refuses it and what to do. A webhook that does not take part in dry
// runs is only logged.
func (c *Cluster) DryRun(ctx context.Context, namespace string, objects []*unstructured.Unstructured) error {
	var refusals []error
	began := time.Now()
	for _, object := range objects {
		object = object.DeepCopy()
		object.SetNamespace(namespace)
		err := c.await(ctx, "the cluster to admit "+object.GetKind()+" "+object.GetName(), admittedIn, func(ctx context.Context) (bool, string, error) {
			err := c.applyOne(ctx, object, serverSide, func(o *metav1.PatchOptions) { o.DryRun = []string{metav1.DryRunAll} })
			if err != nil && later(err) && (refusal(err) == nil || time.Since(began) < policiesIn) && ctx.Err() == nil {
				return false, err.Error(), nil
			}
			return err == nil, "", err
		})
		switch {
		case err == nil:
		case ctx.Err() != nil:
			return err
		case apierrors.IsBadRequest(err) && strings.Contains(err.Error(), "does not support dry run"):
			c.logf("whether the cluster admits %s %s is not known before it is created: %v", object.GetKind(), object.GetName(), err)
		default:
			refusals = append(refusals, Refused(err))
		}
	}
	return errors.Join(refusals...)
}

// Refused returns the Problem that the cluster's admission refuses an object; err itself if that is not what it says.
func Refused(err error) error {
	if problem := refusal(err); problem != nil {
		return problem
	}
	return err
}

// refusal returns the Problem that an object is refused; nil if it may be admitted later: a new namespace has no service account,
// and what is used of a new ResourceQuota is not counted yet.
func refusal(err error) error {
	text := err.Error()
	switch {
	case apierrors.IsForbidden(err) && (strings.Contains(text, "error looking up service account") || strings.Contains(text, "status unknown for quota")):
		return nil
	case !apierrors.IsForbidden(err) && !apierrors.IsInvalid(err) && !strings.Contains(text, "admission webhook") && !strings.Contains(text, "ValidatingAdmissionPolicy"):
		return nil
	case strings.Contains(text, "failed calling webhook"):
		return nil
	}
	fix := fmt.Sprintf("exempt the namespaces with the label %s=svclab from that policy, or give what it requires: --label, --annotation, "+
		"--priority-class, --image-registry and --pull-secret", managedLabel)
	switch {
	case strings.Contains(text, "PodSecurity"):
		fix = "allow these pods in svclab's namespaces: --label pod-security.kubernetes.io/enforce=privileged"
	case strings.Contains(text, "quota"):
		fix = "raise the ResourceQuota of new namespaces, or add a LimitRange with the defaults that it wants; a smaller --sample needs fewer pods"
	case strings.Contains(text, "PriorityClass"):
		fix = "name a PriorityClass of the cluster: --priority-class"
	case strings.Contains(text, " per Container is ") || strings.Contains(text, " per Pod is "):
		fix = "change the LimitRange of new namespaces so that it admits these requests"
	}
	var said *apierrors.StatusError
	if errors.As(err, &said) {
		err = said
	}
	return problem(ErrRefused, fix, "the cluster refuses what svclab must create").because(err)
}
