package main

import (
	"context"
	"fmt"
	"log"
	"reflect"
	"sync"
	"time"

	"github.com/argoproj/argo-rollouts/pkg/apis/rollouts/v1alpha1"
	"github.com/argoproj/argo-rollouts/utils/plugin/types"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/client-go/util/retry"
)

// Argo waits for each call, so none may take longer.
const callTimeout = 10 * time.Second

// router implements the calls of Argo Rollouts.
type router struct {
	client dynamic.Interface

	mutex sync.Mutex
	// The reason why the weight of a Rollout is not verified, by its namespace and name.
	waiting map[string]string
}

// Type is the name of the plugin.
func (r *router) Type() string { return Name }

// InitPlugin connects to the API server, as Argo's controller does: with its service account, or KUBECONFIG.
func (r *router) InitPlugin() types.RpcError {
	rules := clientcmd.NewDefaultClientConfigLoadingRules()
	config, err := clientcmd.NewNonInteractiveDeferredLoadingClientConfig(rules, &clientcmd.ConfigOverrides{}).ClientConfig()
	if err != nil {
		return failure(err)
	}
	return failure(r.connect(config))
}

func (r *router) connect(config *rest.Config) (err error) {
	r.waiting = map[string]string{}
	r.client, err = dynamic.NewForConfig(config)
	return err
}

func failure(err error) types.RpcError {
	if err == nil {
		return types.RpcError{}
	}
	return types.RpcError{ErrorString: err.Error()}
}

// change edits divvy's rollout, and writes the object if that changed it. After a conflict with another writer it
// starts again with the new object.
func (r *router) change(ro *v1alpha1.Rollout, change edit) types.RpcError {
	options, err := optionsOf(ro)
	if err != nil {
		return failure(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), callTimeout)
	defer cancel()
	objects := r.client.Resource(carriers[options.Kind].resource).Namespace(options.Namespace)
	return failure(retry.RetryOnConflict(retry.DefaultBackoff, func() error {
		object, err := objects.Get(ctx, options.Name, metav1.GetOptions{})
		if err != nil {
			return err
		}
		before := object.DeepCopy()
		if err := applyIn(object, options, change); err != nil {
			return err
		}
		if reflect.DeepEqual(before.Object, object.Object) {
			return nil
		}
		_, err = objects.Update(ctx, object, metav1.UpdateOptions{FieldManager: "divvy-argo"})
		return err
	}))
}

// applyIn edits divvy's rollout in an object.
func applyIn(object *unstructured.Unstructured, options Options, change edit) error {
	found, err := carriers[options.Kind].apply(object.Object, options.Rollout, change)
	if err != nil {
		return fmt.Errorf("%v: rollout %q: %w", options, options.Rollout, err)
	}
	if !found {
		return fmt.Errorf("%v: has no rollout %q", options, options.Rollout)
	}
	return nil
}

// UpdateHash starts a release when the canary's pods are those of a new build.
func (r *router) UpdateHash(ro *v1alpha1.Rollout, canaryHash, stableHash string, _ []v1alpha1.WeightDestination) types.RpcError {
	// Without a release both are the same. The revision then stays, and so does a verdict of the guardrail.
	if canaryHash == "" || canaryHash == stableHash {
		return types.RpcError{}
	}
	options, err := optionsOf(ro)
	if err != nil {
		return failure(err)
	}
	return r.change(ro, setRevision(canaryHash, options.SaltPerRelease))
}

// SetWeight writes the weight of the canary.
func (r *router) SetWeight(ro *v1alpha1.Rollout, weight int32, additional []v1alpha1.WeightDestination) types.RpcError {
	if len(additional) > 0 {
		return failure(fmt.Errorf("rollout %s: divvy has no weights for experiments: leave weight out of the experiment's templates", ro.Name))
	}
	return r.change(ro, setWeight(percentOf(ro, weight)))
}

// SetHeaderRoute gives requests with these headers to the canary.
func (r *router) SetHeaderRoute(ro *v1alpha1.Rollout, route *v1alpha1.SetHeaderRoute) types.RpcError {
	return r.change(ro, setHeaderRoute(route))
}

// SetMirrorRoute copies requests to the canary.
func (r *router) SetMirrorRoute(ro *v1alpha1.Rollout, route *v1alpha1.SetMirrorRoute) types.RpcError {
	return r.change(ro, setMirrorRoute(route))
}

// RemoveManagedRoutes ends header routes and copies.
func (r *router) RemoveManagedRoutes(ro *v1alpha1.Rollout) types.RpcError {
	return r.change(ro, removeManaged(ro))
}

// VerifyWeight asks Prometheus for the weight in force in every proxy. Argo asks again until all have it.
func (r *router) VerifyWeight(ro *v1alpha1.Rollout, weight int32, _ []v1alpha1.WeightDestination) (types.RpcVerified, types.RpcError) {
	options, err := optionsOf(ro)
	if err != nil {
		return types.NotVerified, failure(err)
	}
	if options.Prometheus == "" {
		return types.NotImplemented, types.RpcError{}
	}
	ctx, cancel := context.WithTimeout(context.Background(), callTimeout)
	defer cancel()
	reason, err := r.missing(ctx, options, percentOf(ro, weight))
	if err != nil {
		// Not an error for Argo, which would not ask again.
		reason = err.Error()
	}
	r.report(ctx, ro, reason)
	if reason != "" {
		return types.NotVerified, types.RpcError{}
	}
	return types.Verified, types.RpcError{}
}

// report logs why a Rollout waits and adds an event to it, once for each reason.
func (r *router) report(ctx context.Context, ro *v1alpha1.Rollout, reason string) {
	key := ro.Namespace + "/" + ro.Name
	r.mutex.Lock()
	last := r.waiting[key]
	r.waiting[key] = reason
	r.mutex.Unlock()
	if reason == last || reason == "" {
		return
	}
	log.Printf("rollout %s: weight not verified: %s", key, reason)
	now := metav1.Now().UTC().Format(time.RFC3339)
	event := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "v1", "kind": "Event",
		"metadata": map[string]any{"generateName": ro.Name + ".", "namespace": ro.Namespace},
		"type":     "Warning", "reason": "DivvyWeightNotInForce", "message": reason,
		"source":         map[string]any{"component": "divvy-argo"},
		"firstTimestamp": now, "lastTimestamp": now, "count": int64(1),
		"involvedObject": map[string]any{
			"apiVersion": "argoproj.io/v1alpha1", "kind": "Rollout",
			"namespace": ro.Namespace, "name": ro.Name, "uid": string(ro.UID),
		},
	}}
	events := r.client.Resource(schema.GroupVersionResource{Version: "v1", Resource: "events"})
	if _, err := events.Namespace(ro.Namespace).Create(ctx, event, metav1.CreateOptions{}); err != nil {
		log.Printf("rollout %s: cannot create an event: %v", key, err)
	}
}
